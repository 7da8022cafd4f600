//! The threads that ask the system's resolver. `getaddrinfo` has no timeout and cannot be
//! cancelled, so it runs on a thread that can be left behind. A descriptor tells when it returns.
//! Uses `connect::question`, `io::step`, `io::fork`, `memory`, `error`.
//!
//! Overlapping lookups of one name are one. A lookup that nobody waits for any more never begins.
//! Uses `connect::question`, `io::step`, `io::fork`, `memory`, `error`.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use std::{ptr, thread};

use nix::sys::signal::{SigSet, SigmaskHow};

use crate::connect::question::{Answer, Question};
use crate::error::{Code, Error, Pending, Result};
use crate::io::fork;
use crate::io::step::{Wait, Want};
use crate::memory::check;

/// The most threads that may wait for a name server. More lookups are queued, and their deadlines
/// run.
const THREADS: usize = 256;
/// More threads, for names that need no name server.
const RESERVED: usize = 16;
/// The stack of a thread, in bytes: what getaddrinfo and the libraries that it loads need.
const STACK: usize = 256 * 1024;
/// An idle thread ends after this time.
const IDLE: Duration = Duration::from_secs(10);

/// A lookup and its waiter, until this is dropped.
pub struct Request {
    question: Question,
    id: u64,
    waiter: Arc<Waiter>,
    pool: &'static Pool,
}

struct Waiter {
    answer: OnceLock<Answer>,
    /// Readable once there is an answer.
    done: PipeReader,
    signal: PipeWriter,
}

impl Request {
    pub fn new(question: Question) -> Result<Self> {
        let (done, signal) = io::pipe()?;
        let waiter = Arc::new(Waiter { answer: OnceLock::new(), done, signal });
        let pool = Pool::current();
        let id = pool.ask(&question, &waiter)?;
        Ok(Self { question, id, waiter, pool })
    }

    pub fn answer(&mut self) -> Result<Option<Answer>> {
        // In a child of fork, the parent's threads are missing, and the lookup begins anew.
        if self.is_foreign() {
            *self = Self::new(self.question.clone())?;
        }
        Ok(self.waiter.answer.get().cloned())
    }

    pub fn wait(&self) -> Wait {
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
        // The pipe has room for one byte, and `done` is open.
        let _ = (&self.signal).write(&[0]);
    }
}

/// The resolver threads of a process, and their lookups.
struct Pool {
    state: Mutex<Lookups>,
    work: Condvar,
    /// The pool for the children of this process. A child has none of the threads, one of which may
    /// have held the lock.
    next: OnceLock<Box<Pool>>,
}

struct Lookups {
    /// The lookups that are not answered yet.
    asked: BTreeMap<Question, Asked>,
    /// The lookups that have not begun, in the order in which they will.
    queue: BTreeMap<Turn, Question>,
    last_id: u64,
    threads: usize,
    idle: usize,
    /// The number of threads that may be waiting for a name server.
    remote: usize,
}

struct Asked {
    waiters: BTreeMap<u64, Weak<Waiter>>,
    /// None once the lookup has begun.
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

    /// Returns the pool of this process.
    fn current() -> &'static Self {
        let next = |pool: &'static Self, _| &**pool.next.get_or_init(|| Box::new(Self::new()));
        (0..fork::generation()).fold(&POOL, next)
    }

    /// Adds a waiter for the answer, and the lookup if it is new. Returns a number for `withdraw`.
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

    /// Starts a thread for one more lookup if none is idle. Names that need no name server have
    /// threads of their own when all others may be waiting for one.
    fn admit(&'static self, state: &mut Lookups, question: &Question) -> Result<Lane> {
        let is_local = state.threads >= THREADS && question.is_local();
        let (lane, most) = match is_local {
            true => (Lane::Local, THREADS + RESERVED),
            false => (Lane::Remote, THREADS),
        };
        if state.idle <= state.queue.len() && state.threads < most {
            // The C library ends the process if a new thread has no memory for its thread-local
            // variables.
            match check(STACK).and_then(|()| Ok(self.spawn()?)) {
                Ok(()) => state.threads += 1,
                // The present threads will do the lookup later.
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

    /// Returns the next lookup. After a time without any it returns none, and the thread must end.
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

    /// Removes a lookup that is answered, and returns its waiters.
    fn end(&mut self, lane: Lane, question: &Question) -> Vec<Arc<Waiter>> {
        if lane == Lane::Remote {
            self.remote -= 1;
        }
        let waiters = self.asked.remove(question).map(|asked| asked.waiters);
        waiters.iter().flat_map(BTreeMap::values).filter_map(Weak::upgrade).collect()
    }

    /// Returns the number of lookups that keep this one from beginning; 0 if a thread can take it
    /// now.
    fn before(&self, question: &Question) -> usize {
        let turn = self.asked.get(question).and_then(|asked| asked.turn);
        let is_kept = matches!(turn, Some((Lane::Remote, _))) && self.remote >= THREADS;
        if is_kept { self.remote } else { 0 }
    }

    /// Removes a waiter. A lookup without waiters will not begin.
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
    use crate::connect::host::Family;

    fn question(host: &str, family: Option<Family>) -> Question {
        Question { host: host.to_owned(), family }
    }

    fn waiter() -> Arc<Waiter> {
        let (done, signal) = io::pipe().expect("pipe");
        Arc::new(Waiter { answer: OnceLock::new(), done, signal })
    }

    /// Returns a pool whose threads all hang.
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
        let ask = |at: u32| Request::new(question(&format!("n{at}.localhost"), None));
        let requests: Vec<_> = (0..300).map(ask).collect();
        assert!(requests.iter().all(Result::is_ok));
        assert!(lock(&POOL.state).threads <= THREADS + RESERVED);
    }
}
