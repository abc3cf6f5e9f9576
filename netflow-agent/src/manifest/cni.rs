//! Network plugins that read NetworkPolicy in their own way. In: a name, or the workloads of a cluster. Out:
//! the profile whose differences an answer must heed.

use core::str::FromStr;

use super::Workload;

/// A network plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cni {
    Flannel,
    Cilium,
    Calico,
    AwsVpcCni,
    Azure,
    Antrea,
    Weave,
    KubeRouter,
}

impl Cni {
    /// Each with the names that its DaemonSets begin with.
    const KNOWN: [(Self, &'static str, &'static [&'static str]); 8] = [
        (Self::Cilium, "cilium", &["cilium"]),
        (Self::Calico, "calico", &["calico-node", "canal"]),
        (Self::Antrea, "antrea", &["antrea-agent"]),
        (Self::Weave, "weave", &["weave-net"]),
        (Self::KubeRouter, "kube-router", &["kube-router"]),
        (Self::AwsVpcCni, "aws-vpc-cni", &["aws-node"]),
        (Self::Azure, "azure", &["azure-cns", "azure-npm", "azure-cni"]),
        (Self::Flannel, "flannel", &["kube-flannel", "flannel"]),
    ];

    pub fn as_str(self) -> &'static str {
        Self::KNOWN.iter().find(|known| known.0 == self).map_or("", |known| known.1)
    }

    /// What enforces policy in this cluster, by its DaemonSets; a plugin that only moves packets counts last.
    pub fn detect(workloads: &[&Workload]) -> Option<Self> {
        let runs = |prefixes: &[&str]| {
            workloads.iter().any(|workload| {
                workload.kind.as_str() == "DaemonSet"
                    && prefixes.iter().any(|prefix| workload.meta.name.starts_with(prefix))
            })
        };
        Self::KNOWN.iter().find(|known| runs(known.2)).map(|known| known.0)
    }
}

impl core::fmt::Display for Cni {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text named no plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a CNI profile: use flannel, cilium, calico, aws-vpc-cni, azure, antrea, weave or kube-router")]
pub struct UnknownCni;

impl FromStr for Cni {
    type Err = UnknownCni;

    fn from_str(text: &str) -> Result<Self, UnknownCni> {
        Self::KNOWN.iter().find(|known| known.1 == text).map(|known| known.0).ok_or(UnknownCni)
    }
}
