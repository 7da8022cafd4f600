//! Answers that are lines of text: where each line ends, and the replies with a code of three
//! digits that SMTP and FTP share. Pure. May use nothing of ours.

use memchr::memchr;

/// The whole lines at the front, one after the other.
pub struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A line without its `\n` or `\r\n`, and where it ends with it.
pub struct Line<'a> {
    pub text: &'a [u8],
    pub end: usize,
}

pub fn lines(bytes: &[u8]) -> Lines<'_> {
    Lines { bytes, at: 0 }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.bytes[self.at..];
        let length = memchr(b'\n', rest)?;
        let text = rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]);
        self.at += length + 1;
        Some(Line { text, end: self.at })
    }
}

/// A reply whose last line is marked by a blank behind the code: `250-` and then `250 `.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub code: u16,
    /// All of it, line ends included.
    pub bytes: &'a [u8],
}

/// What lines between the first and the last one of a reply may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Each has the code (RFC 5321, section 4.2.1).
    Coded,
    /// Anything (RFC 959, section 4.2).
    Free,
}

/// The reply at the front; `None` where it is not whole. A line that cannot be one of a reply is
/// the error.
pub fn reply(bytes: &[u8], between: Between) -> Result<Option<Reply<'_>>, &[u8]> {
    let mut first = None;
    for Line { text, end } in lines(bytes) {
        match (code(text), first) {
            (Some((code, is_last)), None) => {
                first = Some(code);
                if is_last {
                    return Ok(Some(Reply { code, bytes: &bytes[..end] }));
                }
            }
            (Some((code, is_last)), Some(first)) if code == first => {
                if is_last {
                    return Ok(Some(Reply { code, bytes: &bytes[..end] }));
                }
            }
            (_, Some(_)) if between == Between::Free => {}
            _ => return Err(text),
        }
    }
    Ok(None)
}

impl<'a> Reply<'a> {
    /// What stands behind the code in each line, the first one included.
    pub fn texts(&self) -> impl Iterator<Item = &'a [u8]> {
        lines(self.bytes).map(|line| line.text.get(4..).unwrap_or_default())
    }
}

/// The code of a line, and whether the line is the last one.
fn code(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let is_last = match rest.first() {
        None | Some(b' ') => true,
        Some(b'-') => false,
        Some(_) => return None,
    };
    let code = str::from_utf8(digits).ok()?.parse().ok()?;
    ((100..600).contains(&code) && digits[0] != b'+').then_some((code, is_last))
}

/// The first word of a text, to be compared with a keyword in whatever case.
pub fn first_word(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_with_the_blank_behind_its_code() {
        let whole = b"250-mail\r\n250-SIZE\n250 HELP\r\n220 next\r\n";
        let found = reply(whole, Between::Coded).expect("a reply").expect("a whole one");
        assert_eq!((found.code, found.bytes.len()), (250, 29));
        assert_eq!(found.texts().collect::<Vec<_>>(), [&b"mail"[..], b"SIZE", b"HELP"]);
        for cut in 0..29 {
            assert_eq!(reply(&whole[..cut], Between::Coded), Ok(None), "{cut}");
        }
        assert_eq!(
            reply(b"220\r\n", Between::Coded).map(|reply| reply.map(|it| it.code)),
            Ok(Some(220))
        );
    }

    #[test]
    fn lines_between_are_free_in_ftp_alone() {
        let listed = b"211-Features:\r\n AUTH TLS\r\n220 not the end\r\n211 End\r\n";
        assert_eq!(reply(listed, Between::Coded), Err(&b" AUTH TLS"[..]));
        let found = reply(listed, Between::Free).expect("a reply").expect("a whole one");
        assert_eq!((found.code, found.bytes.len()), (211, listed.len()));
    }

    #[test]
    fn what_is_no_code_is_none() {
        for line in ["SSH-2.0-x", "22 x", "+12 x", "099 x", "600 x", "220x", "", " 220 x"] {
            let text = format!("{line}\r\n");
            assert_eq!(reply(text.as_bytes(), Between::Free), Err(line.as_bytes()), "{line}");
        }
        assert_eq!(reply(b"250-a\r\n251 b\r\n", Between::Coded), Err(&b"251 b"[..]));
    }
}
