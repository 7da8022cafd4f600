//! PEM text that a script gives, and files of it. A file is read without blocking, since a FIFO may
//! have to wait for its writer. Uses `io::step`, `io::wait`, `error`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::error::{Code, Error, Pending, Result};
use crate::io::deadline::Deadline;
use crate::io::step::{Step, Wait, Want};
use crate::io::wait::{Member, poll_all};
use crate::pending::file_option;
use crate::text::system_text;

/// The largest file, in bytes: a device may have no end.
const LARGEST: usize = 16 << 20;

/// O_NONBLOCK: opening a FIFO does not wait for its other end.
pub const NONBLOCK: i32 = OFlags::NONBLOCK.bits() as i32;

/// PEM text, or a file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    File(PathBuf),
    /// Shared, since a script may pass megabytes.
    Text(Arc<Vec<u8>>),
    /// A file, and the text that was read from it.
    Read(PathBuf, Vec<u8>),
}

impl Pem {
    /// Returns the text; empty for a file that is not read yet.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::File(_) => &[],
            Self::Text(text) => text,
            Self::Read(_, text) => text,
        }
    }

    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Read(path, _) => Some(path),
            Self::Text(_) => None,
        }
    }

    /// Returns where the text comes from, for messages; `option` is the script's option.
    pub fn source(&self, option: &str) -> String {
        match self.path() {
            Some(path) => format!("{option}_file '{}'", path.display()),
            None => option.to_owned(),
        }
    }
}

/// A file that is being read.
pub struct Reader {
    file: File,
    is_pipe: bool,
    /// The script's option without `_file`; empty if the whole option is `file`.
    option: &'static str,
    text: Vec<u8>,
}

impl Reader {
    pub fn open(path: &Path, option: &'static str) -> Result<Self> {
        let open = || {
            let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path)?;
            let is_pipe = file.metadata()?.file_type().is_fifo();
            Ok(Self { file, is_pipe, option, text: Vec::new() })
        };
        open().map_err(|error| unreadable(option, path, &error))
    }

    /// Returns the text once the end of the file is reached.
    pub fn step(&mut self, path: &Path) -> Result<Step<Vec<u8>>> {
        if self.has_no_writer()? {
            return Ok(Step::Wait(self.wait()));
        }
        let room = LARGEST + 1 - self.text.len();
        match (&self.file).take(room as u64).read_to_end(&mut self.text) {
            Ok(_) if self.text.len() > LARGEST => {
                let error = io::Error::other(format!("it is larger than {LARGEST} bytes"));
                Err(unreadable(self.option, path, &error))
            }
            Ok(_) => Ok(Step::Done(mem::take(&mut self.text))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Wait(self.wait())),
            Err(error) => Err(unreadable(self.option, path, &error)),
        }
    }

    /// Whether this is a FIFO that no writer has opened yet. A read would return end of file.
    fn has_no_writer(&self) -> Result<bool> {
        let begun = !self.is_pipe || !self.text.is_empty();
        let now = Deadline::at(0.0);
        let member = Member { fd: self.file.as_raw_fd(), want: Want::Read, from: now };
        let look = || poll_all(&[member], now);
        Ok(!begun && look()? != Some(vec![true]))
    }

    fn wait(&self) -> Wait {
        Wait::new(&self.file, Want::Read).pending(Pending::File { option: self.option })
    }
}

#[cold]
fn unreadable(option: &str, path: &Path, error: &io::Error) -> Error {
    let (path, why) = (path.display(), system_text(error));
    Error::new(Code::Io, format!("cannot read {} '{path}': {why}", file_option(option)))
}
