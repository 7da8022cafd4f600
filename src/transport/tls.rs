//! TLS over a TCP transport: the handshake and the records as steps, every outcome of OpenSSL
//! mapped in one place. OpenSSL is spoken to here and in the modules below, nowhere else. Uses
//! `transport::tcp`, `step`, `error`.

mod context;
mod refusal;

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode, Ssl, SslStream};

use super::Transport;
use super::tcp::Tcp;
use crate::error::{Code, Error, Pending, Result};
use crate::step::{Step, Wait, Want, ready};

pub use context::{Settings, Trust};
use refusal::Refusal;

/// Largest plaintext of one record (RFC 8446, section 5.1), and so of one read.
const RECORD: usize = 16 * 1024;

/// SSL_R_UNEXPECTED_EOF_WHILE_READING: the stream ended without close_notify.
const UNEXPECTED_EOF: i32 = 294;
/// SSL_R_WRONG_VERSION_NUMBER and SSL_R_HTTP_REQUEST's kin: what came was no TLS record.
const WRONG_VERSION_NUMBER: i32 = 267;

/// A client that has everything but its connection.
pub struct Client {
    ssl: Ssl,
    refusal: Arc<Refusal>,
}

impl Client {
    /// Prepares a handshake with the server that `settings` name.
    pub fn new(settings: &Settings) -> Result<Self> {
        let context = context::client(settings)?;
        let mut ssl = Ssl::new(&context).map_err(failed)?;
        let refusal = Arc::new(Refusal::new(&settings.server_name));
        context::expect(&mut ssl, settings, &refusal).map_err(failed)?;
        Ok(Self { ssl, refusal })
    }

    pub fn handshake(self, tcp: Tcp) -> Result<Handshake> {
        let stream = SslStream::new(self.ssl, tcp).map_err(failed)?;
        Ok(Handshake { tls: Some(Tls { stream }), refusal: self.refusal })
    }
}

/// A client's handshake under way.
pub struct Handshake {
    /// Taken when the handshake is done.
    tls: Option<Tls>,
    refusal: Arc<Refusal>,
}

impl Handshake {
    /// The transport, once both sides are through.
    pub fn step(&mut self) -> Result<Step<Tls>> {
        let Some(tls) = &mut self.tls else { unreachable!("a step after the last") };
        clear_errors();
        match tls.stream.connect() {
            Err(error) if error.code() == ErrorCode::SSL && !is_end(&error) => {
                Err(match self.refusal.why() {
                    Some(why) => Error::new(Code::Certificate, why),
                    None => handshake_error(&error),
                })
            }
            Err(error) if is_end(&error) => {
                Err(Error::closed("end of stream in the TLS handshake"))
            }
            result => {
                let step = tls.step(result).map_err(|error| match error.code() {
                    Code::Closed => {
                        Error::closed(format!("{} in the TLS handshake", error.detail()))
                    }
                    _ => error,
                });
                ready!(step?.pending(Pending::Handshake));
                Ok(Step::Done(self.tls.take().expect("it was there above")))
            }
        }
    }
}

pub struct Tls {
    stream: SslStream<Tcp>,
}

impl Tls {
    /// What an outcome of OpenSSL means: done, a wait in the direction that it asks for (which need
    /// not be the operation's own), or an error.
    fn step<T>(&self, result: std::result::Result<T, ssl::Error>) -> Result<Step<T>> {
        let error = match result {
            Ok(value) => return Ok(Step::Done(value)),
            Err(error) => error,
        };
        match error.code() {
            ErrorCode::WANT_READ => Ok(Step::Wait(Wait::new(&self.fd(), Want::Read))),
            ErrorCode::WANT_WRITE => Ok(Step::Wait(Wait::new(&self.fd(), Want::Write))),
            _ if is_end(&error) => {
                Err(Error::closed("end of stream without TLS close_notify (truncated?)"))
            }
            _ => match error.into_io_error() {
                Ok(error) => Err(error.into()),
                Err(error) => Err(Error::new(Code::Tls, reason(&error))),
            },
        }
    }
}

impl Transport for Tls {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        let filled = into.len();
        into.resize(into.capacity().min(filled + RECORD), 0);
        clear_errors();
        let result = match self.stream.ssl_read(&mut into[filled..]) {
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
            other => other,
        };
        into.truncate(filled + result.as_ref().copied().unwrap_or(0));
        self.step(result)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        clear_errors();
        let result = self.stream.ssl_write(bytes);
        self.step(result)
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        clear_errors();
        let result = self.stream.shutdown();
        Ok(self.step(result)?.map(drop))
    }

    fn part(&mut self) {
        clear_errors();
        // Best effort, as the contract has it: nobody waits for the peer's answer.
        let _ = self.stream.shutdown();
        clear_errors();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().fd()
    }

    fn pending(&self) -> usize {
        self.stream.ssl().pending()
    }
}

/// OpenSSL's queue of errors belongs to the thread: an entry that another library left there would
/// be taken for the outcome of the next operation.
fn clear_errors() {
    drop(ErrorStack::get());
}

/// Whether the stream ended where TLS does not end it.
fn is_end(error: &ssl::Error) -> bool {
    match error.code() {
        ErrorCode::SYSCALL => error.io_error().is_none(),
        ErrorCode::SSL => first_reason_code(error) == Some(UNEXPECTED_EOF),
        _ => false,
    }
}

fn first_reason_code(error: &ssl::Error) -> Option<i32> {
    Some(error.ssl_error()?.errors().first()?.reason_code())
}

#[cold]
fn handshake_error(error: &ssl::Error) -> Error {
    let reason = reason(error);
    if first_reason_code(error) == Some(WRONG_VERSION_NUMBER) {
        return Error::new(Code::Tls, format!("the peer does not speak TLS ({reason})"));
    }
    Error::new(Code::Tls, format!("handshake failed: {reason}"))
}

/// OpenSSL's own words for a failure, all of them.
#[cold]
fn reason(error: &ssl::Error) -> String {
    match error.ssl_error() {
        Some(stack) => reasons(stack),
        None => error.to_string(),
    }
}

fn reasons(stack: &ErrorStack) -> String {
    let words: Vec<_> = stack.errors().iter().filter_map(|error| error.reason()).collect();
    if words.is_empty() { stack.to_string() } else { words.join(", ") }
}

/// A failure to set something up, before there is a peer.
#[cold]
fn failed(stack: ErrorStack) -> Error {
    Error::new(Code::Tls, reasons(&stack))
}
