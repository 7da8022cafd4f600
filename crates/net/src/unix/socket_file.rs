//! The file of a listening Unix domain socket: made by bind(2), with the bits that were asked for,
//! in place of one that nobody listens at; and removed by the process that made it. Uses
//! `unix::address`, `connect::socket`, `io::fork`, `error`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::net;

use crate::connect::socket::new_unix_socket;
use crate::error::{Code, Error, Result};
use crate::io::fork;
use crate::io::system::Socket;
use crate::text::{printable, system_text};
use crate::unix::address::UnixAddress;

/// Lock files in a row that another process has removed meanwhile.
const ATTEMPTS: usize = 16;

/// How the file of a socket is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileOptions {
    /// Its permission bits; without them the umask decides.
    pub mode: Option<u32>,
    /// A socket's file at which nobody listens may be replaced.
    pub unlink: bool,
}

/// The file of a socket of ours, which goes with it. To be dropped before the socket is: as long as
/// that is open, no other file can get the same inode.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// The process that it belongs to, see [`fork::generation`].
    generation: u64,
}

/// Binds the socket and listens: its file, if it has one.
pub fn listen(
    socket: &Socket,
    address: &UnixAddress,
    options: FileOptions,
    backlog: i32,
) -> Result<Option<SocketFile>> {
    let Some(path) = address.path() else {
        bind(socket, address)?;
        socket.listen(backlog)?;
        return Ok(None);
    };
    // Until it listens, others could not tell it from one that nobody listens at.
    let lock = options.unlink.then(|| Lock::take(path)).transpose()?;
    if lock.is_some() {
        remove_stale(path, || probe(address))?;
    }
    let file = bind_file(socket, address, path, options.mode)?;
    socket.listen(backlog)?;
    Ok(Some(file))
}

fn bind(socket: &Socket, address: &UnixAddress) -> Result<()> {
    let bound = address.to_system().and_then(|address| net::bind(socket, &address));
    bound.map_err(|errno| bind_error(errno, ""))
}

fn bind_file(
    socket: &Socket,
    address: &UnixAddress,
    path: &Path,
    mode: Option<u32>,
) -> Result<SocketFile> {
    if let Some(mode) = mode {
        // On Linux the file gets the bits of the socket, less the umask; elsewhere this fails.
        let _ = fs::fchmod(socket, Mode::from_raw_mode(mode as _));
    }
    bind(socket, address).map_err(|error| explain(error, path))?;
    let file = SocketFile::at(path).map_err(|errno| bind_error(errno, ""))?;
    if let Some(mode) = mode {
        // Nobody can connect before it listens.
        file.set_mode(Mode::from_raw_mode(mode as _)).map_err(|errno| bind_error(errno, ""))?;
    }
    Ok(file)
}

/// What to do about a file that is in the way.
fn explain(error: Error, path: &Path) -> Error {
    match fs::lstat(path) {
        Ok(found) if is_socket(&found) && error.code() == Code::Address => {
            let hint = "(unlink = true replaces a socket that nobody listens at)";
            Error::new(Code::Address, format!("{} {hint}", error.detail()))
        }
        _ => error,
    }
}

fn is_socket(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Socket
}

/// What is not permitted is no fault of the address.
fn bind_error(errno: Errno, what: &str) -> Error {
    let code = match errno {
        Errno::ACCESS | Errno::PERM => Code::Io,
        _ => Code::Address,
    };
    Error::new(code, format!("{what}{}", system_text(&io::Error::from(errno))))
}

impl SocketFile {
    /// The file that was just made there.
    fn at(path: &Path) -> rustix::io::Result<Self> {
        let found = fs::lstat(path)?;
        // A relative path leads elsewhere once the working directory is another.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (device, inode) = identity(&found);
        Ok(Self { path, device, inode, generation: fork::generation() })
    }

    fn is_there(&self) -> bool {
        let found = fs::lstat(&self.path);
        found.is_ok_and(|found| identity(&found) == (self.device, self.inode))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_mode(&self, mode: Mode) -> rustix::io::Result<()> {
        use std::os::fd::AsRawFd;
        // chmod(2) would follow a symbolic link that somebody has put there meanwhile.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::open(&self.path, flags, Mode::empty())?;
        let found = fs::fstat(&file)?;
        if identity(&found) != (self.device, self.inode) {
            return Err(Errno::NOENT);
        }
        if Mode::from_raw_mode(found.st_mode) == mode {
            return Ok(());
        }
        match fs::chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode) {
            // Without /proc there is no other way.
            Err(Errno::NOENT | Errno::NOTDIR) => fs::chmod(&self.path, mode),
            result => result,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn set_mode(&self, mode: Mode) -> rustix::io::Result<()> {
        fs::chmodat(fs::CWD, &self.path, mode, fs::AtFlags::SYMLINK_NOFOLLOW)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.generation == fork::generation() && self.is_there() {
            // One that cannot be removed stays: its listener is closed all the same.
            let _ = fs::unlink(&self.path);
        }
    }
}

#[allow(clippy::unnecessary_cast)] // Systems differ in the width of these.
fn identity(found: &Stat) -> (u64, u64) {
    (found.st_dev as u64, found.st_ino as u64)
}

/// Removes a socket's file that nobody listens at, as `probe` tells; no other file is touched.
fn remove_stale(path: &Path, probe: impl FnOnce() -> rustix::io::Result<()>) -> Result<()> {
    let stale = match fs::lstat(path) {
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(bind_error(errno, "")),
        Ok(found) if !is_socket(&found) => {
            let detail = "the file there is no socket, and is not replaced";
            return Err(Error::new(Code::Address, detail));
        }
        Ok(found) => identity(&found),
    };
    match probe() {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => {
            Err(bind_error(Errno::ADDRINUSE, ""))
        }
        Err(Errno::CONNREFUSED) => remove(path, stale),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(bind_error(errno, "cannot tell whether anybody listens there: ")),
    }
}

/// Removes the file with this identity. A server that takes no lock may have put its own there.
fn remove(path: &Path, stale: (u64, u64)) -> Result<()> {
    match fs::lstat(path) {
        Ok(found) if identity(&found) != stale => return Err(bind_error(Errno::ADDRINUSE, "")),
        _ => {}
    }
    match fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(bind_error(errno, "cannot replace the socket there: ")),
    }
}

/// Connects as a client would, and goes.
fn probe(address: &UnixAddress) -> rustix::io::Result<()> {
    let opened = new_unix_socket();
    let socket = opened.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOTSUP))?;
    net::connect(&socket, &address.to_system()?)
}

/// Held by whoever replaces the file of a socket: of two only one finds that nobody listens.
struct Lock {
    file: OwnedFd,
    path: PathBuf,
}

impl Lock {
    fn take(socket: &Path) -> Result<Self> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".tcp-lock");
        for _ in 0..ATTEMPTS {
            let path = PathBuf::from(path.clone());
            let opened = open_lock(&path).map_err(|errno| lock_error(errno, &path))?;
            let Some(file) = opened else { break };
            let lock = Self { file, path };
            // Who held it before has removed it.
            if lock.is_current() {
                return Ok(lock);
            }
        }
        Err(Error::new(Code::Address, "another process is about to listen there"))
    }

    fn is_current(&self) -> bool {
        let both = (fs::fstat(&self.file), fs::lstat(&self.path));
        matches!(both, (Ok(held), Ok(found)) if identity(&held) == identity(&found))
    }

    /// Whether it is a file that a lock makes, and holds nothing.
    fn is_empty(&self) -> bool {
        fs::fstat(&self.file).is_ok_and(|found| {
            let kind = FileType::from_raw_mode(found.st_mode);
            kind == FileType::RegularFile && found.st_size == 0
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.is_empty() && self.is_current() {
            let _ = fs::unlink(&self.path);
        }
        // A process that was forked meanwhile has the descriptor, too.
        let _ = fs::flock(&self.file, FlockOperation::NonBlockingUnlock);
    }
}

/// None while another process holds it.
fn open_lock(path: &Path) -> rustix::io::Result<Option<OwnedFd>> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn lock_error(errno: Errno, path: &Path) -> Error {
    let path = printable(&path.to_string_lossy());
    bind_error(errno, &format!("cannot lock '{path}': "))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_file_that_somebody_has_put_there_meanwhile_stays() {
        let folder = std::env::temp_dir().join(format!("tcp-socket-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("socket");
        let listen = |path: &Path| UnixListener::bind(path).expect("a socket");
        // Its number stays its own as long as it is open.
        let stale = listen(&path);
        let mut live = None;
        let error = remove_stale(&path, || {
            std::fs::remove_file(&path).expect("is there");
            live = Some(listen(&path));
            Err(Errno::CONNREFUSED)
        })
        .expect_err("somebody listens");
        assert_eq!(error.code(), Code::Address);
        assert!(path.exists());
        drop((stale, live));
        remove_stale(&path, || Err(Errno::CONNREFUSED)).expect("nobody listens");
        assert!(!path.exists());
        std::fs::remove_dir_all(&folder).expect("is there");
    }
}
