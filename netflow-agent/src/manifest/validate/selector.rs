//! Label selectors: keys, values, operators and what each of them takes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Report, name};
use crate::manifest::convert::clip;

pub(super) fn selector(path: &str, selector: &LabelSelector, report: &mut Report) {
    for (key, value) in selector.match_labels.iter().flatten() {
        report.check(&format!("{path}.matchLabels"), name::key(key));
        report.check(&format!("{path}.matchLabels"), name::value(value));
    }
    for (i, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        report.check(&format!("{path}.key"), name::key(&expression.key));
        let values = expression.values.as_deref().unwrap_or_default();
        match expression.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                report.error(format!("{path}.values"), format!("`{}` needs a value", expression.operator));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                report.error(format!("{path}.values"), format!("`{}` takes no value", expression.operator));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => report.error(
                format!("{path}.operator"),
                format!("`{}` is no operator: In, NotIn, Exists or DoesNotExist", clip(other)),
            ),
        }
        for (j, value) in values.iter().enumerate() {
            report.check(&format!("{path}.values[{j}]"), name::value(value));
        }
    }
}
