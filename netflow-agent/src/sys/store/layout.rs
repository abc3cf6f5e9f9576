//! Names of the tables and the version of their layout. Whoever changes what a key or a value holds raises
//! `LAYOUT`; a file of another version is set aside beside the new one.

use redb::TableDefinition;

use crate::time::Hour;

/// The version of everything below and of `recording::row`.
pub(super) const LAYOUT: u32 = 1;

/// The store within the state folder.
pub const FILE: &str = "flows.redb";
pub(super) const LOCK: &str = "lock";

/// `layout` -> its version.
pub(super) const META: TableDefinition<'static, &str, u32> = TableDefinition::new("meta");
/// (hour, seq) -> the coverage line of the recording, node included.
pub(super) const COVERAGE: TableDefinition<'static, (i64, u32), &[u8]> = TableDefinition::new("coverage");
/// Kind, namespace, name, UID and `from` -> when it ended (`i64::MAX`: not yet), and the object's line.
pub(super) const OBJECTS: TableDefinition<'static, &[u8], (i64, &[u8])> = TableDefinition::new("objects");

/// The table of one hour's flows: `row::key` -> `row::counters`.
pub(super) type Flows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

const FLOWS: &str = "flows/";

pub(super) fn flows_name(hour: Hour) -> String {
    format!("{FLOWS}{}", hour.index())
}

/// The hour of a table, when it is one of flows.
pub(super) fn flows_hour(name: &str) -> Option<Hour> {
    name.strip_prefix(FLOWS)?.parse().ok().map(Hour::from_index)
}
