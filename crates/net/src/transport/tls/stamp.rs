//! Whether a file is still the one that was read, and a folder's files still those that it had. May
//! use the clock alone.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::io::deadline::{Deadline, since_1970};

/// Seconds for which a folder counts as unchanged: to look at all of its files takes as long as a
/// handshake.
const FRESH: f64 = 1.0;

/// What file systems take for one moment, at most.
const TICK: Duration = Duration::from_millis(20);

/// One state of one file. A date of modification can be set back, one of change cannot.
#[derive(Clone, PartialEq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// The moment of the look, where a change that follows could still bear the same date: such a
    /// state equals no other.
    unsettled: Option<Duration>,
}

/// The state of the file, through links; none where there is no file.
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

/// The file itself, through links, whatever is in it.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A folder, until when it counts as unchanged, and what it had.
type Looked = (PathBuf, Deadline, Option<u64>);

static LOOKED: Mutex<Vec<Looked>> = Mutex::new(Vec::new());

/// A number for what is in the folder, through links; none where it cannot be read.
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
