//! `observe --follow` over all nodes of a cluster. In: news of all agents. Out: edges as they grow, and on stderr
//! who is heard, who goes away and who comes back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use super::cluster::{ClusterArgs, lacks, nobody};
use super::follow::{Heard, Printer};
use super::{Failure, Streams};
use crate::sys::clock::Mark;
use crate::sys::cluster::follow::News;

/// Follows all nodes until SIGINT or SIGTERM; who is heard, goes away and comes back is said on stderr.
pub(super) fn follow(
    args: &ClusterArgs,
    mut printer: Printer<'_>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let session = args.open()?;
    let Streams { out, err, .. } = streams;
    let err = RefCell::new(err);
    let (mut heard, mut n_heard, mut due) = (Heard::default(), 0, Due::default());
    let mut refused = BTreeSet::new();
    let agents = Cell::new(0);
    let told = session.follow(
        &mut |answered, n_agents| {
            agents.set(n_agents);
            let mut err = err.borrow_mut();
            let lacks = lacks(args, answered, n_agents, &mut **err)?;
            Ok(lacks.report(&mut **err)?)
        },
        &mut |news| {
            let mut err = err.borrow_mut();
            match news {
                Some(News::Lines { node, lines }) => {
                    // What one node says wrong is no reason to stop hearing the others.
                    match heard.take_node(&node, &lines) {
                        Ok(_) => due.is_new = true,
                        Err(failure) => writeln!(err, "not read: {}", failure.chain())?,
                    }
                }
                Some(News::Heard { node, back }) => {
                    n_heard += 1;
                    writeln!(err, "following: node {node}{}", if back { ", back again" } else { "" })?;
                }
                Some(News::Away { node, error }) => {
                    heard.cut(&node);
                    writeln!(err, "away: node {node}: {}", error.chain())?;
                    if error.is_forbidden() {
                        refused.insert(node);
                    }
                    if n_heard == 0 && refused.len() == agents.get() {
                        return Err(nobody(args, true));
                    }
                }
                Some(News::Blind { error }) => writeln!(err, "new nodes are not seen: {}", error.chain())?,
                None if due.comes() => {
                    due.took(|| printer.print(&mut heard, *out))?;
                    if let Some(words) = heard.short() {
                        writeln!(err, "{words}")?;
                    }
                }
                None => {}
            }
            Ok(())
        },
    )?;
    match told {
        Ok(()) => printer.print(&mut heard, *out),
        failed => failed,
    }
}

/// When to look again: every second that brought something, and never for more than a fifth of the time.
#[derive(Default)]
struct Due {
    is_new: bool,
    wait: Duration,
}

impl Due {
    /// Called once a second.
    fn comes(&mut self) -> bool {
        self.wait = self.wait.saturating_sub(Duration::from_secs(1));
        self.is_new && self.wait.is_zero()
    }

    fn took(&mut self, look: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let begun = Mark::now();
        look()?;
        (self.is_new, self.wait) = (false, begun.elapsed() * 4);
        Ok(())
    }
}
