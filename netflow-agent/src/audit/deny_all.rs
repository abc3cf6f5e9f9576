//! `deny-all-that-is-none`: a policy named as a denial that allows everything, or leaves a direction open.

use super::scene::title;
use super::{Report, Scene, Severity};
use crate::evaluate::{isolates, rules};
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for policy in scene.policies() {
        let name = policy.meta.name.to_lowercase();
        if !name.contains("deny") {
            continue;
        }
        let named = Direction::BOTH.map(|direction| name.contains(super::scene::lower(direction)));
        for (direction, is_named) in Direction::BOTH.into_iter().zip(named) {
            // `deny-all` and `default-deny` mean both; `deny-ingress` means one.
            let meant = is_named || (named == [false, false] && name.contains("all"));
            if meant && !isolates(&policy.spec, direction) {
                let reason = format!("its name says deny, and it leaves {direction} open");
                let fix = format!("add {direction} to policyTypes");
                report.push(Severity::Warning, "deny-all-that-is-none", title(policy), reason, fix);
            }
            let open = rules(&policy.spec, direction)
                .iter()
                .any(|(peers, ports)| peers.is_empty() && ports.is_empty());
            if isolates(&policy.spec, direction) && open {
                let reason =
                    format!("its name says deny, and an empty {direction} rule `{{}}` allows everything");
                let fix = "write `[]`, or leave the list out";
                report.push(Severity::Error, "deny-all-that-is-none", title(policy), reason, fix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, policy};

    #[test]
    fn a_denial_denies_what_its_name_says() {
        let both = policy("shop", "default-deny-all", "podSelector: {}, policyTypes: [Ingress, Egress]");
        check("deny-all-that-is-none", &policy("shop", "default-deny-all", "podSelector: {}"), &both);
        check(
            "deny-all-that-is-none",
            &policy("shop", "deny-ingress", "podSelector: {}, ingress: [{}]"),
            &policy("shop", "deny-ingress", "podSelector: {}, ingress: []"),
        );
    }
}
