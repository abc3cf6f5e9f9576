//! Rule sets as NetworkPolicy, the first dialect. In: policies, and how much evidence to show. Out: trees that
//! name namespace, policy types and protocols, with the evidence as comments; no field depends on a count.

use std::io::{self, Write};

use super::tree::{self, Item, Tree};
use crate::edge::Witness;
use crate::flow::Basis;
use crate::manifest::Labels;
use crate::net::Direction;
use crate::policy::{Evidence, MANAGED_BY, Observed, Peer, Policy, Port, Rule, Selector, Why, words};

/// How much of the evidence stands beside the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    None,
    /// One line a rule.
    #[default]
    Short,
    /// One line a peer and port.
    Full,
}

/// The annotation that says which version wrote the policy.
pub const VERSION_ANNOTATION: &str = "netflow/version";

/// A stream of documents, in the order given.
pub fn yaml(policies: &[Policy], detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    for (at, policy) in policies.iter().enumerate() {
        if at > 0 {
            out.write_all(b"---\n")?;
        }
        yaml_document(policy, detail, out)?;
    }
    Ok(())
}

/// One document, without `---`.
pub fn yaml_document(policy: &Policy, detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    if detail != Detail::None {
        tree::comment(&title(policy), out)?;
    }
    tree::yaml(&tree(policy, detail), out)
}

/// A `List`, one policy a line.
pub fn json(policies: &[Policy], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[")?;
    for (at, policy) in policies.iter().enumerate() {
        out.write_all(if at > 0 { b",\n" } else { b"\n" })?;
        tree::json(&tree(policy, Detail::None), out)?;
    }
    out.write_all(b"\n]}\n")
}

fn title(policy: &Policy) -> String {
    if policy.is_default_deny() {
        return format!("What no other policy of namespace {} allows is denied.", policy.namespace);
    }
    policy.workloads.iter().map(words::workload).collect::<Vec<_>>().join(", ")
}

fn tree(policy: &Policy, detail: Detail) -> Tree {
    let mut spec = vec![
        ("podSelector".to_owned(), selector(&policy.selector)),
        (
            "policyTypes".to_owned(),
            Tree::list(policy.directions.iter().map(|direction| Tree::text(direction.as_str()))),
        ),
    ];
    for direction in Direction::BOTH {
        let rules: Vec<Item> = policy
            .rules
            .iter()
            .filter(|rule| rule.direction == direction)
            .map(|rule| Item { comments: comments(rule, detail), tree: self::rule(rule) })
            .collect();
        if !rules.is_empty() {
            let field = if direction == Direction::Ingress { "ingress" } else { "egress" };
            spec.push((field.to_owned(), Tree::List(rules)));
        }
    }
    Tree::map([
        ("apiVersion", Tree::text("networking.k8s.io/v1")),
        ("kind", Tree::text("NetworkPolicy")),
        (
            "metadata",
            Tree::map([
                ("name", Tree::text(policy.name.clone())),
                ("namespace", Tree::text(&*policy.namespace)),
                ("labels", Tree::map([(MANAGED_BY.0, Tree::text(MANAGED_BY.1))])),
                ("annotations", Tree::map([(VERSION_ANNOTATION, Tree::text(env!("CARGO_PKG_VERSION")))])),
            ]),
        ),
        ("spec", Tree::Map(spec)),
    ])
}

fn selector(selector: &Selector) -> Tree {
    let mut fields = Vec::new();
    if !selector.equal.is_empty() {
        fields.push(("matchLabels".to_owned(), labels(&selector.equal)));
    }
    if !selector.absent.is_empty() {
        let absent = selector
            .absent
            .iter()
            .map(|key| Tree::map([("key", Tree::text(&**key)), ("operator", Tree::text("DoesNotExist"))]));
        fields.push(("matchExpressions".to_owned(), Tree::list(absent)));
    }
    Tree::Map(fields)
}

fn labels(labels: &Labels) -> Tree {
    Tree::Map(labels.iter().map(|(key, value)| ((**key).to_owned(), Tree::text(&**value))).collect())
}

fn rule(rule: &Rule) -> Tree {
    let side = if rule.direction == Direction::Ingress { "from" } else { "to" };
    Tree::map([
        (side, Tree::list(rule.peers.iter().map(peer))),
        ("ports", Tree::list(rule.ports.iter().copied().filter_map(ports))),
    ])
}

fn peer(peer: &Peer) -> Tree {
    match peer {
        Peer::Pods { namespace, selector: pods } => {
            let mut fields = Vec::new();
            if let Some(label) = namespace {
                let pair = Tree::Map(vec![((*label.key).to_owned(), Tree::text(&*label.value))]);
                fields.push(("namespaceSelector".to_owned(), Tree::map([("matchLabels", pair)])));
            }
            fields.push(("podSelector".to_owned(), selector(pods)));
            Tree::Map(fields)
        }
        Peer::Block { cidr, except } => {
            let mut block = vec![("cidr".to_owned(), Tree::text(cidr.to_string()))];
            if !except.is_empty() {
                let holes = Tree::list(except.iter().map(|hole| Tree::text(hole.to_string())));
                block.push(("except".to_owned(), holes));
            }
            Tree::map([("ipBlock", Tree::Map(block))])
        }
    }
}

fn ports(port: Port) -> Option<Tree> {
    let mut fields = vec![("protocol".to_owned(), Tree::text(port.protocol.as_str()))];
    let first = port.range.first.max(1);
    if (first, port.range.last) != (1, u16::MAX) {
        fields.push(("port".to_owned(), Tree::Number(first.into())));
        if port.range.last > first {
            fields.push(("endPort".to_owned(), Tree::Number(port.range.last.into())));
        }
    }
    (port.range.last >= first).then_some(Tree::Map(fields))
}

fn comments(rule: &Rule, detail: Detail) -> Vec<String> {
    match detail {
        Detail::None => Vec::new(),
        Detail::Short => short(rule),
        Detail::Full => rule.evidence.iter().map(|evidence| full(evidence, rule.direction)).collect(),
    }
}

/// What was seen of all peers in one line, and what was declared in another.
fn short(rule: &Rule) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen: Option<Observed> = None;
    let (mut others, mut declared) = (Vec::new(), Vec::new());
    for evidence in &rule.evidence {
        let other = words::endpoint(&evidence.other);
        match &evidence.why {
            Why::Observed(observed) => {
                seen = Some(seen.map_or_else(|| observed.clone(), |seen| seen.and(observed)));
                others.push(other);
            }
            Why::Declared(why) => {
                declared.push(format!("{} is declared, not seen: {why}", spelled(evidence.port)));
            }
        }
    }
    others.dedup();
    declared.sort();
    declared.dedup();
    if let Some(seen) = seen {
        let whom = match &others[..] {
            [one] => one.clone(),
            [one, two] => format!("{one} and {two}"),
            many => format!("{} and {} more", many[0], many.len() - 1),
        };
        lines.push(format!("{} {whom}: {}", preposition(rule.direction), evidence_words(&seen)));
    }
    lines.extend(declared);
    lines
}

fn full(evidence: &Evidence, direction: Direction) -> String {
    let other = words::endpoint(&evidence.other);
    let port = spelled(evidence.port);
    match &evidence.why {
        Why::Observed(observed) => {
            let via: Vec<String> =
                observed.via.iter().map(|via| format!("{}/{}", via.namespace, via.name)).collect();
            let via = if via.is_empty() { String::new() } else { format!(" by Service {}", via.join(", ")) };
            format!("{} {other} on {port}{via}: {}", preposition(direction), evidence_words(observed))
        }
        Why::Declared(why) => {
            format!("{} {other} on {port}: declared, not seen: {why}", preposition(direction))
        }
    }
}

const fn preposition(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

fn spelled(port: Port) -> String {
    match (port.range.first, port.range.last) {
        (0 | 1, u16::MAX) => format!("all of {}", port.protocol),
        (first, last) if first == last => format!("{} {first}", port.protocol),
        (first, last) => format!("{} {first}-{last}", port.protocol),
    }
}

fn evidence_words(seen: &Observed) -> String {
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let hours = u64::try_from(seen.hours.len()).unwrap_or(u64::MAX);
    let witness = match seen.witness {
        Witness::Both => "seen by both ends",
        Witness::Client => "seen by the client only",
        Witness::Server => "seen by the server only",
    };
    let mut words = format!(
        "{} connection{} in {hours} hour{}, {} to {}, {witness}",
        seen.connections,
        plural(seen.connections),
        plural(hours),
        seen.first,
        seen.last,
    );
    if seen.basis == Basis::Existing {
        words.push_str(", older than the agent");
    }
    if seen.unconfirmed {
        words.push_str(", no answer seen");
    }
    words
}
