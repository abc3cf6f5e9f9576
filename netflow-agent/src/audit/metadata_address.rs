//! `metadata-reachable`: an egress rule that lets pods reach the cloud's metadata address, which hands out
//! credentials.

use std::net::{IpAddr, Ipv4Addr};

use super::{Report, Scene, Severity};
use crate::evaluate::block::Block;
use crate::net::{Direction, Protocol};

const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for rule in scene.rules().into_iter().filter(|rule| rule.direction == Direction::Egress) {
        if !rule.numbers().contains(Protocol::Tcp, 80) {
            continue;
        }
        let blocks = rule.peers.iter().filter_map(|peer| Block::parse(peer.ip_block.as_ref()?));
        let holds = rule.peers.is_empty() || { blocks }.any(|block| block.contains(METADATA));
        if holds {
            let reason = "allows TCP 80 to 169.254.169.254, where clouds hand out a node's credentials";
            let fix = "add `except: [169.254.169.254/32]`, or name the ranges that are needed";
            report.push(Severity::Warning, "metadata-reachable", rule.title(), reason, fix);
        }
    }
    for namespace in scene.namespaces.keys() {
        let open: Vec<_> = (scene.workloads().into_iter())
            .filter(|(name, id, _)| name.namespace == *namespace && !scene.isolated(*id, Direction::Egress))
            .map(|(_, id, _)| id)
            .collect();
        if !open.is_empty() {
            let reason = format!(
                "no policy restricts the egress of {}: they reach 169.254.169.254",
                super::scene::some(&scene.names(&open))
            );
            report.push(
                Severity::Note,
                "metadata-reachable",
                format!("Namespace {namespace}"),
                reason,
                "deny egress by default",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, pod, policy};

    #[test]
    fn the_metadata_address_is_reachable_unless_it_is_excepted_or_denied() {
        let egress = |rule: &str| {
            policy("shop", "p", &format!("podSelector: {{}}, policyTypes: [Egress], egress: [{rule}]"))
        };
        let block =
            |except: &str| egress(&format!("{{to: [{{ipBlock: {{cidr: 0.0.0.0/0, except: [{except}]}}}}]}}"));
        check("metadata-reachable", &block("10.0.0.0/8"), &block("169.254.0.0/16"));
        check("metadata-reachable", &egress("{}"), &egress("{ports: [{port: 443}]}"));
        let web = pod("shop", "web", "app: web", "");
        check("metadata-reachable", &web, &(web.clone() + &egress("")));
    }
}
