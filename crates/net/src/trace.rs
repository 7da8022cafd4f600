//! Trace lines, for people who look for a fault: the time, the peer, the phase, the number of
//! bytes, the duration. If nothing is traced, there is no `Trace` and no cost. A line shows payload
//! only if that was asked for. A failure to write a line is ignored. Uses `io::deadline`, `error`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::{SockAddr, SockRef};

use crate::error::{Code, Error};
use crate::io::deadline::{now, time_of_day};

/// The most bytes of payload in one line. Escaped, and with the rest of the line, they are fewer
/// than PIPE_BUF, which a pipe takes at once (POSIX: 4096).
const SHOWN: usize = 512;

/// What is traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    #[default]
    Nothing,
    Lines,
    /// Events, and the bytes that are read and written.
    Payload,
}

/// The tracer of a Lua state: what is traced, and where the lines go.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Rc<Output>);

#[derive(Debug, Default)]
struct Output {
    detail: Cell<Detail>,
    /// The lines, unless they go to a file.
    kept: RefCell<VecDeque<String>>,
    /// Whether there are lines, which each call checks.
    has_kept: Cell<bool>,
    file: RefCell<Option<File>>,
    /// Set while a script handles the lines: its own connections would make more lines without end.
    is_quiet: Cell<bool>,
}

impl Tracer {
    /// Returns a tracer as TCP_DEBUG says; it traces nothing if the variable is empty or 0.
    pub fn from_environment() -> Self {
        let tracer = Self::default();
        let variable = std::env::var_os("TCP_DEBUG").unwrap_or_default();
        match variable.to_str() {
            Some("" | "0") => {}
            Some("payload") => tracer.to_stderr(Detail::Payload),
            _ => tracer.to_stderr(Detail::Lines),
        }
        tracer
    }

    pub fn off(&self) {
        self.set(Detail::Nothing, None);
    }

    /// Writes lines to the present stderr; there are none if it is closed.
    pub fn to_stderr(&self, detail: Detail) {
        match stderr() {
            Some(file) => self.set(detail, Some(file)),
            None => self.off(),
        }
    }

    /// Keeps lines until they are taken.
    pub fn keep(&self, detail: Detail) {
        self.set(detail, None);
    }

    fn set(&self, detail: Detail, file: Option<File>) {
        self.0.detail.set(detail);
        self.0.file.replace(file);
        self.0.kept.take();
        self.0.has_kept.set(false);
    }

    pub fn has_lines(&self) -> bool {
        self.0.has_kept.get()
    }

    pub fn take_line(&self) -> Option<String> {
        let mut kept = self.0.kept.borrow_mut();
        let line = kept.pop_front();
        self.0.has_kept.set(!kept.is_empty());
        line
    }

    /// Calls `act` without tracing.
    pub fn quietly<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = self.0.is_quiet.replace(true);
        let value = act();
        self.0.is_quiet.set(before);
        value
    }

    /// Returns a trace for one connection, listener or name; none if nothing is traced.
    pub fn of(&self, peer: impl Display) -> Option<Trace> {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        if !self.is_on() {
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (label, begun) = (format!("#{number} {peer}"), now());
        Some(Trace(Rc::new(Subject { tracer: self.clone(), label, begun, last: Cell::new(begun) })))
    }

    /// Traces a failed call. JSON errors may quote payload, and are cut short unless it is traced.
    pub fn failure(&self, error: &Error) {
        if error.code() == Code::Json && self.0.detail.get() != Detail::Payload {
            self.line(format_args!("error: {}", error.summary()));
        } else {
            self.line(format_args!("error: {error}"));
        }
    }

    pub fn is_on(&self) -> bool {
        self.0.detail.get() != Detail::Nothing && !self.0.is_quiet.get()
    }

    fn line(&self, text: fmt::Arguments<'_>) {
        if !self.is_on() {
            return;
        }
        let line = format!("tcp {} {text}", clock());
        match &*self.0.file.borrow() {
            Some(file) => write_line(file, line),
            None => {
                self.0.kept.borrow_mut().push_back(line);
                self.0.has_kept.set(true);
            }
        }
    }
}

/// The trace of one connection, listener or name. Its lines have the same number.
#[derive(Clone, Debug)]
pub struct Trace(Rc<Subject>);

#[derive(Debug)]
struct Subject {
    tracer: Tracer,
    label: String,
    begun: f64,
    /// The time of the last line.
    last: Cell<f64>,
}

impl Trace {
    /// Traces an event, with the time since the line before.
    pub fn note(&self, what: impl Display) {
        self.timed(what, self.0.last.get(), "");
    }

    /// Traces bytes that were read or written.
    pub fn payload(&self, what: impl Display, bytes: &[u8]) {
        if self.0.tracer.0.detail.get() == Detail::Payload {
            self.timed(what, self.0.last.get(), &shown(bytes));
        } else {
            self.note(what);
        }
    }

    /// Traces the end of a connection or listener, with its lifetime.
    pub fn end(&self, what: impl Display) {
        self.timed(what, self.0.begun, "");
    }

    /// Begins a phase, and traces that.
    pub fn begin(&self, name: impl Into<String>) -> Phase {
        let phase = Phase { trace: self.clone(), name: name.into(), begun: now(), is_over: false };
        let Subject { tracer, label, .. } = &*self.0;
        tracer.line(format_args!("{label} {}: begins", phase.name));
        self.0.last.set(phase.begun);
        phase
    }

    fn timed(&self, what: impl Display, since: f64, behind: &str) {
        let (now, label) = (now(), &self.0.label);
        let took = (now - since) * 1000.0;
        self.0.tracer.line(format_args!("{label} {what} ({took:.1} ms){behind}"));
        self.0.last.set(now);
    }
}

/// A phase, such as name resolution or a handshake. It ends, fails, or is dropped unfinished.
#[derive(Debug)]
pub struct Phase {
    trace: Trace,
    name: String,
    begun: f64,
    is_over: bool,
}

impl Phase {
    pub fn end(mut self, outcome: impl Display) {
        self.over(outcome);
    }

    pub fn fail(mut self, why: impl Display) {
        self.over(format_args!("failed: {why}"));
    }

    fn over(&mut self, outcome: impl Display) {
        self.is_over = true;
        self.trace.timed(format_args!("{}: {outcome}", self.name), self.begun, "");
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if !self.is_over {
            self.over("given up");
        }
    }
}

/// Writes to stderr why there are no more lines.
pub fn complain(why: impl Display) {
    if let Some(file) = stderr() {
        write_line(&file, format!("tcp {} {why}", clock()));
    }
}

/// A descriptor of our own for what stderr is now: were it closed later, its number could become
/// that of a connection. Where it is one, there is no stderr. A Unix socket that blocks is none.
fn stderr() -> Option<File> {
    let stderr = io::stderr();
    let socket = SockRef::from(&stderr);
    let never_blocks = socket.nonblocking().unwrap_or_default();
    let is_connection = |address: SockAddr| !address.is_unix() || never_blocks;
    let is_taken = socket.local_addr().is_ok_and(is_connection);
    stderr.as_fd().try_clone_to_owned().ok().map(File::from).filter(|_| !is_taken)
}

/// Returns the time of day in UTC.
fn clock() -> String {
    let time = time_of_day();
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Writes a line with one write(2), so that lines of several processes are not mixed.
pub fn write_line(mut file: &File, mut line: String) {
    line.push('\n');
    without_sigpipe(|| {
        let written = file.write_all(line.as_bytes());
        written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    });
}

/// Calls `act`, which says whether it got EPIPE, and keeps SIGPIPE from the process.
#[cfg(target_os = "linux")]
fn without_sigpipe(act: impl FnOnce() -> bool) {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
    let sigpipe = SigSet::from(Signal::SIGPIPE);
    let Ok(before) = sigpipe.thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return };
    if act() {
        // The blocked signal is pending for this thread, even if SIGPIPE is ignored. If the error
        // came without a signal, the raised one ends the wait.
        let _ = raise(Signal::SIGPIPE).and_then(|()| sigpipe.wait());
    }
    let _ = before.thread_set_mask();
}

/// On other systems an ignored signal may be dropped at once, and sigwait would not return.
#[cfg(not(target_os = "linux"))]
fn without_sigpipe(act: impl FnOnce() -> bool) {
    act();
}

/// Returns the first of the bytes, with those escaped that would disturb a terminal or a log.
fn shown(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(SHOWN)];
    let mut text = match first.len() < bytes.len() {
        true => format!(", the first {SHOWN}: "),
        false => ": ".to_owned(),
    };
    for chunk in first.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' | '\'' => text.push(letter),
                _ => text.extend(letter.escape_debug()),
            }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    /// Takes the kept lines, without their times.
    fn lines(tracer: &Tracer) -> Vec<String> {
        let times = |line: String| {
            let from = line.find("a:1").expect("the peer");
            line[from..].split(" (").next().unwrap_or_default().to_owned()
        };
        iter::from_fn(|| tracer.take_line()).map(times).collect()
    }

    fn last(tracer: &Tracer) -> String {
        iter::from_fn(|| tracer.take_line()).last().expect("a line")
    }

    fn keeping(detail: Detail) -> (Tracer, Trace) {
        let tracer = Tracer::default();
        tracer.keep(detail);
        let trace = tracer.of("a:1").expect("it is on");
        (tracer, trace)
    }

    #[test]
    fn what_is_off_traces_nothing() {
        let (tracer, trace) = keeping(Detail::Lines);
        tracer.off();
        assert!(tracer.of("a:1").is_none());
        trace.note("read: 1 bytes");
        assert!(!tracer.has_lines() && tracer.take_line().is_none());
    }

    #[test]
    fn a_phase_ends_fails_or_is_given_up() {
        let (tracer, trace) = keeping(Detail::Lines);
        trace.begin("dns").end("::1");
        trace.begin("tls").fail("no");
        drop(trace.begin("connect ::1"));
        let expected = [
            "a:1 dns: begins",
            "a:1 dns: ::1",
            "a:1 tls: begins",
            "a:1 tls: failed: no",
            "a:1 connect ::1: begins",
            "a:1 connect ::1: given up",
        ];
        assert_eq!(lines(&tracer), expected);
    }

    #[test]
    fn who_takes_lines_makes_none() {
        let (tracer, trace) = keeping(Detail::Lines);
        tracer.quietly(|| {
            trace.note("read: 1 bytes");
            assert!(tracer.of("b:1").is_none());
        });
        assert!(!tracer.has_lines());
        trace.note("close");
        assert_eq!(lines(&tracer), ["a:1 close"]);
    }

    #[test]
    fn payload_is_shown_where_it_is_asked_for() {
        let (tracer, trace) = keeping(Detail::Lines);
        trace.payload("read: 6 bytes", b"secret");
        assert!(!last(&tracer).contains("secret"));
        let (tracer, trace) = keeping(Detail::Payload);
        trace.payload("read: 6 bytes", b"secret");
        assert!(last(&tracer).ends_with(" ms): secret"));
    }

    #[test]
    fn payload_is_escaped_and_bounded() {
        let text = "\"né\" \\\r\n\u{1b}\u{202e}";
        assert_eq!(shown(text.as_bytes()), ": \"né\" \\\\\\r\\n\\u{1b}\\u{202e}");
        assert_eq!(shown(b"\xff\0"), ": \\xff\\0");
        let long = shown(&[b'x'; SHOWN + 1]);
        assert_eq!(long, format!(", the first {SHOWN}: {}", "x".repeat(SHOWN)));
        assert!(shown(&[0xff; SHOWN]).len() < 4096 - 1024);
    }

    #[test]
    fn what_is_wrong_with_json_is_payload() {
        let error =
            || Error::new(Code::Json, "secret.key: a function").with_context("write_json", "a:1");
        let (tracer, _trace) = keeping(Detail::Lines);
        tracer.failure(&error());
        assert!(last(&tracer).ends_with(" error: write_json a:1: json"));
        tracer.keep(Detail::Payload);
        tracer.failure(&error());
        assert!(last(&tracer).ends_with(" error: write_json a:1: json: secret.key: a function"));
    }
}
