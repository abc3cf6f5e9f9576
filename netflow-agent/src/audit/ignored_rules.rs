//! `ignored-rules`: rules in a direction that policyTypes does not name.

use super::scene::{lower, title};
use super::{Report, Scene, Severity};
use crate::evaluate::{isolates, rules};
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for policy in scene.policies() {
        for direction in Direction::BOTH {
            let n_rules = rules(&policy.spec, direction).len();
            if n_rules > 0 && !isolates(&policy.spec, direction) {
                let reason = format!(
                    "{n_rules} {} rule(s) mean nothing: policyTypes does not name {direction}",
                    lower(direction)
                );
                let fix = format!("add {direction} to policyTypes, or remove the rules");
                report.push(Severity::Error, "ignored-rules", title(policy), reason, fix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, policy};

    #[test]
    fn rules_of_an_unnamed_direction_are_ignored() {
        let with = |types: &str| {
            policy("shop", "p", &format!("podSelector: {{}}, policyTypes: [{types}], egress: [{{}}]"))
        };
        check("ignored-rules", &with("Ingress"), &with("Ingress, Egress"));
    }
}
