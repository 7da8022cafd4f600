//! What is said to a proxy on a transport, as a step; all progress is in here. Uses
//! `connect::proxy::{answer, destination, http, socks, url}`, `transport`, `memory`, `io::step`,
//! `error`.

use super::answer::{self, Failure, Progress};
use super::destination::Destination;
use super::http::Http;
use super::socks::Socks;
use super::url::Proxy;
use crate::error::{Code, Error, Result};
use crate::io::step::{Step, ready};
use crate::memory::reserve;
use crate::transport::Transport;

/// The longest answer, in bytes.
const LONGEST: usize = 16 * 1024;
/// Room made for one read, in bytes.
const ROOM: usize = 1024;

pub struct Dialogue {
    protocol: Protocol,
    /// The proxy, as messages name it.
    label: String,
    output: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// Bytes of earlier answers.
    answered: usize,
    /// What it says of the way to this peer, if there is none.
    refusal: Option<(Code, String)>,
}

enum Protocol {
    Http(Http),
    Socks(Socks),
}

impl Protocol {
    fn advance(&mut self, bytes: &[u8]) -> answer::Result<Progress> {
        match self {
            Self::Http(http) => http.advance(bytes),
            Self::Socks(socks) => socks.advance(bytes),
        }
    }
}

impl Dialogue {
    pub fn new(proxy: &Proxy, destination: &Destination) -> Self {
        let (protocol, output) = if proxy.kind.is_socks() {
            let (socks, output) = Socks::new(proxy, destination);
            (Protocol::Socks(socks), output)
        } else {
            let (http, output) = Http::new(proxy, destination);
            (Protocol::Http(http), output)
        };
        Self {
            protocol,
            label: proxy.to_string(),
            output,
            sent: 0,
            input: Vec::new(),
            answered: 0,
            refusal: None,
        }
    }

    /// Done when the transport is the peer's, but for [`Dialogue::rest`], which comes first.
    pub fn step(&mut self, transport: &mut dyn Transport) -> Result<Step<()>> {
        loop {
            while self.sent < self.output.len() {
                let result = transport.write(&self.output[self.sent..]);
                self.sent += ready!(result.map_err(|error| self.cut_off(error))?);
            }
            match self.protocol.advance(&self.input) {
                Ok(Progress::Open { used }) if self.answered + used <= LONGEST => {
                    self.input.drain(..used);
                    return Ok(Step::Done(()));
                }
                Ok(Progress::Next { used, send }) => {
                    self.input.drain(..used);
                    self.answered += used;
                    (self.output, self.sent) = (send, 0);
                    continue;
                }
                Ok(Progress::NotYet | Progress::Open { .. }) => {}
                Err(failure) => return Err(self.failed(failure)),
            }
            if self.answered + self.input.len() >= LONGEST {
                return Err(self.failed(Failure::Nonsense("an answer over 16384 bytes".to_owned())));
            }
            reserve(&mut self.input, ROOM)?;
            let result = transport.read(&mut self.input);
            if ready!(result.map_err(|error| self.cut_off(error))?) == 0 {
                return Err(self.cut_off(Error::closed("end of stream")));
            }
        }
    }

    /// What came behind the last answer.
    pub fn rest(&self) -> &[u8] {
        &self.input
    }

    /// Why there is no way to this peer. To another one there may be.
    pub fn refusal(&self) -> Option<&(Code, String)> {
        self.refusal.as_ref()
    }

    #[cold]
    fn failed(&mut self, failure: Failure) -> Error {
        let label = &self.label;
        match failure {
            Failure::Nonsense(words) => {
                Error::new(Code::Proxy, format!("the proxy {label}: {words}"))
            }
            Failure::Refused(words) => {
                Error::new(Code::Proxy, format!("the proxy {label} says: {words}"))
            }
            Failure::Peer(code, words) => {
                let detail = format!("the proxy {label} says: {words}");
                self.refusal = Some((code, words));
                Error::new(code, detail)
            }
        }
    }

    /// The connection to the proxy has failed meanwhile.
    #[cold]
    fn cut_off(&self, error: Error) -> Error {
        match error.code() {
            Code::Closed => {
                let (label, why) = (&self.label, error.detail());
                Error::new(Code::Proxy, format!("the proxy {label}: {why} instead of an answer"))
            }
            _ if error.is_transient() => error,
            _ => error.prefixed(format_args!("the proxy {}", self.label)),
        }
    }
}
