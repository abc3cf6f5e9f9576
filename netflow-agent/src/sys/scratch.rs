//! Room for what does not fit into memory: nameless files, gone when this process is, however it ends.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

use crate::recording::spill::{Place, Scratch};

/// Files in the folder for large temporary files: `TMPDIR`, else `/var/tmp`, since `/tmp` is often memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl Scratch for Files {
    fn place(&self) -> io::Result<Box<dyn Place>> {
        let folder = folder();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        Ok(Box::new(Laid(tempfile::tempfile_in(&folder).map_err(named)?)))
    }
}

fn folder() -> PathBuf {
    let large = PathBuf::from("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && large.is_dir() { large } else { std::env::temp_dir() }
}

#[derive(Debug)]
struct Laid(File);

impl Place for Laid {
    fn writer(&mut self) -> &mut dyn Write {
        &mut self.0
    }

    fn reader(&self) -> io::Result<Box<dyn Read + '_>> {
        let mut file = &self.0;
        file.rewind()?;
        Ok(Box::new(file))
    }
}
