//! The address of a Unix domain socket (unix(7)): the path of a file, or on Linux a name in the
//! abstract namespace. Uses `error`.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::net::SocketAddrUnix;
use socket2::SockAddr;

use crate::text::printable;

/// Bytes that the system has room for, in `sockaddr_un`.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LONGEST: usize = 108;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LONGEST: usize = 104;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixAddress {
    /// Of a socket that was never bound: one of a pair, and most clients.
    Unnamed,
    Path(PathBuf),
    /// A name that no file stands for.
    Abstract(Vec<u8>),
}

impl UnixAddress {
    /// What a script means: `@name` is abstract. Otherwise why it means nothing.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > LONGEST {
            let size = text.len();
            return Err(format!("a Unix socket's path has at most {LONGEST} bytes, got {size}"));
        }
        match text {
            [] | [b'@'] => Err("a path, or @ and a name, expected".to_owned()),
            [b'@', name @ ..] if cfg!(target_os = "linux") => Ok(Self::Abstract(name.to_owned())),
            [b'@', ..] => {
                Err("only Linux has abstract names, the file of that name is ./@...".to_owned())
            }
            path if path.contains(&0) => Err("a path without a zero byte expected".to_owned()),
            path => Ok(Self::Path(OsStr::from_bytes(path).into())),
        }
    }

    /// What the system says of a socket's end; none of another family.
    pub fn from_system(address: &SockAddr) -> Option<Self> {
        if !address.is_unix() {
            return None;
        }
        Some(match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => Self::Path(path.to_owned()),
            (None, Some(name)) => Self::Abstract(name.to_owned()),
            (None, None) => Self::Unnamed,
        })
    }

    /// For the system.
    pub fn to_system(&self) -> rustix::io::Result<SocketAddrUnix> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
            Self::Path(path) => SocketAddrUnix::new(path),
            _ => Err(rustix::io::Errno::INVAL),
        }
    }

    /// Its file, if there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            _ => None,
        }
    }

    /// What [`UnixAddress::parse`] takes for it; none of one without a name.
    pub fn text(&self) -> Option<Vec<u8>> {
        match self {
            Self::Unnamed => None,
            Self::Path(path) => {
                let path = path.as_os_str().as_bytes();
                let is_like_abstract = path.first() == Some(&b'@');
                Some([if is_like_abstract { b"./".as_slice() } else { b"" }, path].concat())
            }
            Self::Abstract(name) => Some([b"@", name.as_slice()].concat()),
        }
    }
}

/// As messages name it: `unix:/run/x.sock`.
impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => write!(f, "unix:{}", printable(&String::from_utf8_lossy(&text))),
            None => f.write_str("unix:(unnamed)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> UnixAddress {
        UnixAddress::parse(text.as_bytes()).expect("an address")
    }

    #[test]
    fn an_at_sign_begins_an_abstract_name() {
        assert_eq!(parsed("/run/x"), UnixAddress::Path("/run/x".into()));
        assert_eq!(parsed("./@x"), UnixAddress::Path("./@x".into()));
        if cfg!(target_os = "linux") {
            assert_eq!(parsed("@x"), UnixAddress::Abstract(b"x".to_vec()));
            assert_eq!(parsed("@x").to_string(), "unix:@x");
        }
        assert_eq!(parsed("/run/\n").to_string(), "unix:/run/\\n");
        assert_eq!(UnixAddress::Path("@x".into()).to_string(), "unix:./@x");
        assert_eq!(UnixAddress::Unnamed.to_string(), "unix:(unnamed)");
    }

    #[test]
    fn what_the_system_has_no_room_for_is_refused() {
        let longest = format!("/{}", "x".repeat(LONGEST - 1));
        assert!(parsed(&longest).to_system().is_ok());
        let longer = UnixAddress::parse(format!("{longest}x").as_bytes());
        let expected = format!("at most {LONGEST} bytes, got {}", LONGEST + 1);
        assert!(longer.expect_err("too long").ends_with(&expected));
        if cfg!(target_os = "linux") {
            assert!(parsed(&longest.replace('/', "@")).to_system().is_ok());
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", "@", "/run/\0"] {
            assert!(UnixAddress::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
