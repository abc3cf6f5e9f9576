//! Random clusters and what their workloads mean to do. In: a seed. Out: workloads of every kind, Services,
//! and the intended edges, which are the truth that generated policies are held against.

use std::collections::BTreeSet;

/// SplitMix64: the same numbers for the same seed, everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("below usize")
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Label values that YAML readers like to take for something else.
pub(crate) const HOSTILE: [&str; 20] = [
    "yes",
    "on",
    "off",
    "1e3",
    "012",
    "null",
    "n",
    "true",
    "1.5",
    "0x10",
    "",
    "No",
    "1_000",
    "0b1",
    "0o7",
    "2026-11-20",
    "NaN",
    "E5",
    "123456789",
    "deadbeef1",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    CronJob,
    Rollout,
}

#[expect(clippy::struct_excessive_bools, reason = "each is one feature of a random workload")]
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub namespace: &'static str,
    pub name: String,
    pub kind: Kind,
    /// What its controller selects by.
    pub selector: Vec<(String, String)>,
    /// Of its template beyond the selector.
    pub extra: Vec<(String, String)>,
    /// The controller object is in the recording.
    pub known: bool,
    /// Name, number, protocol.
    pub ports: Vec<(&'static str, u16, &'static str)>,
    pub host_network: bool,
    pub v6: bool,
    /// Replaced half-way by pods with another hash and one more label.
    pub rolling: bool,
    /// Starts half-way, on addresses that were another's before.
    pub late: bool,
    /// Carries the same labels as this earlier one.
    pub twin: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Direct,
    ClusterIp,
    NamedTarget,
    Headless,
    /// By the port that its Service has on every node.
    NodePort,
    /// By the address that its Service has outside.
    LoadBalancer,
    /// By a Service without a selector, whose endpoints were written by hand.
    Manual,
    /// By a name that a Service only passes on.
    ExternalName,
}

/// One end of what is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Workload(usize),
    /// The node that carries no ordinary pod.
    Node,
    /// The node whose address is dialled for a Service's port.
    DialledNode,
    External(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub from: Who,
    pub to: Who,
    pub port: u16,
    pub protocol: &'static str,
    pub access: Access,
    /// 0: both ends witness it; 1: the client's only; 2: the server's only.
    pub witness: usize,
}

/// A cluster before anything runs in it.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub workloads: Vec<Workload>,
    pub intents: Vec<Intent>,
    /// Tried and never came up.
    pub attempts: Vec<Intent>,
    /// Position of the cluster's DNS.
    pub dns: usize,
    pub dual: bool,
}

const NAMESPACES: [&str; 3] = ["shop", "shop-test", "ops"];
pub(crate) const EXTERNAL: [&str; 5] =
    ["203.0.113.4", "203.0.113.5", "203.0.113.9", "2001:db8::10", "2001:db8::11"];
const PORTS: [u16; 6] = [80, 8080, 8443, 5432, 9090, 53];
const PORT_NAMES: [&str; 3] = ["http", "admin", "peer"];

impl World {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let dual = dice.one_in(3);
        let mut workloads = Vec::new();
        let mut names = BTreeSet::new();
        for _ in 0..4 + dice.below(6) {
            let workload = workload(&mut dice, &workloads, dual);
            if names.insert((workload.namespace, workload.name.clone())) {
                workloads.push(workload);
            }
        }
        let dns = workloads.len();
        workloads.push(coredns(dual));
        let mut world = Self { workloads, intents: Vec::new(), attempts: Vec::new(), dns, dual };
        for _ in 0..3 + dice.below(10) {
            let intent = world.intent(&mut dice);
            world.intents.extend(intent);
        }
        for _ in 0..dice.below(3) {
            let intent = world.intent(&mut dice);
            world.attempts.extend(
                intent.filter(|one| matches!((&one.from, &one.to), (Who::Workload(_), Who::Workload(_)))),
            );
        }
        let meant = |one: &Intent| (one.from.clone(), one.to.clone(), one.port, one.protocol);
        let intents: BTreeSet<_> = world.intents.iter().map(|one| world.merged(meant(one))).collect();
        world.attempts = world
            .attempts
            .iter()
            .filter(|one| !intents.contains(&world.merged(meant(one))) && one.to != Who::Workload(dns))
            .cloned()
            .collect();
        world
    }

    /// Twins stand for their first.
    pub(crate) fn merged<T, P>(&self, edge: (Who, Who, T, P)) -> (Who, Who, T, P) {
        (self.first_twin(edge.0), self.first_twin(edge.1), edge.2, edge.3)
    }

    pub(crate) fn first_twin(&self, who: Who) -> Who {
        match who {
            Who::Workload(at) => Who::Workload(self.workloads[at].twin.unwrap_or(at)),
            other => other,
        }
    }

    /// The same with some of what is meant left out.
    pub(crate) fn less(&self, seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x1e55);
        let mut less = self.clone();
        less.intents.retain(|_| !dice.one_in(3));
        less
    }

    /// The port on every node that leads to a port of a workload.
    pub(crate) fn node_port(&self, at: usize, port: u16, protocol: &str) -> u16 {
        let same = |own: &(&str, u16, &str)| (own.1, own.2) == (port, protocol);
        let nth = self.workloads[at].ports.iter().position(same).expect("one of its ports");
        30_000 + u16::try_from(at * 10 + nth).expect("few")
    }

    /// The port of a node that a client dials for it; every second Service of those exposed has a balancer.
    pub(crate) fn dialled_node_port(&self, intent: &Intent) -> Option<u16> {
        let (Who::Workload(to), Who::Workload(_)) = (&intent.to, &intent.from) else { return None };
        let by_node =
            intent.access == Access::NodePort || (intent.access == Access::LoadBalancer && to % 2 == 0);
        by_node.then(|| self.node_port(*to, intent.port, intent.protocol))
    }

    pub(crate) fn is_subject(&self, who: &Who) -> bool {
        matches!(who, Who::Workload(at) if self.workloads[*at].namespace != "kube-system")
    }

    fn intent(&self, dice: &mut Dice) -> Option<Intent> {
        let pods: Vec<usize> =
            (0..self.workloads.len()).filter(|at| !self.workloads[*at].host_network).collect();
        let source = *dice.pick(&pods);
        let target = if dice.one_in(5) { self.dns } else { *dice.pick(&pods) };
        let port = *dice.pick(&self.workloads[target].ports);
        let mut intent = Intent {
            from: Who::Workload(source),
            to: Who::Workload(target),
            port: port.1,
            protocol: port.2,
            access: *dice.pick(&[
                Access::Direct,
                Access::ClusterIp,
                Access::NamedTarget,
                Access::Headless,
                Access::NodePort,
                Access::LoadBalancer,
            ]),
            witness: dice.below(3),
        };
        match dice.below(8) {
            0 => {
                intent.to = Who::External(dice.pick::<&'static str>(&self.outside(source)));
                intent.port = *dice.pick(&[443, 8443]);
                intent.protocol = "TCP";
                intent.access = *dice.pick(&[Access::Direct, Access::Manual, Access::ExternalName]);
            }
            1 => intent.from = Who::External(dice.pick::<&'static str>(&self.outside(target))),
            2 if self.has_host() => intent.from = Who::Node,
            3 if self.has_host() => {
                intent.to = Who::Node;
                intent.port = 9100;
                intent.protocol = "TCP";
                intent.access = *dice.pick(&[Access::Direct, Access::Manual]);
            }
            _ => {}
        }
        if self.is_subject(&intent.from) || self.is_subject(&intent.to) { Some(intent) } else { None }
    }

    fn has_host(&self) -> bool {
        self.workloads.iter().any(|one| one.host_network)
    }

    fn outside(&self, at: usize) -> Vec<&'static str> {
        let v6 = self.dual && self.workloads[at].v6;
        EXTERNAL.iter().copied().filter(|ip| v6 || !ip.contains(':')).collect()
    }
}

fn workload(dice: &mut Dice, earlier: &[Workload], dual: bool) -> Workload {
    let namespace = *dice.pick(&NAMESPACES);
    let name = (*dice.pick(&["web", "api", "db", "cart", "report", "edge.v1"])).to_owned();
    let kind = *dice.pick(&[
        Kind::Deployment,
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::CronJob,
        Kind::Rollout,
    ]);
    // Unique by name, so that what is told apart by hostile values is not told apart by chance.
    let mut selector = vec![("app".to_owned(), name.clone())];
    if dice.one_in(3) {
        selector.push(("flag".to_owned(), (*dice.pick(&HOSTILE)).to_owned()));
    }
    let mut extra = vec![("team".to_owned(), (*dice.pick(&["red", "blue", ""])).to_owned())];
    if dice.one_in(3) {
        extra.push(("app.kubernetes.io/version".to_owned(), format!("1.{}", dice.below(9))));
    }
    let mut ports = Vec::new();
    for name in PORT_NAMES.iter().take(1 + dice.below(3)) {
        let (port, protocol) = (*dice.pick(&PORTS), *dice.pick(&["TCP", "TCP", "UDP"]));
        if !ports.iter().any(|known: &(&str, u16, &str)| (known.1, known.2) == (port, protocol)) {
            ports.push((*name, port, protocol));
        }
    }
    let mut twin = None;
    let host_network = kind == Kind::DaemonSet && dice.one_in(2);
    // A canary: another Deployment with the very same labels.
    let candidates: Vec<usize> = (0..earlier.len())
        .filter(|at| {
            let one = &earlier[*at];
            one.namespace == namespace && !one.host_network && one.twin.is_none() && one.name != name
        })
        .collect();
    if !host_network && !candidates.is_empty() && dice.one_in(4) {
        let at = *dice.pick(&candidates);
        twin = Some(at);
        selector.clone_from(&earlier[at].selector);
        extra.clone_from(&earlier[at].extra);
    } else if !candidates.is_empty() && dice.one_in(4) {
        // All labels of another, and one more.
        selector.clone_from(&earlier[*dice.pick(&candidates)].selector);
        selector.push(("tier".to_owned(), name.clone()));
    }
    let rolling = kind == Kind::Deployment && twin.is_none() && dice.one_in(3);
    let late = !rolling && !host_network && dice.one_in(4);
    Workload {
        namespace,
        name,
        kind,
        selector,
        extra,
        known: dice.one_in(2),
        ports,
        host_network,
        v6: dual && dice.one_in(2),
        rolling,
        late,
        twin,
    }
}

fn coredns(dual: bool) -> Workload {
    Workload {
        namespace: "kube-system",
        name: "coredns".to_owned(),
        kind: Kind::Deployment,
        selector: vec![("k8s-app".to_owned(), "kube-dns".to_owned())],
        extra: Vec::new(),
        known: true,
        ports: vec![("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")],
        host_network: false,
        v6: dual,
        rolling: false,
        late: false,
        twin: None,
    }
}
