//! Removes the lab when whoever built it ends, in whatever way: it waits for the end of its standard input,
//! in a process group of its own that no Ctrl-C reaches. One byte on the input means: leave the lab.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::Outcome;
use crate::lab::cgroup;

pub(super) fn run(folder: &Path, control: &Path) -> Outcome {
    let mut word = Vec::new();
    io::stdin().read_to_end(&mut word)?;
    if word.is_empty() { remove(folder, control) } else { Ok(()) }
}

/// Ends the lab's processes, and with them its network namespaces; removes its folders.
pub(crate) fn remove(folder: &Path, control: &Path) -> Outcome {
    cgroup::remove(control).map_err(|error| format!("remove {}: {error}", control.display()))?;
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("remove {}: {error}", folder.display()))?;
    }
    Ok(())
}
