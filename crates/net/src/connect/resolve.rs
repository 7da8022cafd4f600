//! Names to addresses, by the system's own resolver. `getaddrinfo` knows no timeout and cannot be
//! stopped, so it runs on a thread that can be left behind; a descriptor tells when it is through.
//! Uses `io::step`, `io::fork`, `trace`, `error`.
//!
//! Lookups of one name that overlap are one. What nobody waits for any more is never begun, and
//! costs nothing.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use std::{fs, ptr, thread};

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, SockType, getaddrinfo};
use nix::sys::signal::{SigSet, SigmaskHow};

use crate::error::{Code, Error, Pending, Result, is_exhausted, system_text};
use crate::io::fork;
use crate::io::step::{Step, Wait, Want};
use crate::memory::{check, collect};
use crate::trace::{Phase, Trace};

/// Threads at most that may wait for a name server; what comes beyond queues, and its deadline
/// runs.
const THREADS: usize = 256;
/// Threads besides, for names that need no name server.
const RESERVED: usize = 16;
/// What getaddrinfo and the libraries that it loads need, in bytes.
const STACK: usize = 256 * 1024;
/// How long a thread waits for another name before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// Names that this machine knows by itself.
const HOSTS: &str = "/etc/hosts";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Inet,
    Inet6,
}

impl Family {
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }
}

pub fn family_of(address: SocketAddr) -> Family {
    Family::of(address.ip())
}

/// What a name may have in bytes: four to each of the 255 that DNS takes (RFC 1035, section 2.3.4).
const LONGEST: usize = 1020;

/// A host that a script gave, as far as there can be one: what is longer is refused when it is
/// looked up.
pub fn host(given: &[u8]) -> String {
    String::from_utf8_lossy(&given[..given.len().min(LONGEST + 1)]).into_owned()
}

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
    /// The addresses will have this port. A name is asked for those of this family alone, where
    /// there is one.
    pub fn start(
        host: &str,
        port: u16,
        family: Option<Family>,
        trace: Option<&Trace>,
    ) -> Result<Self> {
        match literal(host) {
            Some(ip) => Ok(Self::Literal((ip, port).into())),
            None => Lookup::start(host, port, family, trace).map(Self::Lookup),
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
pub fn address_text(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => address.ip().to_string(),
    }
}

/// A name being looked up.
pub struct Lookup {
    request: Request,
    port: u16,
    phase: Option<Phase>,
}

impl Lookup {
    fn start(host: &str, port: u16, family: Option<Family>, trace: Option<&Trace>) -> Result<Self> {
        let request = Request::new(Question { host: ascii(host)?, family })?;
        Ok(Self { request, port, phase: trace.map(|trace| trace.begin("dns")) })
    }

    fn step(&mut self) -> Result<Step<Vec<SocketAddr>>> {
        let Some(answer) = self.request.answer()? else {
            return Ok(Step::Wait(self.request.wait()));
        };
        let answer = answer.map(|mut addresses| {
            addresses.iter_mut().for_each(|address| address.set_port(self.port));
            addresses
        });
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
    addresses.iter().map(address_text).collect::<Vec<_>>().join(", ")
}

/// The name as DNS has it (RFC 5890): names with other than ASCII letters are converted.
pub fn ascii(host: &str) -> Result<String> {
    let name = to_ascii(host)?;
    match ends_in_number(&name) {
        true => Err(Error::new(Code::Dns, "not a name, it ends in a number")),
        false => Ok(name),
    }
}

/// Whether the resolver would take this host for an address, though it is not written as one
/// usually is: `127.1`, `0x7f.1`. A filter of names would let it pass.
pub fn is_unusual_address(host: &str) -> bool {
    literal(host).is_none() && to_ascii(host).is_ok_and(|name| ends_in_number(&name))
}

fn to_ascii(host: &str) -> Result<String> {
    if host.len() > LONGEST {
        return Err(Error::new(Code::Dns, "not a name, they have 253 characters at most"));
    }
    if let Some(why) = mistaken(host) {
        return Err(Error::new(Code::Dns, why));
    }
    if host.is_empty() || host.starts_with('.') || host.contains('\0') {
        return Err(Error::new(Code::Dns, "not a name"));
    }
    if host.is_ascii() {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        return Ok(inner.unwrap_or(host).to_owned());
    }
    idna::domain_to_ascii(host).map_err(|_| Error::new(Code::Dns, "not a valid international name"))
}

/// No name does: then it could not be told from an address (RFC 3696, section 2).
fn ends_in_number(name: &str) -> bool {
    let last = name.strip_suffix('.').unwrap_or(name).rsplit('.').next().unwrap_or_default();
    let is_decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_hex = hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // In an IPv6 address it is the name of an interface.
    !name.contains(':') && (is_decimal || is_hex)
}

/// What is wrong with a host that people take from somewhere else, and what to do. A resolver would
/// only say that it does not know it.
fn mistaken(host: &str) -> Option<&'static str> {
    if host.starts_with(['/', '@']) || host.starts_with("./") || host.starts_with("unix:") {
        return Some("not a name but a path, connect_unix and listen_unix take it");
    }
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

/// What is asked of the system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    host: String,
    family: Option<Family>,
}

type Answer = Result<Vec<SocketAddr>>;

impl Question {
    /// As long as this takes.
    fn ask(&self) -> Answer {
        let family = self.family.map_or(0, |family| match family {
            Family::Inet => AddrFamily::Inet.into(),
            Family::Inet6 => AddrFamily::Inet6.into(),
        });
        let socktype = SockType::Stream.into();
        let hints = AddrInfoHints { address: family, socktype, ..AddrInfoHints::default() };
        let found = getaddrinfo(Some(&self.host), None, Some(hints)).map_err(failure)?;
        collect(found.filter_map(|each| Some(each.ok()?.sockaddr)))
    }

    /// Whether no name server is needed for it.
    fn is_local(&self) -> bool {
        let hosts = fs::read(HOSTS).unwrap_or_default();
        self.host.contains(':')
            || self.host.eq_ignore_ascii_case("localhost")
            || self.stands_in(&String::from_utf8_lossy(&hosts))
    }

    /// Whether a file such as /etc/hosts has an address for it.
    fn stands_in(&self, hosts: &str) -> bool {
        hosts.lines().any(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let ip: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
            ip.is_some_and(|ip| self.family.is_none_or(|family| family == Family::of(ip)))
                && words.any(|name| name.eq_ignore_ascii_case(&self.host))
        })
    }
}

fn failure(error: LookupError) -> Error {
    let error = io::Error::from(error);
    // For the want of a descriptor glibc has many words, none of which says so.
    match io::pipe() {
        Err(wanting) if is_exhausted(&wanting) => wanting.into(),
        _ if is_exhausted(&error) => error.into(),
        _ => Error::new(Code::Dns, words_of(&error)),
    }
}

fn words_of(error: &io::Error) -> String {
    let text = system_text(error);
    let words = text.rsplit("information: ").next().unwrap_or(&text);
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// A question that somebody waits for, until this is dropped.
struct Request {
    question: Question,
    id: u64,
    waiter: Arc<Waiter>,
    pool: &'static Pool,
}

struct Waiter {
    answer: OnceLock<Answer>,
    /// Readable once the answer is there.
    done: PipeReader,
    signal: PipeWriter,
}

impl Request {
    fn new(question: Question) -> Result<Self> {
        let (done, signal) = io::pipe()?;
        let waiter = Arc::new(Waiter { answer: OnceLock::new(), done, signal });
        let pool = Pool::current();
        let id = pool.ask(&question, &waiter)?;
        Ok(Self { question, id, waiter, pool })
    }

    fn answer(&mut self) -> Result<Option<Answer>> {
        // The threads of a parent do not tell its child.
        if self.is_foreign() {
            *self = Self::new(self.question.clone())?;
        }
        Ok(self.waiter.answer.get().cloned())
    }

    fn wait(&self) -> Wait {
        let before = lock(&self.pool.state).before(&self.question);
        Wait::new(&self.waiter.done, Want::Read).pending(Pending::Resolution { before })
    }

    fn is_foreign(&self) -> bool {
        !ptr::eq(self.pool, Pool::current())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.is_foreign() {
            lock(&self.pool.state).withdraw(&self.question, self.id);
        }
    }
}

impl Waiter {
    fn tell(&self, answer: Answer) {
        let _ = self.answer.set(answer);
        // There is room for one byte, and the reader is ours.
        let _ = (&self.signal).write(&[0]);
    }
}

/// The threads of a process, and what they are to do.
struct Pool {
    state: Mutex<Lookups>,
    work: Condvar,
    /// That of its children: they have this memory and none of the threads, one of which may hold
    /// the lock.
    next: OnceLock<Box<Pool>>,
}

struct Lookups {
    /// What is asked and not answered yet.
    asked: BTreeMap<Question, Asked>,
    /// What of it is not begun yet, in the order in which it is to be.
    queue: BTreeMap<Turn, Question>,
    last_id: u64,
    threads: usize,
    idle: usize,
    /// Threads that may be waiting for a name server.
    remote: usize,
}

struct Asked {
    waiters: BTreeMap<u64, Weak<Waiter>>,
    /// None once it is begun.
    turn: Option<Turn>,
}

type Turn = (Lane, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Local,
    Remote,
}

static POOL: Pool = Pool::new();

impl Pool {
    const fn new() -> Self {
        let state = Lookups {
            asked: BTreeMap::new(),
            queue: BTreeMap::new(),
            last_id: 0,
            threads: 0,
            idle: 0,
            remote: 0,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), next: OnceLock::new() }
    }

    /// That of this process.
    fn current() -> &'static Self {
        let next = |pool: &'static Self, _| &**pool.next.get_or_init(|| Box::new(Self::new()));
        (0..fork::generation()).fold(&POOL, next)
    }

    /// Has the waiter told. Its number, to withdraw by.
    fn ask(&'static self, question: &Question, waiter: &Arc<Waiter>) -> Result<u64> {
        let mut state = lock(&self.state);
        state.last_id += 1;
        let id = state.last_id;
        if !state.asked.contains_key(question) {
            let turn = (self.admit(&mut state, question)?, id);
            state
                .asked
                .insert(question.clone(), Asked { waiters: BTreeMap::new(), turn: Some(turn) });
            state.queue.insert(turn, question.clone());
            self.work.notify_one();
        }
        if let Some(asked) = state.asked.get_mut(question) {
            asked.waiters.insert(id, Arc::downgrade(waiter));
        }
        Ok(id)
    }

    /// Sees to it that there is a thread for one more. A name that needs no name server has one
    /// even where all others wait for one.
    fn admit(&'static self, state: &mut Lookups, question: &Question) -> Result<Lane> {
        let is_local = state.threads >= THREADS && question.is_local();
        let (lane, most) = match is_local {
            true => (Lane::Local, THREADS + RESERVED),
            false => (Lane::Remote, THREADS),
        };
        if state.idle <= state.queue.len() && state.threads < most {
            // The C library ends the process where a thread that has begun finds no memory for its
            // variables.
            match check(STACK).and_then(|()| Ok(self.spawn()?)) {
                Ok(()) => state.threads += 1,
                // Those that run will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lane)
    }

    /// Starts a resolver thread. It blocks all signals: they are the script's.
    fn spawn(&'static self) -> io::Result<()> {
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let builder = thread::Builder::new().name("tcp-resolver".into()).stack_size(STACK);
        let spawned = builder.spawn(|| self.serve());
        before.thread_set_mask()?;
        spawned.map(drop)
    }

    fn serve(&self) {
        while let Some((lane, question)) = self.next() {
            let failed = || Err(Error::new(Code::Dns, "the system's resolver failed"));
            let answer = catch_unwind(|| question.ask()).unwrap_or_else(|_| failed());
            for waiter in lock(&self.state).end(lane, &question) {
                waiter.tell(answer.clone());
            }
        }
    }

    /// The next question; none after a while without any, and the thread is no longer counted.
    fn next(&self) -> Option<(Lane, Question)> {
        let mut state = lock(&self.state);
        loop {
            if let Some(begun) = state.begin() {
                return Some(begun);
            }
            state.idle += 1;
            let timeout;
            (state, timeout) =
                self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}

impl Lookups {
    fn begin(&mut self) -> Option<(Lane, Question)> {
        let first = self.queue.first_entry()?;
        let (lane, _) = *first.key();
        if lane == Lane::Remote {
            if self.remote >= THREADS {
                return None;
            }
            self.remote += 1;
        }
        let question = first.remove();
        if let Some(asked) = self.asked.get_mut(&question) {
            asked.turn = None;
        }
        Some((lane, question))
    }

    /// Takes out what is answered: who waits for it.
    fn end(&mut self, lane: Lane, question: &Question) -> Vec<Arc<Waiter>> {
        if lane == Lane::Remote {
            self.remote -= 1;
        }
        let waiters = self.asked.remove(question).map(|asked| asked.waiters);
        waiters.iter().flat_map(BTreeMap::values).filter_map(Weak::upgrade).collect()
    }

    /// How many others keep this one from being begun. One that a thread is about to take waits for
    /// none.
    fn before(&self, question: &Question) -> usize {
        let turn = self.asked.get(question).and_then(|asked| asked.turn);
        let is_kept = matches!(turn, Some((Lane::Remote, _))) && self.remote >= THREADS;
        if is_kept { self.remote } else { 0 }
    }

    /// One that waits no longer. What nobody waits for is not begun.
    fn withdraw(&mut self, question: &Question, id: u64) {
        let Some(asked) = self.asked.get_mut(question) else { return };
        asked.waiters.remove(&id);
        if asked.waiters.is_empty()
            && let Some(turn) = asked.turn
        {
            self.queue.remove(&turn);
            self.asked.remove(question);
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
    use crate::io::wait::{Driven, WaitMode, drive};

    fn resolve(host: &str) -> Result<Vec<SocketAddr>> {
        let mut lookup = Resolve::start(host, 0, None, None)?;
        let deadline = Deadline::after(10.0);
        loop {
            if let Driven::Done(addresses) = drive(deadline, WaitMode::Blocking, || lookup.step())?
            {
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
            ("/run/x.sock", "not a name but a path"),
            ("@x", "not a name but a path"),
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
    fn what_a_resolver_takes_for_an_address_is_one_only_as_it_is_usually_written() {
        for host in [
            "127.1",
            "0x7f.1",
            "0X7F.0x1",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.1.",
            "256.1.1.1",
            "[127.1]",
            "[127.0.0.1]",
            "１２７.1",
            "127。1",
        ] {
            assert!(is_unusual_address(host) && ascii(host).is_err(), "{host}");
        }
        for host in [
            "127.0.0.1",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "fe80::1%eth0.100",
            "localhost",
            "1.example",
            "0xg",
            "example.c0m",
            "",
        ] {
            assert!(!is_unusual_address(host), "{host}");
        }
    }

    fn question(host: &str, family: Option<Family>) -> Question {
        Question { host: host.to_owned(), family }
    }

    #[test]
    fn a_name_in_the_hosts_file_is_local_in_the_families_that_it_has_there() {
        let hosts = "# 127.0.0.1 not\n127.0.0.1 localhost here # 127.0.0.1 there\n::1\tlocalhost\n";
        assert!(question("HERE", None).stands_in(hosts));
        assert!(question("here", Some(Family::Inet)).stands_in(hosts));
        assert!(question("localhost", Some(Family::Inet6)).stands_in(hosts));
        assert!(!question("here", Some(Family::Inet6)).stands_in(hosts));
        assert!(!question("there", None).stands_in(hosts));
        assert!(!question("not", None).stands_in(hosts));
    }

    fn waiter() -> Arc<Waiter> {
        let (done, signal) = io::pipe().expect("pipe");
        Arc::new(Waiter { answer: OnceLock::new(), done, signal })
    }

    /// A pool whose threads all hang.
    fn full() -> &'static Pool {
        let pool = Box::leak(Box::new(Pool::new()));
        let mut state = lock(&pool.state);
        (state.threads, state.remote) = (THREADS, THREADS);
        drop(state);
        pool
    }

    #[test]
    fn what_nobody_waits_for_any_more_leaves_the_queue() {
        let (pool, first, second) = (full(), waiter(), waiter());
        let question = question("silent.example", None);
        let ids = [&first, &second].map(|waiter| pool.ask(&question, waiter).expect("asked"));
        let mut state = lock(&pool.state);
        assert!(state.before(&question) == THREADS && state.queue.len() == 1);
        state.withdraw(&question, ids[0]);
        assert_eq!(state.queue.len(), 1);
        state.withdraw(&question, ids[1]);
        assert!(state.queue.is_empty() && state.asked.is_empty());
    }

    #[test]
    fn lookups_of_one_name_and_family_share_an_answer() {
        let (pool, waiters) = (full(), [waiter(), waiter(), waiter()]);
        let families = [None, None, Some(Family::Inet)];
        for (waiter, family) in waiters.iter().zip(families) {
            pool.ask(&question("one.example", family), waiter).expect("asked");
        }
        let mut state = lock(&pool.state);
        state.remote -= 1;
        let (lane, first) = state.begin().expect("begun");
        assert!(state.begin().is_none());
        let told = state.end(lane, &first);
        assert!(
            told.len() == 2
                && told.iter().zip(&waiters).all(|(one, other)| Arc::ptr_eq(one, other))
        );
    }

    #[test]
    fn a_local_name_is_looked_up_while_all_others_hang() {
        let (pool, waiters) = (full(), [waiter(), waiter()]);
        pool.ask(&question("silent.example", None), &waiters[0]).expect("asked");
        pool.ask(&question("localhost", None), &waiters[1]).expect("asked");
        let mut byte = [0];
        io::Read::read_exact(&mut &waiters[1].done, &mut byte).expect("told");
        assert!(waiters[1].answer.get().is_some_and(Result::is_ok));
        assert_eq!(lock(&pool.state).before(&question("silent.example", None)), THREADS);
    }

    #[test]
    fn many_names_at_once_share_the_threads() {
        let look_up = |at: u32| Lookup::start(&format!("n{at}.localhost"), 0, None, None);
        let lookups: Vec<_> = (0..600).map(look_up).collect();
        assert!(lookups.iter().all(Result::is_ok));
        assert!(lock(&POOL.state).threads <= THREADS + RESERVED);
    }
}
