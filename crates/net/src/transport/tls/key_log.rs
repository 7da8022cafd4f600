//! The key log: the keys of connections in the file that SSLKEYLOGFILE names, for Wireshark.

use std::env;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use openssl::ssl::SslContextBuilder;

use super::pem::NONBLOCK;
use super::profile::Profile;
use crate::error::{Code, Error, Result, system_text};
use crate::trace;

/// The file that the environment names, where keys are to be logged.
pub fn path(profile: &Profile) -> Option<PathBuf> {
    let path = env::var_os("SSLKEYLOGFILE").filter(|path| profile.keylog && !path.is_empty());
    path.map(PathBuf::from)
}

/// Appends the keys of each connection to that file.
pub fn append(builder: &mut SslContextBuilder, path: &Path) -> Result<()> {
    let file = open_log(path).map_err(|error| {
        let (path, why) = (path.display(), system_text(&error));
        Error::new(Code::Io, format!("cannot write SSLKEYLOGFILE '{path}': {why}"))
    })?;
    // A log that cannot be written is no reason to fail.
    builder.set_keylog_callback(move |_, line| trace::write_line(&file, line.to_owned()));
    Ok(())
}

/// A file that no write waits for. A pipe's reader may go at any time, or read nothing; stderr may
/// be one.
fn open_log(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // What is in it opens all that was said: nobody else is to read it.
    let file = options.append(true).create(true).mode(0o600).custom_flags(NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    match metadata.file_type().is_fifo() && !is_stderr(&metadata) {
        true => Err(io::Error::other("it is a pipe")),
        false => Ok(file),
    }
}

fn is_stderr(metadata: &Metadata) -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let same = |other: Metadata| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino());
    stderr.and_then(|stderr| stderr.metadata()).is_ok_and(same)
}
