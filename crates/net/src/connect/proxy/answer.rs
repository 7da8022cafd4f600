//! What the answers of proxies come to, of whatever protocol. Uses `error`.

use crate::error::Code;

/// What the bytes that have come so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    NotYet,
    /// So many of them are an answer, behind which this is sent.
    Next {
        used: usize,
        send: Vec<u8>,
    },
    /// So many of them are the last answer. What follows is the peer's.
    Open {
        used: usize,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not what the protocol has there.
    Nonsense(String),
    /// It refuses to serve us.
    Refused(String),
    /// What it says of the way to this peer.
    Peer(Code, String),
}

pub type Result<T> = std::result::Result<T, Failure>;

pub fn nonsense<T>(words: impl Into<String>) -> Result<T> {
    Err(Failure::Nonsense(words.into()))
}
