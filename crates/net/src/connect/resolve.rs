//! Names to addresses, by the system's own resolver. `getaddrinfo` knows no timeout and cannot be
//! stopped, so it runs on a thread that can be left behind; a descriptor tells when it is through.
//! Uses `io::step`, `trace`, `error`.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};

use crate::error::{Code, Error, Pending, Result, system_text};
use crate::io::step::{Step, Wait, Want};
use crate::trace::{Phase, Trace};

/// Threads at most; what comes beyond queues, and its deadline runs.
const THREADS: usize = 256;
/// What getaddrinfo and the libraries that it loads need, in bytes.
const STACK: usize = 256 * 1024;
/// How long a thread waits for another name before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// An address written out, which needs no resolver: `192.0.2.7`, `2001:db8::7`, `[2001:db8::7]`.
pub fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
        None => host.parse().ok(),
    }
}

/// The addresses of a host, whichever way it is given.
pub enum Resolve {
    Literal(SocketAddr),
    Lookup(Lookup),
}

impl Resolve {
    /// The addresses will have this port.
    pub fn start(host: &str, port: u16, trace: Option<&Trace>) -> Result<Self> {
        match literal(host) {
            Some(ip) => Ok(Self::Literal((ip, port).into())),
            None => Lookup::start(host, port, trace).map(Self::Lookup),
        }
    }

    /// Whether there is a name to look up.
    pub fn is_lookup(&self) -> bool {
        matches!(self, Self::Lookup(_))
    }

    /// The addresses, in the order in which the system prefers them (RFC 6724).
    pub fn step(&mut self) -> Result<Step<Vec<SocketAddr>>> {
        match self {
            Self::Literal(address) => Ok(Step::Done(vec![*address])),
            Self::Lookup(lookup) => lookup.step(),
        }
    }
}

/// An address without its port, with its zone.
pub fn text(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => address.ip().to_string(),
    }
}

type Answer = Arc<Mutex<Option<io::Result<Vec<SocketAddr>>>>>;

/// A name being looked up.
pub struct Lookup {
    answer: Answer,
    /// At its end once the answer is there.
    done: PipeReader,
    phase: Option<Phase>,
}

impl Lookup {
    fn start(host: &str, port: u16, trace: Option<&Trace>) -> Result<Self> {
        let host = ascii(host)?;
        let (done, signal) = io::pipe()?;
        let answer = Answer::default();
        submit(Job { host, port, answer: Arc::clone(&answer), _signal: signal })?;
        Ok(Self { answer, done, phase: trace.map(|trace| trace.begin("dns")) })
    }

    fn step(&mut self) -> Result<Step<Vec<SocketAddr>>> {
        let wait = Wait::new(&self.done, Want::Read).pending(Pending::Resolution);
        let Some(answer) = lock(&self.answer).take() else { return Ok(Step::Wait(wait)) };
        let answer = answer.map_err(|error| dns_error(&error));
        if let Some(phase) = self.phase.take() {
            match &answer {
                Ok(addresses) => phase.end(texts(addresses)),
                Err(error) => phase.fail(error.detail()),
            }
        }
        answer.map(Step::Done)
    }
}

fn texts(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The name as DNS has it (RFC 5890): names with other than ASCII letters are converted.
pub fn ascii(host: &str) -> Result<String> {
    if host.is_empty() || host.starts_with('.') || host.contains('\0') {
        return Err(Error::new(Code::Dns, "not a name"));
    }
    if let Some(why) = mistaken(host) {
        return Err(Error::new(Code::Dns, why));
    }
    if host.is_ascii() {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        return Ok(inner.unwrap_or(host).to_owned());
    }
    idna::domain_to_ascii(host).map_err(|_| Error::new(Code::Dns, "not a valid international name"))
}

/// What is wrong with a host that people take from somewhere else, and what to do. A resolver would
/// only say that it does not know it.
fn mistaken(host: &str) -> Option<&'static str> {
    if host.contains('/') {
        return Some("not a name but a URL, give the host alone, without scheme and path");
    }
    if host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Some("not a name, there is a blank or a line end in it");
    }
    // In an IPv6 address there is more than one colon.
    let (name, port) = host.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_port && !name.contains(':') || name.ends_with(']'))
        .then_some("not a name but a host with a port, give the port as an argument of its own")
}

fn dns_error(error: &io::Error) -> Error {
    let text = system_text(error);
    let words = text.rsplit("information: ").next().unwrap_or(&text);
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    Error::new(Code::Dns, first.into_iter().chain(letters).collect::<String>())
}

struct Job {
    host: String,
    port: u16,
    answer: Answer,
    /// Dropped with the job, which ends the pipe: the answer is there.
    _signal: PipeWriter,
}

impl Job {
    fn run(self) {
        let addresses = (self.host.as_str(), self.port).to_socket_addrs().map(Iterator::collect);
        *lock(&self.answer) = Some(addresses);
    }
}

#[derive(Default)]
struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// A child of fork has this memory and none of the threads.
    process: u32,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);
static WORK: Condvar = Condvar::new();

fn submit(job: Job) -> Result<()> {
    let mut guard = lock(&POOL);
    let process = std::process::id();
    if guard.as_ref().is_none_or(|pool| pool.process != process) {
        *guard = Some(Pool { process, ..Pool::default() });
    }
    let pool = guard.as_mut().expect("just made");
    if pool.idle <= pool.jobs.len() && pool.threads < THREADS {
        match spawn() {
            Ok(()) => pool.threads += 1,
            // Those that run will come to it.
            Err(_) if pool.threads > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
    pool.jobs.push_back(job);
    WORK.notify_one();
    Ok(())
}

/// Starts a resolver thread. It blocks all signals: they are the script's.
fn spawn() -> io::Result<()> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let spawned = thread::Builder::new().name("tcp-resolver".into()).stack_size(STACK).spawn(serve);
    before.thread_set_mask()?;
    spawned.map(drop)
}

fn serve() {
    while let Some(job) = next() {
        job.run();
    }
}

/// The next job; none after a while without any, and the thread is no longer counted.
fn next() -> Option<Job> {
    let mut guard = lock(&POOL);
    loop {
        let pool = guard.as_mut()?;
        if let Some(job) = pool.jobs.pop_front() {
            return Some(job);
        }
        pool.idle += 1;
        let (after, timeout) =
            WORK.wait_timeout(guard, IDLE).unwrap_or_else(PoisonError::into_inner);
        guard = after;
        let pool = guard.as_mut()?;
        pool.idle -= 1;
        if timeout.timed_out() && pool.jobs.is_empty() {
            pool.threads -= 1;
            return None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::deadline::Deadline;
    use crate::io::wait::{Driven, Place, drive};

    fn resolve(host: &str) -> Result<Vec<SocketAddr>> {
        let mut lookup = Resolve::start(host, 0, None)?;
        let deadline = Deadline::after(10.0);
        loop {
            if let Driven::Done(addresses) = drive(deadline, Place::Here, || lookup.step())? {
                return Ok(addresses);
            }
        }
    }

    #[test]
    fn localhost_is_this_machine() {
        let addresses = resolve("localhost").expect("resolves");
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert!(!addresses.is_empty());
    }

    #[test]
    fn a_name_that_is_none_is_a_dns_error() {
        for host in ["", "a\0b", "\u{ad}"] {
            assert_eq!(resolve(host).unwrap_err().code(), Code::Dns, "{host:?}");
        }
    }

    #[test]
    fn a_host_that_came_with_something_else_is_told_from_a_name() {
        for (host, why) in [
            ("https://example.com", "without scheme and path"),
            ("example.com/status", "without scheme and path"),
            ("example.com\r", "a line end"),
            ("an example", "a blank"),
            ("example.com:443", "an argument of its own"),
            ("[::1]:443", "an argument of its own"),
        ] {
            let error = ascii(host).unwrap_err();
            assert!(error.detail().contains(why), "{host}: {}", error.detail());
        }
        for host in
            ["example.com", "example.com.", "_dmarc.example.com", "fe80::1%lo", "[fe80::1%lo]"]
        {
            assert!(ascii(host).is_ok(), "{host}");
        }
    }

    #[test]
    fn literals_need_no_resolver() {
        assert!(literal("127.0.0.1").is_some());
        assert!(literal("::1").is_some() && literal("[::1]").is_some());
        assert!(literal("[127.0.0.1]").is_none() && literal("localhost").is_none());
    }

    #[test]
    fn international_names_are_converted() {
        assert_eq!(ascii("münchen.example").expect("valid"), "xn--mnchen-3ya.example");
        assert_eq!(ascii("[fe80::1%lo]").expect("valid"), "fe80::1%lo");
    }

    #[test]
    fn many_names_at_once_share_the_threads() {
        let lookups: Vec<_> = (0..600).map(|_| Lookup::start("127.0.0.1", 0, None)).collect();
        assert!(lookups.iter().all(Result::is_ok));
        assert!(lock(&POOL).as_ref().is_some_and(|pool| pool.threads <= THREADS));
    }
}
