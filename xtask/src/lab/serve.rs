//! A TCP server of the lab: both families, any number of ports, answers with what it was sent.

use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};

use crate::Outcome;

pub(super) fn run(ports: &[u16]) -> Outcome {
    let mut threads = Vec::new();
    for port in ports {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port))?;
        threads.push(std::thread::spawn(move || accept(&listener)));
    }
    println!("ready");
    for thread in threads {
        thread.join().map_err(|_panic| "a server thread panicked")??;
    }
    Ok(())
}

fn accept(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        std::thread::spawn(move || drop(echo(stream)));
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            n_bytes => stream.write_all(&bytes[..n_bytes])?,
        }
    }
}
