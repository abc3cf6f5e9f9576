//! A verdict in words. In: the explanations of one question. Out: a sentence, per direction the deciding
//! policies and rules, and what to change to turn the verdict.

use std::io::{self, Write};

use super::tree::{self, Item, Tree};
use crate::evaluate::rules;
use crate::evaluate::{
    Cluster, End, Explanation, Judgement, Misses, Model, Near, Pair, Reasons, RuleUse, Verdict, Why,
};
use crate::net::{Direction, Protocol};
use crate::policy::label;

/// What was asked, as it was asked.
#[derive(Debug)]
pub struct Question<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub port: u16,
    pub protocol: Protocol,
}

impl Question<'_> {
    fn end(&self, direction: Direction) -> &str {
        match direction {
            Direction::Ingress => self.to,
            Direction::Egress => self.from,
        }
    }

    fn place(&self) -> String {
        format!("{} {}", self.protocol, self.port)
    }
}

/// More near misses than these are counted only.
const MOST_NEAR: usize = 5;

/// Writes the whole answer.
pub fn text(
    cluster: &Cluster,
    question: &Question<'_>,
    whole: Judgement,
    explanations: &[Explanation],
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}", sentence(question, whole, explanations))?;
    let mut told: Vec<&Explanation> = Vec::new();
    for explanation in explanations {
        if told.iter().any(|earlier| alike(earlier, explanation)) {
            continue;
        }
        told.push(explanation);
        for reasons in &explanation.readings {
            writeln!(out)?;
            if let Some(heading) = heading(cluster, explanation, reasons, explanations.len() > 1) {
                writeln!(out, "{heading}")?;
            }
            for direction in [Direction::Egress, Direction::Ingress] {
                side(cluster, question, direction, of(reasons, direction), out)?;
            }
        }
    }
    let Some(explanation) = told.iter().find(|told| told.judgement.verdict == whole.verdict).or(told.first())
    else {
        return Ok(());
    };
    writeln!(out)?;
    match whole.verdict {
        Verdict::Denied => to_allow(cluster, question, explanation, out),
        Verdict::Allowed => to_deny(cluster, question, explanation, out),
        Verdict::Undefined => {
            writeln!(
                out,
                "to settle it: make every line above say allowed, or one direction say denied in all"
            )
        }
    }
}

fn alike(a: &Explanation, b: &Explanation) -> bool {
    a.judgement == b.judgement
        && a.readings.len() == b.readings.len()
        && a.readings.iter().zip(&b.readings).all(|(a, b)| a.ingress == b.ingress && a.egress == b.egress)
}

fn of(reasons: &Reasons, direction: Direction) -> &(Verdict, Why) {
    match direction {
        Direction::Ingress => &reasons.ingress,
        Direction::Egress => &reasons.egress,
    }
}

fn sentence(question: &Question<'_>, whole: Judgement, explanations: &[Explanation]) -> String {
    let (from, to, place) = (question.from, question.to, question.place());
    let sides = match (whole.egress, whole.ingress) {
        (Verdict::Denied, Verdict::Denied) => {
            format!("neither the egress of {from} nor the ingress of {to} allows it")
        }
        (Verdict::Denied, other) => {
            format!("the ingress of {to} is {other}, but the egress of {from} does not allow it")
        }
        (other, Verdict::Denied) => {
            format!("the egress of {from} is {other}, but the ingress of {to} does not allow it")
        }
        _ if explanations.len() > 1 && explanations.iter().any(|one| one.judgement != whole) => {
            "its pods are not judged alike".to_owned()
        }
        _ => "NetworkPolicy leaves it open, or it hangs on an address".to_owned(),
    };
    match whole.verdict {
        Verdict::Allowed => format!("allowed: {from} may reach {to} on {place}."),
        Verdict::Denied => format!("denied: {from} may not reach {to} on {place}: {sides}."),
        Verdict::Undefined => format!("undefined: whether {from} may reach {to} on {place}: {sides}."),
    }
}

/// Which pods and which reading, where there are several.
fn heading(cluster: &Cluster, explanation: &Explanation, reasons: &Reasons, several: bool) -> Option<String> {
    let mut parts = Vec::new();
    if several {
        let Pair { from, to, .. } = explanation.pair;
        parts.push(format!("{} -> {}", name(cluster, from), name(cluster, to)));
    }
    match reasons.model {
        Some(Model::AsPod) => parts.push("where pods on the host network are judged as pods".to_owned()),
        Some(Model::AsNode) => parts.push("where pods on the host network count as their node".to_owned()),
        None => {}
    }
    if let (true, Some(from), Some(to)) = (explanation.readings.len() > 1, reasons.from, reasons.to) {
        parts.push(format!("from {from} to {to}"));
    }
    (!parts.is_empty()).then(|| format!("{}:", parts.join(", ")))
}

fn name(cluster: &Cluster, end: End) -> String {
    match end {
        End::Subject { id, .. } => {
            crate::evaluate::EndName::Workload(cluster.snapshot().subject(id).name.clone()).to_string()
        }
        End::Node { id, .. } => format!("node {}", cluster.snapshot().node_name(id)),
        End::Address(ip) | End::Service(ip) => ip.to_string(),
    }
}

fn side(
    cluster: &Cluster,
    question: &Question<'_>,
    direction: Direction,
    (verdict, why): &(Verdict, Why),
    out: &mut dyn Write,
) -> io::Result<()> {
    let word = if direction == Direction::Egress { "egress" } else { "ingress" };
    writeln!(out, "{word} of {}: {verdict}", question.end(direction))?;
    match why {
        Why::NotSelectable => writeln!(out, "  no policy can select it"),
        Why::NotIsolated => writeln!(out, "  no policy selects it for {word}: everything is allowed"),
        Why::Itself => writeln!(out, "  a pod cannot be kept from itself"),
        Why::OwnNode => writeln!(out, "  a node always reaches its own pods"),
        Why::ServiceAddress => {
            writeln!(out, "  this is a Service's address: ask about the pods behind it")
        }
        Why::Rules(uses) => uses.iter().try_for_each(|one| writeln!(out, "  by {}", rule_use(cluster, *one))),
        Why::AddressUnknown(uses) => {
            writeln!(
                out,
                "  the peer's address is not known; these would allow it if it is in their ipBlock:"
            )?;
            uses.iter().try_for_each(|one| writeln!(out, "  {}", rule_use(cluster, *one)))
        }
        Why::Isolated { policies, near } => {
            let names: Vec<String> = policies.iter().map(|&at| policy_name(cluster, at)).collect();
            writeln!(out, "  isolated by {}", names.join(", "))?;
            writeln!(out, "  none of their rules allows {}", missing(question, direction))?;
            for one in near.iter().take(MOST_NEAR) {
                writeln!(out, "  near: {}", near_miss(cluster, direction, *one))?;
            }
            match near.len().saturating_sub(MOST_NEAR) {
                0 => Ok(()),
                more => writeln!(out, "  near: {more} more"),
            }
        }
    }
}

fn missing(question: &Question<'_>, direction: Direction) -> String {
    match direction {
        Direction::Egress => format!("it to reach {} on {}", question.to, question.place()),
        Direction::Ingress => format!("{} on {}", question.from, question.place()),
    }
}

fn policy_name(cluster: &Cluster, at: usize) -> String {
    let meta = &cluster.policies()[at].meta;
    format!("{}/{}", meta.namespace, meta.name)
}

fn list_name(direction: Direction) -> (&'static str, &'static str) {
    match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    }
}

fn rule_use(cluster: &Cluster, one: RuleUse) -> String {
    let (list, peers) = list_name(one.direction);
    let peer = one.peer.map_or_else(|| "any peer".to_owned(), |at| format!("{peers}[{at}]"));
    let port = one.port.map_or_else(|| "any port".to_owned(), |at| format!("ports[{at}]"));
    format!("{} spec.{list}[{}]: {peer}, {port}", policy_name(cluster, one.policy), one.rule)
}

fn near_miss(cluster: &Cluster, direction: Direction, near: Near) -> String {
    let (list, _) = list_name(direction);
    let place = format!("{} spec.{list}[{}]", policy_name(cluster, near.policy), near.rule);
    match near.misses {
        Misses::Peer => format!("{place} has the port, for other peers"),
        Misses::Port => {
            let spec = &cluster.policies()[near.policy].spec;
            let ports = rules(spec, direction).get(near.rule).map(|rule| rule.1).unwrap_or_default();
            let ports: Vec<String> = ports.iter().map(super::words::policy_port).collect();
            format!("{place} has the peer, for other ports ({})", ports.join(", "))
        }
    }
}

fn to_allow(
    cluster: &Cluster,
    question: &Question<'_>,
    explanation: &Explanation,
    out: &mut dyn Write,
) -> io::Result<()> {
    for direction in [Direction::Egress, Direction::Ingress] {
        let denied = explanation.readings.iter().any(|reasons| of(reasons, direction).0 == Verdict::Denied);
        if !denied {
            continue;
        }
        let (list, peers) = list_name(direction);
        let Pair { from, to, .. } = explanation.pair;
        let (subject, peer) = if direction == Direction::Egress { (from, to) } else { (to, from) };
        writeln!(
            out,
            "to allow it, the {list} of {} needs a rule, in a policy of its namespace that selects it:",
            question.end(direction)
        )?;
        let port = Tree::map([
            ("protocol", Tree::text(question.protocol.as_str())),
            ("port", Tree::Number(u32::from(question.port))),
        ]);
        let rule = Tree::Map(vec![
            (peers.to_owned(), list_of(peer_tree(cluster, subject, peer))),
            ("ports".to_owned(), list_of(port)),
        ]);
        let mut written = Vec::new();
        let selector = ("podSelector".to_owned(), selector_tree(cluster, subject));
        tree::yaml(&Tree::Map(vec![selector, (list.to_owned(), list_of(rule))]), &mut written)?;
        for line in String::from_utf8_lossy(&written).lines() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

fn list_of(tree: Tree) -> Tree {
    Tree::List(vec![Item { comments: Vec::new(), tree }])
}

/// The labels that outlive a rollout; all of them where none does.
fn selector_tree(cluster: &Cluster, end: End) -> Tree {
    let End::Subject { id, .. } = end else { return Tree::Map(Vec::new()) };
    let labels = cluster.snapshot().labels(id);
    let stable: Vec<_> = labels.iter().filter(|(key, value)| label::is_stable(key, value)).collect();
    let kept = if stable.is_empty() { labels.iter().collect() } else { stable };
    let entries = kept.into_iter().map(|(key, value)| ((*key).to_owned(), Tree::text(*value))).collect();
    Tree::map([("matchLabels", Tree::Map(entries))])
}

fn peer_tree(cluster: &Cluster, subject: End, peer: End) -> Tree {
    let snapshot = cluster.snapshot();
    let namespace = |end: End| match end {
        End::Subject { id, .. } => Some(&snapshot.subject(id).name.namespace),
        _ => None,
    };
    let ip = match peer {
        End::Subject { id, .. } if !snapshot.subject(id).host_network => {
            let mut entries = Vec::new();
            if let (Some(own), true) = (namespace(peer), namespace(peer) != namespace(subject)) {
                let label = Tree::map([("kubernetes.io/metadata.name", Tree::text(&**own))]);
                entries.push(("namespaceSelector".to_owned(), Tree::map([("matchLabels", label)])));
            }
            entries.push(("podSelector".to_owned(), selector_tree(cluster, peer)));
            return Tree::Map(entries);
        }
        End::Subject { id, .. } => snapshot.subject(id).ips.first().copied(),
        End::Node { id, ip } => ip.or_else(|| snapshot.node_ips(id).first().copied()),
        End::Address(ip) | End::Service(ip) => Some(ip),
    };
    let cidr = ip.map_or_else(|| "NODE-ADDRESS".to_owned(), |ip| ipnet::IpNet::from(ip).to_string());
    Tree::map([("ipBlock", Tree::map([("cidr", Tree::text(cidr))]))])
}

fn to_deny(
    cluster: &Cluster,
    question: &Question<'_>,
    explanation: &Explanation,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut ways = Vec::new();
    for direction in [Direction::Egress, Direction::Ingress] {
        let (list, _) = list_name(direction);
        for reasons in &explanation.readings {
            let way = match &of(reasons, direction).1 {
                Why::Rules(uses) => {
                    let mut names: Vec<String> = uses
                        .iter()
                        .map(|one| format!("{} spec.{list}[{}]", policy_name(cluster, one.policy), one.rule))
                        .collect();
                    names.dedup();
                    format!("narrow or remove {}", names.join(" and "))
                }
                Why::NotIsolated => format!(
                    "isolate {} with a policy of type {direction} that allows only what it needs",
                    question.end(direction)
                ),
                _ => continue,
            };
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
    }
    if ways.is_empty() {
        return writeln!(out, "no NetworkPolicy can deny it");
    }
    writeln!(out, "to deny it, either end is enough:")?;
    ways.iter().try_for_each(|way| writeln!(out, "  {way}"))
}
