//! One run: connections, their peers, and tasks that ask things of them in any order. It ends when
//! all tasks have had their operations; then nothing may be left.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use net::connect::race::Race;
use net::connect::unix::UnixConnect;
use net::endpoint::{Address, Endpoint};
use net::error::{Code, Copied, Error, Result};
use net::io::deadline::Deadline;
use net::io::poller::Poller;
use net::io::step::{Step, Want};
use net::listen::{Bind, ListenConfig, Listener, Source};
use net::socket_options::SocketOptions;
use net::stream::Limits;
use net::stream::buffer::Buffer;
use net::trace::Tracer;
use net::transport::Transport;
use net::unix::address::UnixAddress;
use simulated::{Answer, Faults, Kernel, Random, Server, with};

use crate::connection::{Connection, Skipping, layered};
use crate::content::Ask;
use crate::end::*;
use crate::operation::{Connecting, Operation, Outcome, Target, dialed};
use crate::peers::{Layer, MILLISECOND, Plan, plan};
use crate::runner::is_told;
use crate::scheduler::{Mode, Task, advance};

/// Where the listener is.
const LISTENER: &str = "127.0.0.1:7000";
/// Rounds and calls that no run comes near.
const MOST_ROUNDS: usize = 100_000;
const MOST_CALLS: u64 = 3_000_000;

macro_rules! tell {
    ($($words:tt)*) => {
        if is_told() {
            println!("{:12.6} {}", with(|kernel| kernel.now()) - 300_000.0, format_args!($($words)*));
        }
    };
}

pub struct World {
    random: Random,
    faults: Faults,
    pub mode: Mode,
    pub poller: Option<Poller>,
    pub listener: Option<Listener>,
    /// The plans of the clients that come, in their order.
    clients: VecDeque<Plan>,
    pub connections: Vec<Connection>,
    pub tasks: Vec<Task>,
    /// The number of the next address that is made up.
    addresses: u16,
}

/// The calls that were made of the kernel.
pub fn run(seed: u64) -> u64 {
    drop_spares();
    let mut random = Random::new(seed);
    let faults = faults(&mut random);
    Kernel::start(random.number(), faults);
    with(|kernel| kernel.set_most_calls(MOST_CALLS));
    let mut world = World::new(random, faults);
    world.play();
    world.end();
    drop(world);
    let calls = with(|kernel| kernel.calls());
    let open = Kernel::stop();
    assert!(open.is_empty(), "descriptors are left open: {open:?}");
    calls
}

/// Drops the memory that buffers of the last run have left to the next: its size would decide how
/// much a read takes.
fn drop_spares() {
    for room in [1, 512 * 1024] {
        Buffer::default().spare(room).expect("memory");
    }
}

fn faults(random: &mut Random) -> Faults {
    let mut faults = Faults { short_read: 200, ..Faults::default() };
    if random.chance(500) {
        faults.short_write = random.one_of(&[0, 100, 500]);
        faults.interrupt = random.one_of(&[0, 10, 100]);
    }
    if random.chance(250) {
        faults.transient = random.one_of(&[0, 5, 50]);
        faults.no_watch = random.one_of(&[0, 20, 200]);
        faults.no_events = random.one_of(&[0, 20, 200]);
        faults.full_table = random.one_of(&[0, 100, 500]);
    }
    faults
}

impl World {
    fn new(mut random: Random, faults: Faults) -> Self {
        let mode = match random.below(10) {
            0 | 1 => Mode::Blocking,
            2 => Mode::Own,
            _ => Mode::Poller,
        };
        let count = if mode == Mode::Blocking { 1 } else { random.between(1, 6) };
        let most = random.one_of(&[2, 6, 16]);
        let task = |random: &mut Random| Task { left: random.between(1, most), ..Task::default() };
        let tasks = (0..count).map(|_| task(&mut random)).collect();
        let mut world = Self {
            random,
            faults,
            mode,
            poller: None,
            listener: None,
            clients: VecDeque::new(),
            connections: Vec::new(),
            tasks,
            addresses: 0,
        };
        tell!("{mode:?}, {count} tasks, {faults:?}");
        if mode == Mode::Poller {
            world.poller = Some(until_there(Poller::new));
        }
        if world.random.chance(500) {
            world.listen();
        }
        world
    }

    fn listen(&mut self) {
        let bind = || {
            let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 7000 };
            let config = ListenConfig {
                backlog: 128,
                reuse_addr: true,
                reuse_port: false,
                socket: SocketOptions::default(),
                limits: Limits::default(),
                proxy_protocol: false,
                tls: None,
                tracer: Tracer::default(),
            };
            match Bind::start(Source::Host(endpoint, None), config)?.step()? {
                Step::Done(listener) => Ok(listener),
                Step::Wait(_) => panic!("an address is no name"),
            }
        };
        self.listener = Some(until_there(bind));
        let mut at = 0;
        for _ in 0..self.random.below(6) {
            at += self.random.below(300 * MILLISECOND as usize) as u64 + 1;
            let layer = layer(&mut self.random);
            let (plan, peer) = plan(&mut self.random, layer);
            self.clients.push_back(plan);
            with(|kernel| kernel.add_client(LISTENER, at, peer));
        }
    }

    fn play(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let mut order: Vec<usize> = (0..self.tasks.len()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, self.random.below(at + 1));
            }
            for at in order {
                self.turn(at);
            }
            if self.tasks.iter().all(Task::is_over) {
                return;
            }
            let must_wait = self.tasks.iter().all(|task| task.wait.is_some() || task.is_over());
            if must_wait || self.random.chance(500) && self.mode == Mode::Poller {
                self.wait();
            }
            self.check_deadlines();
        }
        panic!("so many rounds, and no end");
    }

    /// A task that does not wait does something.
    fn turn(&mut self, at: usize) {
        if self.random.chance(5) {
            self.cancel(at);
        }
        if self.tasks[at].wait.is_some() {
            return;
        }
        for _ in 0..3 {
            if self.tasks[at].operation.is_none() && !self.begin(at) {
                return;
            }
            let Some(result) = advance(self, at) else { return };
            self.tasks[at].wait = None;
            let operation = self.tasks[at].operation.take().expect("it was there just now");
            self.leave(at, &operation);
            self.conclude(at, operation, result);
        }
    }

    /// A task is ended in the midst of an operation: it waits, or was told that it may go on.
    fn cancel(&mut self, at: usize) {
        self.cancel_wait(at);
        let Some(operation) = self.tasks[at].operation.take() else { return };
        tell!("task {at}: cancelled");
        self.leave(at, &operation);
        self.give_up(operation);
    }

    /// The sides that it has are free again.
    fn leave(&mut self, at: usize, operation: &Operation) {
        let (reads, writes) = operation.sides();
        for (side, reader) in [(reads, true), (writes, false)] {
            let Some(connection) = side.map(|side| &mut self.connections[side]) else { continue };
            let owner = if reader { &mut connection.reader } else { &mut connection.writer };
            assert_eq!(owner.take(), Some(at), "a side has one owner");
        }
    }

    /// What an operation that does not go on has come to so far.
    fn give_up(&mut self, operation: Operation) {
        match operation {
            Operation::Copy { from, into, copied, .. } => self.count_copy(from, into, copied),
            Operation::Skip { at, size } => {
                self.connections[at].skipping = Skipping::Bytes(size);
            }
            Operation::SkipPacket { at } => self.connections[at].skipping = Skipping::Packet,
            _ => {}
        }
    }

    fn count_copy(&mut self, from: usize, into: usize, copied: Copied) {
        let count = copied.bytes as usize;
        let source = &mut self.connections[from];
        let bytes = source.rest()[..count].to_vec();
        source.position += count;
        source.skipping = match source.skipping {
            Skipping::Nothing => Skipping::Nothing,
            _ if count > 0 => Skipping::Nothing,
            _ => Skipping::Perhaps,
        };
        self.connections[into].queued.extend_from_slice(&bytes);
    }

    /// Begins the next operation of a task, if there is one.
    fn begin(&mut self, at: usize) -> bool {
        if self.tasks[at].left == 0 {
            return false;
        }
        self.tasks[at].left -= 1;
        if self.random.chance(60) {
            self.close_any();
        }
        if self.random.chance(200) {
            self.look_at_any();
        }
        let operation = self.choose();
        let timeout = self.random.one_of(&[0.0, 0.001, 0.02, 0.3, 2.0, 30.0]);
        let (reads, writes) = operation.sides();
        if let Some(reads) = reads {
            self.connections[reads].reader = Some(at);
        }
        if let Some(writes) = writes {
            self.connections[writes].writer = Some(at);
        }
        let begun = with(|kernel| kernel.now());
        // A connect has its deadline from the beginning on, as `PendingOp` has it.
        let deadline = match operation {
            Operation::Connect(_) | Operation::ConnectUnix { .. } => {
                Some(Deadline::at(begun + timeout))
            }
            _ => None,
        };
        tell!("task {at}: {}, {timeout} s", words(&operation, &self.connections));
        let task = &mut self.tasks[at];
        (task.operation, task.begun, task.timeout) = (Some(operation), begun, timeout);
        task.deadline = deadline;
        true
    }

    fn choose(&mut self) -> Operation {
        let readers: Vec<usize> = (0..self.connections.len())
            .filter(|at| self.connections[*at].is_open() && self.connections[*at].reader.is_none())
            .collect();
        let writers: Vec<usize> = (0..self.connections.len())
            .filter(|at| self.connections[*at].is_open() && self.connections[*at].writer.is_none())
            .collect();
        for _ in 0..10 {
            let choice = self.random.below(20);
            match choice {
                0..=8 if !readers.is_empty() => {
                    let at = self.random.one_of(&readers);
                    return self.choose_read(at);
                }
                9..=12 if !writers.is_empty() => {
                    let at = self.random.one_of(&writers);
                    if !self.connections[at].is_shut && self.can_queue(at) {
                        let size = self.random.one_of(&[0, 1, 30, 700, 20_000]);
                        self.connections[at].queue(&mut self.random, size);
                    }
                    return Operation::Flush { at };
                }
                13 if !writers.is_empty() && self.random.chance(300) => {
                    return Operation::Shutdown { at: self.random.one_of(&writers) };
                }
                14 if !readers.is_empty() && !writers.is_empty() => {
                    let (from, into) = (self.random.one_of(&readers), self.random.one_of(&writers));
                    let is_free = self.connections[from].skipping != Skipping::Packet;
                    if from != into && is_free && self.can_queue(into) {
                        let most = self.random.one_of(&[usize::MAX, 0, 10, 5000]);
                        let copied = Copied::default();
                        return Operation::Copy { from, into, most, copied };
                    }
                }
                15 | 16 if self.listener.is_some() && !self.is_accepting() => {
                    return Operation::Accept { is_next: self.random.chance(500) };
                }
                17 if self.random.chance(300) => {
                    let seconds = self.random.one_of(&[0.0, 0.0005, 0.1, 1.0]);
                    let now = with(|kernel| kernel.now());
                    return Operation::Sleep { until: Deadline::at(now + seconds) };
                }
                18 if self.connections.len() < 8 && self.random.chance(300) => {
                    if let Some(operation) = self.connect_unix() {
                        return operation;
                    }
                }
                19 if self.connections.len() < 8 => return self.connect(),
                _ => {}
            }
        }
        if self.connections.len() < 8 {
            return self.connect();
        }
        Operation::Sleep { until: Deadline::at(with(|kernel| kernel.now()) + 0.01) }
    }

    /// Whether what is queued now is sent if anything is.
    fn can_queue(&mut self, at: usize) -> bool {
        let stream = self.connections[at].stream.as_mut();
        stream.is_some_and(|stream| stream.queue_bytes(&[]).is_ok())
    }

    fn is_accepting(&self) -> bool {
        let accepts = |task: &Task| matches!(task.operation, Some(Operation::Accept { .. }));
        self.tasks.iter().any(accepts)
    }

    fn choose_read(&mut self, at: usize) -> Operation {
        let (random, connection) = (&mut self.random, &mut self.connections[at]);
        match connection.skipping {
            Skipping::Bytes(size) if random.chance(500) => return Operation::Skip { at, size },
            Skipping::Packet => return Operation::SkipPacket { at },
            _ => {}
        }
        let begins = |(begin, _): &&(usize, Ask)| *begin == connection.position;
        let here = connection.plan.content.asks.iter().find(begins);
        let ask = match here {
            Some((_, ask)) if random.chance(800) => *ask,
            _ => Ask::any(random),
        };
        let rest = connection.rest().len();
        match ask {
            Ask::Packet if random.chance(200) && connection.skipping == Skipping::Nothing => {
                Operation::SkipPacket { at }
            }
            Ask::Exact(size @ 1..)
                if size <= rest
                    && random.chance(300)
                    && connection.skipping == Skipping::Nothing =>
            {
                connection.position += size;
                Operation::Skip { at, size }
            }
            _ => {
                if connection.skipping != Skipping::Nothing {
                    connection.skipping = Skipping::Perhaps;
                }
                Operation::Read { at, ask }
            }
        }
    }

    fn connect(&mut self) -> Operation {
        let mut targets = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..self.random.one_of(&[1, 1, 1, 2, 3, 5]) {
            let (address, target) = self.target();
            targets.push(target);
            addresses.push(address);
        }
        let is_eager = self.mode == Mode::Blocking;
        let options = Operation::options(is_eager);
        let race = Race::new(&options, addresses).expect("there are addresses");
        Operation::Connect(Box::new(Connecting { race, options, targets }))
    }

    fn target(&mut self) -> (SocketAddr, Target) {
        self.addresses += 1;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + self.addresses));
        let answer = match self.random.below(10) {
            0 => Answer::Refuse,
            1 => Answer::Silence,
            2 => Answer::Unreachable,
            _ => Answer::Accept,
        };
        let most = self.random.one_of(&[1, 20, 400]) * MILLISECOND as usize;
        let after = self.random.below(most) as u64;
        let layer = layer(&mut self.random);
        let (plan, peer) = plan(&mut self.random, layer);
        tell!("port {}: {answer:?} after {} us, {:?}", address.port(), after / 1000, plan.ending);
        let server = Server { answer, after, peers: VecDeque::from([peer]), full: 0 };
        with(|kernel| kernel.serve(&address.to_string(), server));
        let plan = (answer == Answer::Accept).then_some(plan);
        (address, Target { port: address.port(), plan, after: after as f64 / 1e9 })
    }

    fn connect_unix(&mut self) -> Option<Operation> {
        self.addresses += 1;
        let path = format!("/run/{}", self.addresses);
        let (plan, peer) = plan(&mut self.random, Layer::Plain);
        let accepts = self.random.chance(800);
        let answer = if accepts { Answer::Accept } else { Answer::Refuse };
        let full = self.random.one_of(&[0, 0, 1, 5]);
        let server = Server { answer, after: 0, peers: VecDeque::from([peer]), full };
        with(|kernel| kernel.serve(&path, server));
        let address = UnixAddress::parse(path.as_bytes()).expect("a path");
        let connect = UnixConnect::start(&address, None).ok()?;
        Some(Operation::ConnectUnix { connect, plan: Some(plan), accepts })
    }

    /// Closes a connection, whoever waits for it.
    fn close_any(&mut self) {
        if self.connections.is_empty() {
            return;
        }
        let at = self.random.below(self.connections.len());
        self.close(at);
    }

    fn close(&mut self, at: usize) {
        if !self.connections[at].is_open() {
            return;
        }
        tell!("close {}", self.connections[at].fd);
        if self.connections[at].reader.is_none() {
            self.connections[at].check_received();
        }
        if self.connections[at].writer.is_none() {
            self.connections[at].check_sent(false);
        }
        // A copy that has this connection may wait for the other one.
        let uses = |task: &Task| {
            let sides = task.operation.as_ref().map_or((None, None), Operation::sides);
            (sides.0 == Some(at) || sides.1 == Some(at)).then_some(task.wait?.1.fd)
        };
        let awaited: Vec<_> = self.tasks.iter().filter_map(uses).collect();
        for fd in awaited {
            self.announce(fd);
        }
        let fd = self.connections[at].fd;
        self.announce(fd);
        self.connections[at].stream = None;
    }

    /// Asks a connection what it knows, which must change nothing.
    fn look_at_any(&mut self) {
        if self.connections.is_empty() {
            return;
        }
        let at = self.random.below(self.connections.len());
        let connection = &mut self.connections[at];
        let has_reader = connection.reader.is_some();
        let Some(stream) = &mut connection.stream else { return };
        match self.random.below(4) {
            0 => drop(stream.pending()),
            1 => drop(stream.is_dirty()),
            2 if !has_reader => drop(stream.is_readable()),
            _ => drop(stream.is_alive(has_reader)),
        }
    }

    /// An operation is over.
    fn conclude(&mut self, at: usize, operation: Operation, result: Result<Outcome>) {
        let task = &self.tasks[at];
        let (now, begun) = (with(|kernel| kernel.now()), task.begun);
        let deadline = task.deadline.map_or(f64::INFINITY, Deadline::seconds);
        let times = Times { begun, deadline, now };
        match &result {
            Ok(outcome) => tell!("task {at}: {}", name(outcome)),
            Err(error) => tell!("task {at}: {}", error.reason()),
        }
        match operation {
            Operation::Read { at, ask } => {
                let result = result.map(|outcome| match outcome {
                    Outcome::Item(item) => item,
                    other => panic!("a read gave {}", name(&other)),
                });
                check_read(&mut self.connections[at], ask, result, times, &self.faults);
                self.connections[at].check_received();
            }
            Operation::Skip { at, size } => self.conclude_skip(at, size, result, times),
            Operation::SkipPacket { at } => self.conclude_skip_packet(at, result, times),
            Operation::Flush { at } => self.conclude_write(at, result, times, false),
            Operation::Shutdown { at } => self.conclude_write(at, result, times, true),
            Operation::Copy { from, into, most, copied } => {
                self.conclude_copy(from, into, most, copied, result, times);
            }
            Operation::Sleep { until } => {
                times.check("sleep");
                let is_early = Deadline::at(now) < until;
                match result {
                    Ok(_) => {
                        assert!(!is_early, "a sleep that ends early");
                        assert!(
                            now <= until.seconds().max(begun) + SLACK,
                            "a sleep that ends late"
                        );
                    }
                    Err(error) if error.code() == Code::Timeout => assert!(now >= deadline),
                    Err(error) => self.check_scarce("sleep", &error),
                }
            }
            Operation::Connect(connecting) => self.conclude_connect(*connecting, result, times),
            Operation::ConnectUnix { plan, accepts, .. } => {
                times.check("connect");
                match (result, plan) {
                    (Ok(Outcome::Dialed(through)), Some(plan)) => {
                        let (tcp, _) = dialed(through);
                        self.add(Box::new(tcp), plan);
                    }
                    (Err(error), _) if error.code() == Code::Refused => assert!(!accepts),
                    (Err(error), _) if error.code() == Code::Timeout => assert!(now >= deadline),
                    (Err(error), _) => self.check_scarce("connect", &error),
                    (Ok(outcome), _) => panic!("a connect gave {}", name(&outcome)),
                }
            }
            Operation::Accept { .. } => {
                times.check("accept");
                match result {
                    Ok(Outcome::Accepted(transport)) => {
                        let plan = self.clients.pop_front().expect("a client of ours");
                        self.add(transport, plan);
                    }
                    Ok(outcome) => panic!("an accept gave {}", name(&outcome)),
                    Err(error) if error.code() == Code::Timeout => assert!(now >= deadline),
                    Err(error) => self.check_scarce("accept", &error),
                }
            }
        }
    }

    /// What fails where the system has too little of something.
    fn check_scarce(&self, what: &str, error: &Error) {
        let Faults { full_table, no_watch, no_events, transient, .. } = self.faults;
        let is_scarce = full_table + no_watch + no_events + transient > 0;
        assert!(error.code() == Code::Io && is_scarce, "{what}: {error}");
    }

    fn add(&mut self, tcp: Box<dyn Transport>, plan: Plan) {
        let transport = layered(tcp, &plan, &mut self.random);
        let connection = Connection::new(transport, plan);
        let (fd, plan) = (connection.fd, &connection.plan);
        let size = plan.content.bytes.len();
        tell!("{fd} is connected, {:?}, {size} bytes to come, {:?}", plan.layer, plan.ending);
        self.connections.push(connection);
    }

    fn conclude_connect(
        &mut self,
        mut connecting: Connecting,
        result: Result<Outcome>,
        times: Times,
    ) {
        match result {
            Ok(Outcome::Dialed(through)) => {
                let (tcp, address) = dialed(through);
                let Address::Inet(address) = address else { panic!("{address}") };
                check_connected(&connecting, address.port(), times, &self.faults);
                let mut targets = connecting.targets.drain(..);
                let target = targets.find(|target| target.port == address.port());
                let plan = target.and_then(|target| target.plan).expect("one that accepts");
                drop(targets);
                self.add(Box::new(tcp), plan);
            }
            Ok(outcome) => panic!("a connect gave {}", name(&outcome)),
            Err(error) => check_connect_failure(&connecting, &error, times, &self.faults),
        }
    }

    fn conclude_skip(&mut self, at: usize, size: usize, result: Result<Outcome>, times: Times) {
        times.check("skip");
        let connection = &mut self.connections[at];
        match result {
            Ok(_) => {
                connection.skipping = Skipping::Nothing;
                connection.check_received();
            }
            Err(error) => {
                connection.skipping = Skipping::Bytes(size);
                if error.code() == Code::Timeout {
                    assert!(times.now >= times.deadline, "a skip that is early");
                } else {
                    check_failure(connection, &error, "skip", &self.faults);
                }
            }
        }
    }

    fn conclude_skip_packet(&mut self, at: usize, result: Result<Outcome>, times: Times) {
        times.check("skip_packet");
        let connection = &mut self.connections[at];
        let expected = Ask::Packet.expected(connection.rest());
        match result {
            Ok(Outcome::SkippedPacket(Some(length))) => {
                let header = connection.rest().first_chunk().map(|size| u32::from_be_bytes(*size));
                assert_eq!(header, Some(length as u32), "a packet of another length is skipped");
                connection.position += 4 + length;
                connection.skipping = Skipping::Nothing;
                connection.check_received();
            }
            Ok(Outcome::SkippedPacket(None)) => {
                assert!(connection.rest().is_empty(), "skip_packet: the end, too early");
                connection.skipping = Skipping::Nothing;
            }
            Ok(outcome) => panic!("a skip gave {}", name(&outcome)),
            Err(error) => {
                connection.skipping = Skipping::Packet;
                if error.code() == Code::Timeout {
                    assert!(times.now >= times.deadline, "a skip that is early");
                } else {
                    check_failure(
                        connection,
                        &error,
                        &format!("skip_packet, {expected:?}"),
                        &self.faults,
                    );
                }
            }
        }
    }

    fn conclude_write(&mut self, at: usize, result: Result<Outcome>, times: Times, ends: bool) {
        times.check("write");
        let connection = &mut self.connections[at];
        match result {
            Ok(_) => {
                connection.check_sent(true);
                connection.is_shut |= ends;
                if ends {
                    let file = connection.file;
                    assert!(with(|kernel| kernel.is_shut(file)), "a side that is still open");
                }
            }
            Err(error) => {
                connection.check_sent(false);
                if error.code() == Code::Timeout {
                    assert!(times.now >= times.deadline, "a write that is early");
                } else {
                    check_failure(connection, &error, "write", &self.faults);
                }
            }
        }
    }

    fn conclude_copy(
        &mut self,
        from: usize,
        into: usize,
        most: usize,
        copied: Copied,
        result: Result<Outcome>,
        times: Times,
    ) {
        times.check("copy");
        assert!(copied.bytes <= most as u64, "more was copied than was asked for");
        self.count_copy(from, into, copied);
        match result {
            Ok(_) => {
                self.connections[into].check_sent(true);
                let is_whole = copied.bytes == most as u64;
                let rest = self.connections[from].rest();
                assert!(is_whole || rest.is_empty(), "a copy that ends before its end");
                self.connections[from].check_received();
            }
            Err(error) if error.code() == Code::Timeout => {
                assert!(times.now >= times.deadline, "a copy that is early");
            }
            Err(error) => {
                let is_closed = [from, into].iter().any(|at| !self.connections[*at].is_open());
                let side = match copied.side {
                    net::error::CopySide::Read => from,
                    net::error::CopySide::Write => into,
                };
                if !is_closed {
                    check_failure(&self.connections[side], &error, "copy", &self.faults);
                }
            }
        }
        self.connections[into].check_sent(false);
    }

    /// No task that waits is past its deadline.
    fn check_deadlines(&self) {
        let now = with(|kernel| kernel.now());
        for (at, task) in self.tasks.iter().enumerate() {
            let Some(deadline) = task.deadline.filter(|_| task.operation.is_some()) else {
                continue;
            };
            let late = now - deadline.seconds();
            assert!(late <= SLACK, "task {at} is {late:.6} s past its deadline, and waits");
        }
    }

    /// Who waits in the direction that is not its own waits for what is still to come.
    pub fn check_progress(&mut self, at: usize) {
        let Some((_, wait)) = self.tasks[at].wait else { return };
        let (reads, writes) =
            self.tasks[at].operation.as_ref().map_or((None, None), Operation::sides);
        let ends = matches!(self.tasks[at].operation, Some(Operation::Shutdown { .. }));
        if let (None, Some(writes)) = (reads, writes)
            && wait.want == Want::Read
            && wait.fd == self.connections[writes].fd
            && !wait.wake.has_passed()
        {
            let stream = self.connections[writes].stream.as_mut().expect("it would be over");
            let again = if ends { stream.step_shutdown() } else { stream.step_flush() };
            let waits = matches!(again, Ok(Step::Wait(again)) if again.want == Want::Read);
            assert!(waits, "{}: a write waits that could go on", wait.fd);
        }
        if let Some(reads) = reads
            && wait.fd == self.connections[reads].fd
            && let Some(stream) = &mut self.connections[reads].stream
        {
            let pending = stream.transport().pending();
            assert_eq!(pending, 0, "{}: a read waits that could go on", wait.fd);
        }
    }

    /// All are closed, and nothing may be left.
    fn end(&mut self) {
        for at in 0..self.connections.len() {
            assert!(self.connections[at].reader.is_none() && self.connections[at].writer.is_none());
            self.close(at);
        }
        self.listener.take_if(|listener| {
            if let Some(poller) = &mut self.poller {
                poller.remove_fd(std::os::fd::AsFd::as_fd(listener).as_raw_fd());
            }
            true
        });
        let Some(poller) = &mut self.poller else { return };
        assert!(poller.is_empty(), "waits are left in the poller");
        assert_eq!(poller.next_timeout(), Deadline::NEVER, "a timeout is left in the poller");
        let fd = poller.as_raw_fd();
        let count = with(|kernel| kernel.watch_count(fd));
        assert_eq!(count, 0, "descriptors are left in the poller");
    }
}

fn layer(random: &mut Random) -> Layer {
    match random.below(10) {
        0 | 1 => Layer::Proxied,
        2 | 3 => Layer::Records,
        _ => Layer::Plain,
    }
}

/// Made again until the system has a descriptor for it.
fn until_there<T>(make: impl Fn() -> Result<T>) -> T {
    for _ in 0..1_000_000 {
        if let Ok(made) = make() {
            return made;
        }
    }
    panic!("no descriptor, however often one is asked for");
}

fn words(operation: &Operation, connections: &[Connection]) -> String {
    let fd = |at: &usize| connections[*at].fd;
    match operation {
        Operation::Read { at, ask } => format!("read {} {ask:?}", fd(at)),
        Operation::Skip { at, size } => format!("skip {} {size}", fd(at)),
        Operation::SkipPacket { at } => format!("skip_packet {}", fd(at)),
        Operation::Flush { at } => format!("flush {}", fd(at)),
        Operation::Shutdown { at } => format!("shutdown {}", fd(at)),
        Operation::Copy { from, into, most, .. } => {
            format!("copy {} to {}, {most}", fd(from), fd(into))
        }
        Operation::Connect(connecting) => {
            let ports: Vec<u16> = connecting.targets.iter().map(|target| target.port).collect();
            format!("connect {ports:?}")
        }
        Operation::ConnectUnix { .. } => "connect to a Unix socket".to_owned(),
        Operation::Accept { .. } => "accept".to_owned(),
        Operation::Sleep { until } => format!("sleep until {}", until.seconds() - 300_000.0),
    }
}
