//! `refused`, `unknown-field`, `version-dependent`: what reading and validating the manifests found.

use super::{Report, Severity};
use crate::manifest;

pub(super) fn find(findings: &[manifest::Finding], report: &mut Report) {
    for finding in findings {
        let object = match (finding.object.is_empty(), finding.path.is_empty()) {
            (true, _) => finding.place.to_string(),
            (false, true) => finding.object.clone(),
            (false, false) => format!("{} {}", finding.object, finding.path),
        };
        let (severity, id, fix) = match finding.severity {
            manifest::Severity::Error => (Severity::Error, "refused", "write what the API server takes"),
            manifest::Severity::Warning if finding.reason.starts_with("unknown field") => {
                (Severity::Error, "unknown-field", "correct the name, or remove the field")
            }
            manifest::Severity::Warning if finding.reason.contains("1.36") => {
                (Severity::Warning, "version-dependent", "write the range in its canonical form")
            }
            manifest::Severity::Warning => (Severity::Warning, "manifest", "keep only what is meant"),
        };
        let reason = format!("{} ({})", finding.reason, finding.place);
        report.push(severity, id, object, reason, fix);
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, policy};

    #[test]
    fn what_a_server_refuses_or_drops_is_found() {
        let sound =
            policy("shop", "a", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]");
        let bits = sound.replace("10.0.0.0/8", "10.0.0.1/8");
        check("refused", &sound.replace("10.0.0.0/8", "10.0.0.0/99"), &bits);
        check("version-dependent", &bits, &sound);
        check("manifest", &(sound.clone() + "---\n{replicas: 3, image: web}\n"), &sound);
        check("unknown-field", &sound.replace("ingress:", "ingres:"), &sound);
    }
}
