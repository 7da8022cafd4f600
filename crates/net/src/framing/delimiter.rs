//! Packets that end with constant bytes. Uses `framing::head`, `error`.

use memchr::memmem;

use super::head::Few;
use crate::error::{Error, Result};

/// What was skipped of a packet: the bytes to drop, and whether its end is among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Bytes of the body.
    pub body: usize,
    /// Bytes of the delimiter, all or none.
    pub delimiter: usize,
}

/// What can be dropped of a packet that is to be skipped. The last bytes may begin the delimiter:
/// they stay.
pub fn pass(filled: &[u8], delimiter: &Few) -> Passed {
    let delimiter = delimiter.bytes();
    match memmem::find(filled, delimiter) {
        Some(at) => Passed { body: at, delimiter: delimiter.len() },
        None => {
            let body = (filled.len() + 1).saturating_sub(delimiter.len());
            Passed { body, delimiter: 0 }
        }
    }
}

/// Refuses a body in which, or with which, the delimiter comes too early. `packet` is both.
pub fn check(packet: &[u8], delimiter: &Few) -> Result<()> {
    let delimiter = delimiter.bytes();
    let end = memmem::find(packet, delimiter).map(|at| at + delimiter.len());
    if end == Some(packet.len()) {
        return Ok(());
    }
    Err(Error::unfit(1, "the delimiter is in the body"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_begin_a_delimiter_stays() {
        let delimiter = Few::new(b"\r\n").expect("is short");
        assert_eq!(pass(b"ab\r", &delimiter), Passed { body: 2, delimiter: 0 });
        assert_eq!(pass(b"ab\r\nc", &delimiter), Passed { body: 2, delimiter: 2 });
        assert_eq!(pass(b"", &delimiter), Passed { body: 0, delimiter: 0 });
    }

    #[test]
    fn a_delimiter_comes_once_and_last() {
        let delimiter = Few::new(b"aa").expect("is short");
        assert!(check(b"xaa", &delimiter).is_ok());
        assert!(check(b"aa", &delimiter).is_ok());
        assert_eq!(check(b"xaaa", &delimiter).unwrap_err().unfit_argument(), Some(1));
        assert!(check(b"xaayaa", &delimiter).is_err());
    }
}
