//! A writer that a source of lines writes into: chunks of any size in, lines into the reader. For sources that
//! push (a store, an agent's answer) where `Reader::read` pulls.

use std::io::{self, Write};

use super::{ReadError, Reader};

/// Lines of one named input, cut from chunks. Call `end` when the input is over.
pub struct Feed<'r> {
    reader: &'r mut Reader,
    name: String,
    number: u64,
    partial: Vec<u8>,
    broken: Option<ReadError>,
}

impl<'r> Feed<'r> {
    pub fn new(reader: &'r mut Reader, name: impl Into<String>) -> Self {
        Self { reader, name: name.into(), number: 0, partial: Vec::new(), broken: None }
    }

    /// The last line, should it lack its end; and whatever was wrong with a line before.
    pub fn end(mut self) -> Result<(), ReadError> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let last = std::mem::take(&mut self.partial);
        self.number += 1;
        self.reader.numbered_line(&self.name, self.number, &last)
    }

    fn take(&mut self, line: &[u8]) -> io::Result<()> {
        self.number += 1;
        self.reader.numbered_line(&self.name, self.number, line).map_err(|error| {
            let words = io::Error::other(error.to_string());
            self.broken = Some(error);
            words
        })
    }
}

impl Write for Feed<'_> {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            if self.partial.is_empty() {
                self.take(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.take(&whole)?;
            }
            rest = &after[1..];
        }
        self.partial.extend_from_slice(rest);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
