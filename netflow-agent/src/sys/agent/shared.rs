//! What the loop and the tasks around it share: events to the loop, figures and news from it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, oneshot};

use super::super::clock::Mark;
use super::super::store::Reader;
use crate::api::figures::Figures;
use crate::engine::{Batch, Change};
use crate::recording;

/// Pieces that a follower may be behind before it is dropped: 16 MiB in all.
pub(super) const NEWS: usize = 256;
const PIECE_BYTES: usize = 64 * 1024;

/// What the loop is told.
#[derive(Debug)]
pub(crate) enum Event {
    Change(Box<Change>),
    /// The inventory could not be read; what is known stands.
    InventoryFailed,
    /// It can be read again, and nothing new was told.
    InventoryAnswers,
    /// Flows overflow in the kernel: drain now.
    Overflow,
    /// Somebody asks: save what there is, then say so.
    Fresh(oneshot::Sender<()>),
    Stop,
}

/// One per agent.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) node: Arc<str>,
    pub(super) interval: Duration,
    pub(super) map_capacity: u32,
    /// The latest figures, and when the loop last went round.
    pub(super) figures: Mutex<(Figures, Mark)>,
    pub(super) events: Sender<Event>,
    /// The loop was told of an overflow and has not looked yet.
    pub(super) overflowing: AtomicBool,
    pub(super) reader: Reader,
    /// Lines, in pieces of `PIECE_BYTES` and a line at most.
    pub(super) news: broadcast::Sender<Arc<[u8]>>,
    /// Lists of the inventory that are still to come.
    pub(super) awaited: AtomicUsize,
}

impl Shared {
    pub(crate) fn figures(&self) -> Figures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(crate) fn is_alive(&self) -> bool {
        let held = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        held.0.is_alive(held.1.elapsed(), self.interval)
    }

    pub(crate) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    pub(crate) fn news(&self) -> broadcast::Receiver<Arc<[u8]>> {
        self.news.subscribe()
    }

    /// Waits until everything seen so far is saved, or cannot be.
    pub(crate) async fn fresh(&self) {
        let (done, told) = oneshot::channel();
        if self.events.send(Event::Fresh(done)).is_ok() {
            // The loop answers each, or has ended.
            let _ended = told.await;
        }
    }

    pub(super) fn inventory_known(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) == 0
    }

    pub(super) fn list_came(&self) {
        let counted = |awaited: usize| awaited.checked_sub(1);
        // All came already: a list that comes again counts once.
        let _known = self.awaited.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// Hands what was saved to those who follow, as lines.
    pub(super) fn tell(&self, batch: &Batch) {
        if self.news.receiver_count() == 0 {
            return;
        }
        let mut lines = Vec::new();
        let mut write = || -> std::io::Result<()> {
            for observed in &batch.objects {
                writeln!(lines, "{}", recording::write::object_line(observed)?)?;
                self.pass_on(&mut lines, PIECE_BYTES);
            }
            for flow in &batch.flows {
                recording::write::write_flow(flow, &mut lines)?;
                self.pass_on(&mut lines, PIECE_BYTES);
            }
            for coverage in &batch.coverage {
                recording::write::write_coverage(coverage, &mut lines)?;
            }
            Ok(())
        };
        // Writing to memory does not fail.
        drop(write());
        self.pass_on(&mut lines, 1);
    }

    fn pass_on(&self, lines: &mut Vec<u8>, from_bytes: usize) {
        if lines.len() >= from_bytes {
            // The last follower may just have gone.
            drop(self.news.send(std::mem::take(lines).into()));
        }
    }
}
