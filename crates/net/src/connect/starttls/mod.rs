//! What some protocols say before their TLS handshake, as a step of connecting: the server is
//! greeted and asked to begin. Uses `starttls::dialogue`, `transport`, `io::step`, `memory`,
//! `trace`, `error`.

mod client;
pub mod dialogue;
mod ftp;
mod imap;
mod ldap;
mod lines;
mod mysql;
mod pop3;
mod postgres;
mod sieve;
mod smtp;
mod xmpp;

use std::net::IpAddr;

use crate::connect::starttls::dialogue::{Dialogue, Names, Protocol};
use crate::error::{Error, Pending, Result};
use crate::io::step::{Step, Wait, ready};
use crate::memory::reserve;
use crate::trace::{Phase, Trace};
use crate::transport::Transport;

pub use client::{LIMIT, Next, Transcript};

/// Room made for one read, in bytes.
const ROOM: usize = 4096;

/// Reads and writes in one step, before the clock and the interpreter get their turn.
const TURNS: usize = 16;

/// What a script asks for.
#[derive(Clone, Debug)]
pub struct Settings {
    pub protocol: Protocol,
    /// What EHLO and LHLO say of this side; by default its address.
    pub hello: Option<String>,
    /// The name that is verified later, which XMPP is told.
    pub server: String,
}

/// What a dialogue that went well has told.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub protocol: Protocol,
    pub transcript: Transcript,
}

/// The dialogue on a transport, which is handed on when TLS may begin.
pub struct StartTls {
    /// None once it is handed on, or closed by a failure.
    transport: Option<Box<dyn Transport>>,
    talk: Talk,
}

impl StartTls {
    pub fn new(
        settings: &Settings,
        local: Option<IpAddr>,
        transport: Box<dyn Transport>,
        trace: Option<&Trace>,
    ) -> Self {
        Self { transport: Some(transport), talk: Talk::new(settings, local, trace) }
    }

    pub fn step(&mut self) -> Result<Step<(Box<dyn Transport>, Outcome)>> {
        let Some(mut transport) = self.transport.take() else { unreachable!("it has ended") };
        Ok(match self.talk.step(&mut *transport)? {
            Step::Done(outcome) => Step::Done((transport, outcome)),
            Step::Wait(wait) => {
                self.transport = Some(transport);
                Step::Wait(wait)
            }
        })
    }
}

struct Talk {
    protocol: Protocol,
    dialogue: Dialogue,
    /// What is being sent, and how much of it is.
    output: Vec<u8>,
    sent: usize,
    trace: Option<Trace>,
    phase: Option<Phase>,
}

impl Talk {
    fn new(settings: &Settings, local: Option<IpAddr>, trace: Option<&Trace>) -> Self {
        let protocol = settings.protocol;
        let literal = local.map(address_literal).unwrap_or_else(|| "localhost".to_owned());
        let hello = settings.hello.as_deref().unwrap_or(&literal);
        let dialogue = Dialogue::new(protocol, Names { hello, server: &settings.server });
        let phase = trace.map(|trace| trace.begin(format!("starttls {}", protocol.name())));
        Self { protocol, dialogue, output: Vec::new(), sent: 0, trace: trace.cloned(), phase }
    }

    /// Talks until TLS may begin.
    fn step(&mut self, transport: &mut dyn Transport) -> Result<Step<Outcome>> {
        let step = self.talk(transport).map_err(|error| error.in_phase("starttls"));
        if let Some(phase) = self.phase.take() {
            match &step {
                Ok(Step::Wait(_)) => self.phase = Some(phase),
                Ok(Step::Done(_)) => phase.end("the server begins TLS"),
                Err(error) => phase.fail(error.reason()),
            }
        }
        step
    }

    fn talk(&mut self, transport: &mut dyn Transport) -> Result<Step<Outcome>> {
        for _ in 0..TURNS {
            ready!(self.step_send(transport)?);
            match self.dialogue.step()? {
                Next::More => ready!(self.step_receive(transport)?),
                Next::Send(bytes) => (self.output, self.sent) = (bytes, 0),
                Next::Begin => {
                    let transcript = self.dialogue.take_transcript();
                    return Ok(Step::Done(Outcome { protocol: self.protocol, transcript }));
                }
            }
        }
        Ok(Step::Wait(Wait::yield_now(&transport.fd()).pending(self.pending())))
    }

    fn step_send(&mut self, transport: &mut dyn Transport) -> Result<Step<()>> {
        while self.sent < self.output.len() {
            let left = &self.output[self.sent..];
            let count = ready!(transport.write(left)?.pending(self.pending()));
            if let Some(trace) = &self.trace {
                trace.payload(format_args!("starttls write: {count} bytes"), &left[..count]);
            }
            self.sent += count;
        }
        Ok(Step::Done(()))
    }

    fn step_receive(&mut self, transport: &mut dyn Transport) -> Result<Step<()>> {
        let pending = self.pending();
        let input = self.dialogue.input();
        let before = input.len();
        reserve(input, ROOM)?;
        let count = ready!(transport.read(input)?.pending(pending));
        if count == 0 {
            return Err(Error::closed(format!("end of stream: {pending}")));
        }
        if let Some(trace) = &self.trace {
            let came = &self.dialogue.input()[before..];
            trace.payload(format_args!("starttls read: {count} bytes"), came);
        }
        Ok(Step::Done(()))
    }

    fn pending(&self) -> Pending {
        let (awaits, have) = self.dialogue.awaits();
        Pending::StartTls { awaits, have }
    }
}

/// An address as SMTP writes one in the place of a name (RFC 5321, section 4.1.3).
fn address_literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}
