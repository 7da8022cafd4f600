//! The key log: writes the keys of connections to the file that SSLKEYLOGFILE names, for Wireshark.

use std::env;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use openssl::ssl::SslContextBuilder;

use super::pem::NONBLOCK;
use super::profile::Profile;
use crate::error::{Code, Error, Result};
use crate::text::system_text;
use crate::trace;

/// Returns the file that SSLKEYLOGFILE names, if the profile asks for the log.
pub fn path(profile: &Profile) -> Option<PathBuf> {
    let path = env::var_os("SSLKEYLOGFILE").filter(|path| profile.keylog && !path.is_empty());
    path.map(PathBuf::from)
}

/// Appends the keys of each connection to the log.
pub fn append(builder: &mut SslContextBuilder, path: &Path) -> Result<()> {
    let file = open_log(path).map_err(|error| {
        let (path, why) = (path.display(), system_text(&error));
        Error::new(Code::Io, format!("cannot write SSLKEYLOGFILE '{path}': {why}"))
    })?;
    // A failure to write the log is ignored: it must not fail the connection.
    builder.set_keylog_callback(move |_, line| trace::write_line(&file, line.to_owned()));
    Ok(())
}

/// Opens the log so that no write blocks. A FIFO is refused, since its reader may read nothing or
/// be gone; stderr may be a pipe.
fn open_log(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // The keys decrypt all recorded traffic: only the owner may read them.
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
