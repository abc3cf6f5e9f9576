//! Pods and their addresses in time. In: all statements about one pod. Out: the pod as last seen, its earlier
//! versions, and for each of its addresses the span in which it held it.

use std::net::IpAddr;

use super::history::{Span, Stated, settle};
use crate::manifest::{Phase, Pod};
use crate::recording::Observed;
use crate::time::{Time, Window};

/// A pod's hold of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodHold {
    pub ip: IpAddr,
    pub from: Time,
    pub to: Time,
    /// No end was stated: the next holder of the address ends it.
    pub open: bool,
}

/// The life of one UID.
pub(super) struct Life<'a> {
    /// Oldest first; the last is the pod as last seen.
    pub(super) versions: Vec<&'a Pod>,
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) holds: Vec<PodHold>,
}

/// `statements` are about one pod and not empty.
pub(super) fn life<'a>(statements: &[(&'a Observed, &'a Pod)], window: Window) -> Life<'a> {
    let stated: Vec<Stated> =
        statements.iter().map(|statement| stated(statement, statements, window)).collect();
    // Two versions end each other only where the address changed: labels may change while a pod runs.
    let spans = settle(&stated, window, |one, other| statements[one].1.ips == statements[other].1.ips);
    let finished = statements.iter().filter_map(|(_, pod)| finished(pod)).min();
    let mut order: Vec<usize> = (0..statements.len()).collect();
    order.sort_by_key(|at| (spans[*at].from, spans[*at].to, observed_end(statements[*at].0)));
    let mut life = Life {
        versions: order.iter().map(|at| statements[*at].1).collect(),
        from: spans.iter().map(|span| span.from).min().unwrap_or(window.from),
        to: capped(spans.iter().map(|span| span.to).max().unwrap_or(Time::MAX), finished),
        holds: Vec::new(),
    };
    life.versions.dedup();
    for at in order {
        let (_, pod) = statements[at];
        for ip in &pod.ips {
            add(&mut life.holds, *ip, spans[at], finished);
        }
    }
    life
}

/// What a statement says of its time. A pod has no address yet, and then it has: a version without one is over where
/// the first with one begins. That is when the pod started, which may be before anybody was told of the version without.
fn stated((observed, pod): &(&Observed, &Pod), statements: &[(&Observed, &Pod)], window: Window) -> Stated {
    let begin = |observed: &Observed, pod: &Pod| observed.from.or(pod.started);
    let stated = Stated { from: begin(observed, pod), to: observed.to };
    if !pod.ips.is_empty() || matches!(pod.phase, Phase::Succeeded | Phase::Failed) {
        return stated;
    }
    let addressed = statements.iter().filter(|(_, pod)| !pod.ips.is_empty());
    match addressed.map(|(observed, pod)| begin(observed, pod).unwrap_or(window.from)).min() {
        Some(first) => Stated {
            from: stated.from.map(|from| from.min(first)),
            to: Some(stated.to.map_or(first, |to| to.min(first))),
        },
        None => stated,
    }
}

fn add(holds: &mut Vec<PodHold>, ip: IpAddr, span: Span, finished: Option<Time>) {
    let to = capped(span.to, finished);
    let open = span.open && finished.is_none();
    match holds.iter_mut().find(|hold| hold.ip == ip) {
        Some(hold) => {
            hold.from = hold.from.min(span.from);
            hold.to = hold.to.max(to);
            hold.open |= open;
        }
        None => holds.push(PodHold { ip, from: span.from.min(to), to, open }),
    }
}

/// A pod that ran to its end holds its address until its last container finished.
fn finished(pod: &Pod) -> Option<Time> {
    pod.over()
}

fn capped(to: Time, finished: Option<Time>) -> Time {
    finished.map_or(to, |finished| to.min(finished))
}

fn observed_end(observed: &Observed) -> Time {
    observed.to.unwrap_or(Time::MAX)
}
