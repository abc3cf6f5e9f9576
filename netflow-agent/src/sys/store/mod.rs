//! Hours on disk: flows, coverage and objects in one redb file per state folder.
