//! XMPP (RFC 6120, section 5): a stream is opened, its features offer starttls, and the server
//! proceeds. The crate `quick-xml` reads the elements. Pure. Uses `client`,
//! `memory`.

use quick_xml::NsReader;
use quick_xml::errors::{Error as XmlError, SyntaxError};
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, NamespaceResolver, ResolveResult};

use super::client::{Client, LIMIT, Next, Transcript, foreign, not_offered, refused, send};
use crate::error::Result;
use crate::memory::check;

const STREAMS: Namespace<'static> = Namespace("http://etherx.jabber.org/streams");
const TLS: Namespace<'static> = Namespace("urn:ietf:params:xml:ns:xmpp-tls");

/// More memory than the parser takes for an answer, in bytes.
const PARSER: usize = 16 * LIMIT;

pub struct Xmpp {
    server: String,
    awaits: Awaits,
}

#[derive(Clone, Copy)]
enum Awaits {
    /// Nothing: the client opens the stream.
    Start,
    Features,
    /// The answer to starttls, behind so many bytes of the stream. They are kept until then, since
    /// what they declare holds for all of it.
    GoAhead(usize),
}

impl Xmpp {
    pub fn new(server: &str) -> Self {
        Self { server: server.to_owned(), awaits: Awaits::Start }
    }
}

impl Client for Xmpp {
    fn step(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)> {
        let seen = match self.awaits {
            Awaits::Start => {
                self.awaits = Awaits::Features;
                return Ok((0, send(&opening(&self.server))));
            }
            Awaits::Features => 0,
            Awaits::GoAhead(seen) => seen,
        };
        check(PARSER)?;
        let Stream { header, is_modern, is_over, child } = Stream::read(input, seen)?;
        let Some(header) = header else { return Ok((0, Next::More)) };
        if !is_modern {
            // It has no features (RFC 6120, section 4.7.5).
            return Err(not_offered("starttls", &input[..header]));
        }
        let Some(Child { kind, start, end, has_starttls }) = child else {
            let refusal = || refused("the connection", &input[seen..]);
            return if is_over { Err(refusal()) } else { Ok((0, Next::More)) };
        };
        let element = &input[start..end];
        match (seen, kind) {
            (0, Kind::Features) => {
                transcript.greeted(&input[..header])?;
                transcript.offered(element)?;
                if !has_starttls {
                    return Err(not_offered("starttls", element));
                }
                self.awaits = Awaits::GoAhead(end);
                Ok((0, send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")))
            }
            (0, Kind::Error) => Err(refused("the connection", element)),
            (1.., Kind::Proceed) => Ok((end, Next::Begin)),
            (1.., Kind::Failure | Kind::Error) => Err(refused("starttls", element)),
            _ => Err(foreign("XMPP", element)),
        }
    }

    fn awaits(&self) -> &'static str {
        match self.awaits {
            Awaits::Start | Awaits::Features => "the features of XMPP",
            Awaits::GoAhead(_) => "the answer to starttls",
        }
    }

    fn kept(&self) -> usize {
        if let Awaits::GoAhead(seen) = self.awaits { seen } else { 0 }
    }
}

fn opening(server: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xml:lang='en' \
         xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        escape(server)
    )
}

/// What is known of the server's stream.
#[derive(Default)]
struct Stream {
    /// Where its header ends; `None` before.
    header: Option<usize>,
    /// Whether it has a version, and so features.
    is_modern: bool,
    is_over: bool,
    /// The first element in it that has not been seen, once that is whole.
    child: Option<Child>,
}

struct Child {
    kind: Kind,
    start: usize,
    end: usize,
    has_starttls: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Features,
    Error,
    Proceed,
    Failure,
    Other,
}

impl Stream {
    /// Reads what has come, of which `seen` bytes have been looked at before.
    fn read(input: &[u8], seen: usize) -> Result<Self> {
        let malformed = || foreign("XMPP", &input[seen..]);
        if input.trim_ascii_start().first().is_some_and(|byte| *byte != b'<') {
            return Err(malformed());
        }
        // What is behind the last mark cannot end an element, and may be cut anywhere.
        let whole = memchr::memrchr(b'>', input).map_or(0, |last| last + 1);
        let mut reading = Reading { stream: Self::default(), depth: 0, begun: None, seen };
        let text = input[..whole].utf8_chunks().next();
        let run = text.as_ref().map_or(Ok(()), |text| reading.run(text.valid()));
        let is_text = text.is_none_or(|text| text.invalid().is_empty());
        match run {
            Ok(()) if is_text || reading.stream.is_settled() => Ok(reading.stream),
            _ => Err(malformed()),
        }
    }

    /// Whether what follows is of no interest yet.
    fn is_settled(&self) -> bool {
        self.is_over || self.child.is_some() || self.header.is_some() && !self.is_modern
    }
}

struct Malformed;

/// A stream that is being read.
struct Reading {
    stream: Stream,
    /// Elements that are open.
    depth: usize,
    /// The child that is open, if it has not been seen.
    begun: Option<Child>,
    seen: usize,
}

impl Reading {
    fn run(&mut self, text: &str) -> std::result::Result<(), Malformed> {
        let mut reader = NsReader::from_str(text);
        // A reference that is cut is not to be told from one without an end.
        reader.config_mut().allow_dangling_amp = true;
        while !self.stream.is_settled() {
            let start = reader.buffer_position() as usize;
            let event = match reader.read_event() {
                Ok(Event::Eof) => return Ok(()),
                Ok(event) => event,
                Err(XmlError::Syntax(error)) if error != SyntaxError::InvalidBangMarkup => {
                    return Ok(()); // It is not whole.
                }
                Err(_) => return Err(Malformed),
            };
            let end = reader.buffer_position() as usize;
            match event {
                Event::Start(tag) => {
                    self.open(&tag, reader.resolver(), start, end);
                    self.depth += 1;
                }
                Event::Empty(tag) => {
                    self.open(&tag, reader.resolver(), start, end);
                    self.close(end);
                }
                Event::End(_) => {
                    self.depth -= 1; // Its name has been compared with that of the start.
                    self.close(end);
                }
                // A stream has none of these (RFC 6120, section 11.1).
                Event::DocType(_) | Event::Comment(_) | Event::PI(_) => return Err(Malformed),
                _ => {}
            }
        }
        Ok(())
    }

    /// An element begins.
    fn open(&mut self, tag: &BytesStart<'_>, names: &NamespaceResolver, start: usize, end: usize) {
        let (namespace, name) = names.resolve_element(tag.name());
        let is =
            |wanted, local| namespace == ResolveResult::Bound(wanted) && name.as_ref() == local;
        match self.depth {
            0 => {
                self.stream.is_modern = is(STREAMS, "stream")
                    && matches!(tag.try_get_attribute("version"), Ok(Some(_)));
                self.stream.header = Some(end);
            }
            1 if start >= self.seen => {
                let kinds = [
                    (is(STREAMS, "features"), Kind::Features),
                    (is(STREAMS, "error"), Kind::Error),
                    (is(TLS, "proceed"), Kind::Proceed),
                    (is(TLS, "failure"), Kind::Failure),
                ];
                let kind = kinds.into_iter().find(|(is_it, _)| *is_it);
                let kind = kind.map_or(Kind::Other, |(_, kind)| kind);
                self.begun = Some(Child { kind, start, end, has_starttls: false });
            }
            2 if is(TLS, "starttls") => {
                if let Some(child) = &mut self.begun {
                    child.has_starttls = true;
                }
            }
            _ => {}
        }
    }

    /// The element that is open at this depth has ended.
    fn close(&mut self, end: usize) {
        match self.depth {
            0 => self.stream.is_over = true,
            1 => self.stream.child = self.begun.take().map(|child| Child { end, ..child }),
            _ => {}
        }
    }
}
