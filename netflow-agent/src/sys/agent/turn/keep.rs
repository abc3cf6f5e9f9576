//! What follows a drain: saving, cleaning the store, listing the cgroup tree when somebody new speaks, and telling
//! the figures. In: the loop's state. It logs changes of state, never flows.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use super::Turn;
use crate::engine::{Batch, Input, Output};
use crate::flow::Sample;
use crate::sys::bpf::{self, Capture};
use crate::sys::cgroup;
use crate::sys::clock::{self, Mark};
use crate::sys::store::{Limits, StoreError};
use crate::time::Time;

/// How often a store that is too large is cleaned before the hour is over.
const CLEAN_AGAIN: Duration = Duration::from_mins(1);
/// Cgroups that are remembered as no pod's.
const NO_PODS: usize = 8_192;

impl Turn {
    pub(super) fn save(&mut self, batch: &Batch, at: Time) -> Result<(), StoreError> {
        let saved = match self.store.save(batch) {
            Err(error) if error.is_damage() => self.begin_anew(&error, at),
            Err(error) => Err(error),
            Ok(()) => {
                self.saved(batch, at);
                Ok(())
            }
        };
        if let Err(error) = &saved {
            self.figures.save_failures += 1;
            if !std::mem::replace(&mut self.figures.store_failing, true) {
                let full = error.is_disk_full();
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    disk_full = full,
                    "the state folder cannot be written; capturing goes on, and flows wait in memory"
                );
            }
        }
        saved
    }

    fn saved(&mut self, batch: &Batch, at: Time) {
        self.figures.saves += 1;
        if std::mem::take(&mut self.figures.store_failing) {
            tracing::info!("the state folder can be written again; what waited is saved");
        }
        drop(self.engine.step(Input::Saved { at }));
        self.shared.tell(batch);
        if std::mem::take(&mut self.news.listed) {
            bpf::give_memory_back();
        }
    }

    /// The store was removed or spoilt under us: a new one gets all that is still known, which is this hour and the
    /// objects.
    fn begin_anew(&mut self, lost: &StoreError, at: Time) -> Result<(), StoreError> {
        let aside = self.store.begin_anew()?;
        tracing::error!(
            error = lost as &dyn std::error::Error,
            set_aside = aside.as_ref().map(|path| tracing::field::display(path.display())),
            "the store is lost; a new one is begun with this hour, and earlier ones are not in it"
        );
        let Output::Save(all) = self.engine.step(Input::StoreLost) else { return Ok(()) };
        self.store.save(&all)?;
        self.saved(&all, at);
        Ok(())
    }

    /// Lists the tree when a cgroup speaks that was not met before. Once is enough: it was there when it spoke,
    /// and what is not there now never will be.
    pub(super) fn look_for_cgroups(&mut self, samples: &[Sample], at: Time) {
        let unknown = |id: &u64| !self.no_pods.contains(id) && !self.engine.knows_cgroup(*id);
        let unknown: BTreeSet<u64> =
            samples.iter().filter_map(|sample| sample.cgroup).filter(unknown).collect();
        if unknown.is_empty() {
            return;
        }
        self.place_cgroups(at);
        if self.no_pods.len() + unknown.len() > NO_PODS {
            self.no_pods.clear();
        }
        self.no_pods.extend(unknown.into_iter().filter(|id| !self.engine.knows_cgroup(*id)).take(NO_PODS));
    }

    pub(super) fn place_cgroups(&mut self, at: Time) {
        let folders = cgroup::pods(&self.cgroup);
        drop(self.engine.step(Input::Cgroups { folders, at }));
    }

    pub(super) fn end_search(&mut self) {
        if self.searching && self.began.elapsed() >= self.pace.existing {
            self.searching = false;
            let ended = self.capture.as_mut().map_or(Ok(()), Capture::stop_existing);
            if let Err(error) = ended {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "end the search for older connections");
            }
        }
    }

    /// Cleans the store at the start and at every turn of the hour, and sooner while it is too large.
    pub(super) fn retain(&mut self) {
        let now = clock::now();
        // A clock that was just set deletes nothing for being old.
        let by_age = self.wall.is_settled();
        let due = self.cleaned.is_none_or(|(last, hour, was_by_age)| {
            let too_large = self.store.file_bytes() > self.pace.limits.bytes;
            hour != now.hour() || (by_age && !was_by_age) || (too_large && last.elapsed() >= CLEAN_AGAIN)
        });
        if !due || self.figures.store_failing {
            return;
        }
        self.cleaned = Some((Mark::now(), now.hour(), by_age));
        let age = if by_age { self.pace.limits.age } else { Duration::MAX };
        match self.store.retain(Limits { age, ..self.pace.limits }, now) {
            Ok(removed) if removed.hours > 0 => {
                tracing::info!(
                    hours = removed.hours,
                    objects = removed.objects,
                    "removed what was over the limits"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "clean the store"),
        }
    }

    pub(super) fn publish(&mut self) {
        let figures = &mut self.figures;
        figures.seen = self.engine.seen().clone();
        figures.map_capacity = u64::from(self.shared.map_capacity);
        figures.store_bytes = self.store.file_bytes();
        if std::mem::take(&mut self.news.objects_changed) {
            figures.objects.clear();
            for observed in self.engine.objects() {
                let kind = observed.object.kind_and_meta().0;
                match figures.objects.get_mut(kind) {
                    Some(count) => *count += 1,
                    None => drop(figures.objects.insert(kind.to_owned(), 1)),
                }
            }
        }
        let mut shared = self.shared.figures.lock().unwrap_or_else(PoisonError::into_inner);
        *shared = (figures.clone(), Mark::now());
    }
}
