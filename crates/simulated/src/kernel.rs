//! The kernel's state: its clock, what will happen, the descriptors and their files. Uses `random`,
//! `network`, `state`, `watching`.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::os::fd::RawFd;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::ClockId;
use rustix::io::Errno;

use crate::network::{Happening, Server};
use crate::random::Random;
use crate::state::State;
use crate::watching::Watching;

/// Descriptors begin here, so that none is by chance one of the process.
pub(crate) const FIRST: RawFd = 64;
/// Of a clock that has run for some days.
const BEGIN: u64 = 300_000_000_000_000;

/// How often calls fail that may fail at any time, of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// ENOBUFS of recv and send.
    pub transient: usize,
    /// EINTR of any call that has it.
    pub interrupt: usize,
    /// A send that takes less than there is room for.
    pub short_write: usize,
    /// A recv of a Unix socket that gives less than there is.
    pub short_read: usize,
    /// ENOSPC where a descriptor is added to an epoll.
    pub no_watch: usize,
    /// epoll_wait fails.
    pub no_events: usize,
    /// Times in which no descriptor can be had, of a thousand periods of 50 ms.
    pub full_table: usize,
}

pub(crate) enum Kind {
    Socket(Box<State>),
    Epoll(Watching),
    /// An eventfd: whether it is readable.
    Event(bool),
}

pub(crate) struct File {
    pub kind: Kind,
    /// The epolls that watch it, by file.
    pub watchers: Vec<usize>,
    pub is_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    /// What was planned first happens first.
    number: u64,
}

pub struct Kernel {
    pub(crate) random: Random,
    pub faults: Faults,
    now: u64,
    agenda: BinaryHeap<Reverse<(Due, usize)>>,
    happenings: Vec<Option<Happening>>,
    planned: u64,
    pub(crate) files: Vec<File>,
    /// By descriptor.
    table: Vec<Option<usize>>,
    pub(crate) servers: HashMap<String, Server>,
    pub(crate) listeners: HashMap<String, usize>,
    calls: u64,
    most_calls: u64,
    full_seed: u64,
    is_frozen: bool,
}

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// Calls `act` with this thread's kernel.
pub fn with<R>(act: impl FnOnce(&mut Kernel) -> R) -> R {
    KERNEL.with_borrow_mut(|kernel| act(kernel.as_mut().expect("no kernel is running")))
}

/// The clock of the kernel, whichever is asked for.
pub fn clock_gettime(_: ClockId) -> nix::Result<TimeSpec> {
    Ok(with(|kernel| {
        kernel.tick();
        TimeSpec::from(Duration::from_nanos(kernel.now))
    }))
}

impl Kernel {
    /// Begins with this thread's next run.
    pub fn start(seed: u64, faults: Faults) {
        let mut random = Random::new(seed);
        let kernel = Self {
            full_seed: random.number(),
            random,
            faults,
            now: BEGIN,
            agenda: BinaryHeap::new(),
            happenings: Vec::new(),
            planned: 0,
            files: Vec::new(),
            table: Vec::new(),
            servers: HashMap::new(),
            listeners: HashMap::new(),
            calls: 0,
            most_calls: u64::MAX,
            is_frozen: false,
        };
        KERNEL.set(Some(kernel));
    }

    /// Ends it: the descriptors that are still open.
    pub fn stop() -> Vec<RawFd> {
        let kernel = KERNEL.take().expect("no kernel is running");
        let open = |(at, id): (usize, &Option<usize>)| id.map(|_| FIRST + at as RawFd);
        kernel.table.iter().enumerate().filter_map(open).collect()
    }

    /// Panics at so many calls: whoever makes them does not come to an end.
    pub fn set_most_calls(&mut self, most: u64) {
        self.most_calls = most;
    }

    /// While it is frozen, calls take no time, and none fails by chance.
    pub fn set_frozen(&mut self, is_frozen: bool) {
        self.is_frozen = is_frozen;
    }

    /// The faults of now.
    pub(crate) fn chances(&self) -> Faults {
        if self.is_frozen { Faults::default() } else { self.faults }
    }

    /// Seconds on the clock, which stands meanwhile.
    pub fn now(&self) -> f64 {
        seconds(self.now)
    }

    pub fn calls(&self) -> u64 {
        self.calls
    }

    pub(crate) fn nanoseconds(&self) -> u64 {
        self.now
    }

    /// A call is made: some time goes by, and what is due happens.
    pub(crate) fn tick(&mut self) {
        self.calls += 1;
        assert!(self.calls < self.most_calls, "so many calls, and no end");
        if self.is_frozen {
            return;
        }
        let microseconds = if self.random.chance(50) { 200 } else { 2 };
        self.now += self.random.below(microseconds * 1000) as u64;
        self.happen();
    }

    /// The next thing happens in so many nanoseconds, at least.
    pub(crate) fn plan(&mut self, delay: u64, happening: Happening) {
        let due = Due { at: self.now + delay, number: self.planned };
        self.planned += 1;
        self.agenda.push(Reverse((due, self.happenings.len())));
        self.happenings.push(Some(happening));
    }

    fn happen(&mut self) {
        while let Some(Reverse((due, at))) = self.agenda.peek().copied() {
            if due.at > self.now {
                return;
            }
            self.agenda.pop();
            if let Some(happening) = self.happenings[at].take() {
                self.take_place(happening);
            }
        }
    }

    /// Sleeps until something happens, or until `end`: false where neither will ever be.
    pub(crate) fn sleep(&mut self, end: Option<u64>) -> bool {
        let next = self.agenda.peek().map(|Reverse((due, _))| due.at);
        let Some(wake) = next.into_iter().chain(end).min() else { return false };
        self.now = self.now.max(wake);
        self.happen();
        true
    }

    /// Opens the lowest descriptor that is free, if any can be had.
    pub(crate) fn open(&mut self, kind: Kind) -> Result<RawFd, Errno> {
        if self.is_full() {
            return Err(Errno::MFILE);
        }
        let file = File { kind, watchers: Vec::new(), is_open: true };
        self.files.push(file);
        let id = self.files.len() - 1;
        let at = self.table.iter().position(Option::is_none).unwrap_or(self.table.len());
        if at == self.table.len() {
            self.table.push(None);
        }
        self.table[at] = Some(id);
        Ok(FIRST + at as RawFd)
    }

    /// Whether this is a time without descriptors.
    fn is_full(&self) -> bool {
        let period = self.now / 50_000_000;
        Random::new(self.full_seed ^ period).chance(self.chances().full_table)
    }

    pub(crate) fn close(&mut self, fd: RawFd) {
        let at = (fd - FIRST) as usize;
        let id = self.table[at].take().expect("a descriptor that is closed twice");
        self.files[id].is_open = false;
        for watcher in std::mem::take(&mut self.files[id].watchers) {
            if let Kind::Epoll(watching) = &mut self.files[watcher].kind {
                watching.forget(id);
            }
        }
        if let Kind::Epoll(watching) = &mut self.files[id].kind {
            for member in watching.members() {
                self.files[member].watchers.retain(|watcher| *watcher != id);
            }
        }
        self.hang_up(id);
    }

    pub(crate) fn id(&self, fd: RawFd) -> Result<usize, Errno> {
        let at = usize::try_from(fd - FIRST).map_err(|_| Errno::BADF)?;
        self.table.get(at).copied().flatten().ok_or(Errno::BADF)
    }

    pub(crate) fn socket(&mut self, fd: RawFd) -> Result<&mut State, Errno> {
        let id = self.id(fd)?;
        self.socket_at(id).ok_or(Errno::NOTSOCK)
    }

    pub(crate) fn socket_at(&mut self, id: usize) -> Option<&mut State> {
        match &mut self.files[id].kind {
            Kind::Socket(state) => Some(state),
            _ => None,
        }
    }

    /// Descriptors that are open now.
    pub fn open_count(&self) -> usize {
        self.table.iter().flatten().count()
    }
}

pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1_000_000_000) as f64 + (nanoseconds % 1_000_000_000) as f64 / 1e9
}
