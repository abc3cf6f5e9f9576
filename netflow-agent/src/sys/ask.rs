//! Asks the agent of this machine over its unix socket. In: the socket, a path of the query API. Out: the body
//! of the answer as it comes; one that was cut short is an error, never a shorter answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Why the agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("connect to the agent at {}", .socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error("ask the agent at {}", .socket.display())]
    Exchange { socket: PathBuf, source: io::Error },
    #[error("the agent at {} refused: {words}", .socket.display())]
    Refused { socket: PathBuf, words: String },
}

impl AskError {
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Connect { .. } => Some(
                "is the agent running, and may you read its socket? else name data by `--input`, `--state-dir` or `--agent`",
            ),
            Self::Exchange { .. } | Self::Refused { .. } => None,
        }
    }
}

/// The body of a GET.
pub fn get(socket: &Path, path: &str) -> Result<impl BufRead + use<>, AskError> {
    let mut stream = UnixStream::connect(socket)
        .map_err(|source| AskError::Connect { socket: socket.to_owned(), source })?;
    let failed = |source| AskError::Exchange { socket: socket.to_owned(), source };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut input = BufReader::with_capacity(64 << 10, stream);
    let head = Head::read(&mut input).map_err(failed)?;
    let mut body =
        Body { input, left: head.length.unwrap_or(0), chunked: head.length.is_none(), ended: false };
    if head.status == 200 {
        return Ok(BufReader::with_capacity(64 << 10, body));
    }
    let mut words = String::new();
    Read::by_ref(&mut body).take(1 << 10).read_to_string(&mut words).map_err(failed)?;
    Err(AskError::Refused { socket: socket.to_owned(), words: words.trim().to_owned() })
}

struct Head {
    status: u16,
    /// None: it comes in chunks.
    length: Option<u64>,
}

impl Head {
    fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let first = line(input)?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let mut head = Self { status: status.ok_or_else(malformed)?, length: None };
        let mut is_chunked = false;
        loop {
            let header = line(input)?.to_ascii_lowercase();
            let Some((name, value)) = header.split_once(':') else { break };
            match (name, value.trim()) {
                ("content-length", value) => head.length = Some(value.parse().map_err(io::Error::other)?),
                ("transfer-encoding", "chunked") => is_chunked = true,
                _ => {}
            }
        }
        if is_chunked {
            head.length = None;
        } else if head.length.is_none() {
            return Err(malformed());
        }
        Ok(head)
    }
}

/// The bytes of an answer, without the chunks' frames.
struct Body<R> {
    input: R,
    /// Of this chunk, or of all.
    left: u64,
    chunked: bool,
    ended: bool,
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && self.chunked && !self.ended {
            self.next_chunk()?;
        }
        if self.left == 0 || bytes.is_empty() {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let n_bytes = self.input.read(&mut bytes[..wanted])?;
        if n_bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut short"));
        }
        self.left -= n_bytes as u64;
        if self.left == 0 && self.chunked {
            line(&mut self.input)?;
        }
        Ok(n_bytes)
    }
}

impl<R: BufRead> Body<R> {
    fn next_chunk(&mut self) -> io::Result<()> {
        let size = line(&mut self.input)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        self.ended = self.left == 0;
        Ok(())
    }
}

/// One line of a head, without its end.
fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if input.take(8 << 10).read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut short"));
    }
    Ok(line.trim_end().to_owned())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> io::Result<String> {
        let mut input = text.as_bytes();
        let head = Head::read(&mut input)?;
        let chunked = head.length.is_none();
        let mut body = Body { input, left: head.length.unwrap_or(0), chunked, ended: false };
        let mut text = String::new();
        body.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn chunks_and_lengths_are_read_to_their_end() {
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab\ncd\r\n";
        let whole =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\ncd\r\n2;x=y\r\nef\r\n0\r\n\r\n";
        assert!(body(chunks).is_err(), "a chunk of another size");
        assert_eq!(body(whole).ok().as_deref(), Some("ab\ncdef"));
        assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd").ok().as_deref(), Some("abc"));
    }

    #[test]
    fn an_answer_cut_short_is_an_error() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for rest in ["", "5\r\nab", "5\r\nab\ncd\r\n", "zz\r\n"] {
            assert!(body(&format!("{head}{rest}")).is_err(), "{rest:?}");
        }
        assert!(body("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab").is_err());
        assert!(body("nonsense\r\n\r\n").is_err());
    }
}
