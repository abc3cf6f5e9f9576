//! The API's JSON of the objects that declare callers: webhooks, aggregated APIs, conversions, Ingresses,
//! routes and monitors; only the fields that name what is called.

use core::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::wire::{Meta, Text, wire};

wire! {
    WebhookConfiguration { metadata: Meta<'a>, webhooks: Vec<Hook<'a>> }
    Hook { client_config: ClientConfig<'a> }
    ClientConfig { service: ServiceReference<'a> }
    ServiceReference { namespace: Text<'a>, name: Text<'a>, port: i64 }
    ApiService { metadata: Meta<'a>, spec: ApiServiceSpec<'a> }
    ApiServiceSpec { service: ServiceReference<'a> }
    Definition { metadata: Meta<'a>, spec: DefinitionSpec<'a> }
    DefinitionSpec { conversion: Conversion<'a> }
    Conversion { webhook: Hook<'a> }
    Ingress { metadata: Meta<'a>, spec: IngressSpec<'a> }
    IngressSpec { default_backend: Backend<'a>, rules: Vec<IngressRule<'a>> }
    IngressRule { http: IngressHttp<'a> }
    IngressHttp { paths: Vec<IngressPath<'a>> }
    IngressPath { backend: Backend<'a> }
    Backend { service: BackendService<'a> }
    BackendService { name: Text<'a>, port: BackendPort<'a> }
    BackendPort { number: i64, name: Text<'a> }
    Gateway { metadata: Meta<'a> }
    Route { metadata: Meta<'a>, spec: RouteSpec<'a> }
    RouteSpec { rules: Vec<RouteRule<'a>> }
    RouteRule { backend_refs: Vec<BackendReference<'a>> }
    BackendReference { kind: Text<'a>, namespace: Text<'a>, name: Text<'a>, port: i64 }
    Monitor { metadata: Meta<'a>, spec: MonitorSpec<'a> }
    MonitorSpec {
        selector: LabelSelector,
        namespace_selector: NamespaceSelector<'a>,
        endpoints: Vec<MonitorEndpoint<'a>>,
        pod_metrics_endpoints: Vec<MonitorEndpoint<'a>>,
    }
    NamespaceSelector { any: bool, match_names: Vec<Text<'a>> }
    MonitorEndpoint { port: Text<'a>, target_port: IntOrString, port_number: i64 }
}
