//! Stamps of files and folders, which tell whether they have changed since they were read. May use
//! the clock alone.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::io::deadline::{Deadline, since_1970};

/// A folder is checked again after this many seconds: checking all its files takes as long as a
/// handshake.
const FRESH: f64 = 1.0;

/// The coarsest time stamps of file systems.
const TICK: Duration = Duration::from_millis(20);

/// The state of a file. Its mtime can be set back by a program, its ctime cannot.
#[derive(Clone, PartialEq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// The time of the stat, if a later change could get the same ctime. Such a stamp equals no
    /// other.
    unsettled: Option<Duration>,
}

/// Returns the stamp of the file, through symbolic links; none if there is no file.
pub fn file(path: &Path) -> Option<Stamp> {
    let now = since_1970();
    let metadata = fs::metadata(path).ok()?;
    let changed = Duration::new(metadata.ctime().max(0) as u64, metadata.ctime_nsec() as u32);
    Some(Stamp {
        unsettled: (changed + TICK > now).then_some(now),
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Returns device and inode of the file, through symbolic links.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A folder, the time of its next check, and its number.
type Looked = (PathBuf, Deadline, Option<u64>);

static LOOKED: Mutex<Vec<Looked>> = Mutex::new(Vec::new());

/// Returns a number for the contents of the folder, through symbolic links; none if it cannot be
/// read.
pub fn folder(path: &Path) -> Option<u64> {
    let mut looked = LOOKED.lock().unwrap_or_else(PoisonError::into_inner);
    looked.retain(|(_, until, _)| !until.has_passed());
    if let Some((_, _, number)) = looked.iter().find(|(other, _, _)| other == path) {
        return *number;
    }
    let number = number(path);
    looked.push((path.to_owned(), Deadline::after(FRESH), number));
    number
}

fn number(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    file(path).hash(&mut hasher);
    for entry in fs::read_dir(path).ok()? {
        let path = entry.ok()?.path();
        path.hash(&mut hasher);
        file(&path).hash(&mut hasher);
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    #[test]
    fn each_change_is_seen_whatever_the_file_says_of_itself() {
        let path = std::env::temp_dir().join(format!("tcp-stamp-{}", std::process::id()));
        let put = |text: &str| {
            fs::write(&path, text).expect("write");
            let file = fs::File::options().write(true).open(&path).expect("open");
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("date");
        };
        for _ in 0..20 {
            put("one");
            let one = file(&path).expect("is there");
            put("two");
            assert!(file(&path).expect("is there") != one);
        }
        sleep(TICK);
        let settled = file(&path);
        assert!(settled == file(&path) && settled.is_some());
        put("one");
        assert!(settled != file(&path));
        fs::remove_file(&path).expect("remove");
        assert!(file(&path).is_none());
    }
}
