//! Addresses that could not be connected to, and what is said when all have failed. Uses
//! `io::deadline`, `error`.

use std::io;
use std::net::SocketAddr;

use crate::error::{Attempt, Code, Error};
use crate::io::deadline::now;
use crate::text::{address_text, system_text};

/// An address that failed, and how.
pub struct Failed {
    pub peer: SocketAddr,
    pub code: Code,
    pub reason: String,
    seconds: f64,
}

impl Failed {
    pub fn connect(peer: SocketAddr, begun: f64, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::ConnectionRefused => Code::Refused,
            _ => Code::Unreachable,
        };
        Self { peer, code, reason: system_text(error), seconds: now() - begun }
    }

    pub fn bind(peer: SocketAddr, begun: f64, bind: SocketAddr, error: &io::Error) -> Self {
        let reason = format!("cannot bind {bind}: {}", system_text(error));
        Self { peer, code: Code::Address, reason, seconds: now() - begun }
    }

    pub fn attempt(&self) -> Attempt {
        Attempt { address: self.peer, code: self.code, seconds: self.seconds }
    }
}

/// All addresses failed: what happened to each.
#[cold]
pub fn failure(failed: &[Failed]) -> Error {
    let code = failed.iter().map(|each| each.code).max_by_key(|code| match code {
        Code::Refused => 2,
        Code::Unreachable => 1,
        _ => 0,
    });
    let code = code.unwrap_or(Code::Unreachable);
    let first = failed.first().map_or("", |each| &each.reason);
    let each = |each: &Failed| format!("{}: {}", address_text(&each.peer), each.reason);
    let detail = if failed.iter().any(|each| each.reason != first) {
        failed.iter().map(each).collect::<Vec<_>>().join(", ")
    } else if code == Code::Address {
        // It is the local address that failed.
        first.to_owned()
    } else {
        let tried: Vec<_> = failed.iter().map(|each| address_text(&each.peer)).collect();
        format!("{first} (tried {})", tried.join(", "))
    };
    Error::new(code, detail)
}
