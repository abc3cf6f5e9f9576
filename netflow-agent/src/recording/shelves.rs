//! Room for flows in memory: what files are to the program, for tests.

use std::io;

use super::spill::{Place, Scratch};

/// Places in memory, the first of which are none: what a full or missing disk is to files.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    missing: std::cell::Cell<usize>,
}

impl Shelves {
    pub(crate) fn missing(number: usize) -> Self {
        Self { missing: number.into() }
    }
}

impl Scratch for Shelves {
    fn place(&self) -> io::Result<Box<dyn Place>> {
        match self.missing.get() {
            0 => Ok(Box::new(Shelf(Vec::new()))),
            left => {
                self.missing.set(left - 1);
                Err(io::ErrorKind::ReadOnlyFilesystem.into())
            }
        }
    }
}

#[derive(Debug)]
struct Shelf(Vec<u8>);

impl Place for Shelf {
    fn writer(&mut self) -> &mut dyn io::Write {
        &mut self.0
    }

    fn reader(&self) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(Box::new(self.0.as_slice()))
    }
}
