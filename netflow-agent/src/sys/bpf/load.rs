//! Loads the object and attaches its programs. In: options and a cgroup folder. Out: programs that run until
//! they are dropped, and their maps. Needs CAP_BPF and CAP_NET_ADMIN, nothing more.

use std::fs::File;
use std::io;
use std::path::Path;

use aya::programs::links::CgroupAttachMode;
use aya::programs::{CgroupSkbAttachType, Program, ProgramError};
use aya::{Ebpf, EbpfLoader};
use netflow_common::names::{map, program};

use super::{Error, Options, require};

/// The object that the build script chose.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netflow.o"));

/// The programs that stay attached, in the order of attaching: those that learn of a socket before those that
/// ask about it. Beside each what takes its place on a kernel that refuses it.
const LASTING: [(&str, Option<&str>); 10] = [
    (program::TCP, None),
    (program::RELEASE, None),
    (program::BIND4, Some(program::QUIET_BIND4)),
    (program::BIND6, Some(program::QUIET_BIND6)),
    (program::CONNECT4, None),
    (program::CONNECT6, None),
    (program::SENDMSG4, None),
    (program::SENDMSG6, None),
    (program::RECVMSG4, None),
    (program::RECVMSG6, None),
];

/// The programs of the window for what is older than the agent.
pub(super) const WINDOW: [&str; 2] = [program::EXISTING, program::EXISTING_INGRESS];

/// Loads every program and map, and attaches nothing. Returns the names of the programs that are to stay.
pub(super) fn load(options: &Options) -> Result<(Ebpf, Vec<&'static str>), Error> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if !require::is_new_enough(&release) {
        return Err(Error::Kernel { release });
    }
    let mut ebpf = EbpfLoader::new()
        .map_max_entries(map::FLOWS[0], options.entries)
        .map_max_entries(map::FLOWS[1], options.entries)
        .map_max_entries(map::OVERFLOW, options.ring_bytes)
        .load(OBJECT)
        .map_err(|source| Error::Load { source: Box::new(source) })?;
    let mut names = Vec::new();
    for (name, instead) in LASTING {
        let loaded = load_program(&mut ebpf, name);
        names.push(match (loaded, instead) {
            (Ok(()), _) => name,
            (Err(_refused), Some(instead)) => {
                load_program(&mut ebpf, instead)?;
                instead
            }
            (Err(error), None) => return Err(error),
        });
    }
    if options.existing_window {
        for name in WINDOW {
            load_program(&mut ebpf, name)?;
        }
    }
    Ok((ebpf, names))
}

/// How often a load is tried again that a signal has interrupted: as often as libbpf does.
const ATTEMPTS: usize = 5;

fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<(), Error> {
    let program = ebpf.program_mut(name).ok_or(Error::Missing { what: "program", name })?;
    let mut attempts = ATTEMPTS;
    loop {
        let loaded = match program {
            Program::SockOps(program) => program.load(),
            Program::CgroupSockAddr(program) => program.load(),
            Program::CgroupSock(program) => program.load(),
            Program::CgroupSkb(program) => program.load(),
            _ => return Err(Error::Missing { what: "program of a known kind", name }),
        };
        attempts -= 1;
        match loaded {
            // The verifier gives up with EAGAIN when a signal waits for the process.
            Err(ProgramError::LoadError { io_error, .. })
                if attempts > 0 && io_error.kind() == io::ErrorKind::WouldBlock => {}
            Err(source) => return Err(Error::Program { name, source: Box::new(source) }),
            Ok(()) => return Ok(()),
        }
    }
}

/// Attaches one loaded program to the cgroup that `folder` is open on.
pub(super) fn attach(ebpf: &mut Ebpf, name: &'static str, folder: &File, path: &Path) -> Result<(), Error> {
    let program = ebpf.program_mut(name).ok_or(Error::Missing { what: "program", name })?;
    // `Single` is the mode that a link takes, and others' programs run beside a link.
    let mode = CgroupAttachMode::Single;
    let attached = match program {
        Program::SockOps(program) => program.attach(folder, mode).map(drop),
        Program::CgroupSockAddr(program) => program.attach(folder, mode).map(drop),
        Program::CgroupSock(program) => program.attach(folder, mode).map(drop),
        Program::CgroupSkb(program) if name == program::EXISTING => {
            program.attach(folder, CgroupSkbAttachType::Egress, mode).map(drop)
        }
        Program::CgroupSkb(program) => program.attach(folder, CgroupSkbAttachType::Ingress, mode).map(drop),
        _ => return Err(Error::Missing { what: "program of a known kind", name }),
    };
    attached.map_err(|source| {
        let path = path.to_path_buf();
        if is_refused(&source) {
            Error::Exclusive { name, path }
        } else {
            Error::Attach { name, path, source: Box::new(source) }
        }
    })
}

/// Loading has succeeded, so capabilities are there: EPERM now means that a program attached without
/// `BPF_F_ALLOW_MULTI` wants no company.
fn is_refused(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(call) if call.io_error.kind() == io::ErrorKind::PermissionDenied)
}

/// Ends one program's run: it is detached and unloaded.
pub(super) fn unload(ebpf: &mut Ebpf, name: &'static str) -> Result<(), Error> {
    let program = ebpf.program_mut(name).ok_or(Error::Missing { what: "program", name })?;
    let unloaded = match program {
        Program::SockOps(program) => program.unload(),
        Program::CgroupSockAddr(program) => program.unload(),
        Program::CgroupSock(program) => program.unload(),
        Program::CgroupSkb(program) => program.unload(),
        _ => return Err(Error::Missing { what: "program of a known kind", name }),
    };
    unloaded.map_err(|source| Error::Program { name, source: Box::new(source) })
}
