//! Where memory is refused: the call fails with that, and made again it has every byte.

// Other tests play more of it.
#[allow(dead_code)]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ptr;

use net::connect::resolve::Resolve;
use net::error::Result;
use net::framing::text::Request;
use net::memory;
use net::stream::Limits;
use net::transport::tcp::{Reason, Tcp};
use support::Event::{self, Bytes};
use support::{conn, finish};

/// Refuses what is larger than `MOST` to the thread that has set it.
struct Scarce;

thread_local! {
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn is_refused(size: usize) -> bool {
    MOST.try_with(|most| size > most.get()).unwrap_or(false)
}

// SAFETY: the system's allocator, which may refuse as well.
unsafe impl GlobalAlloc for Scarce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        if is_refused(layout.size()) { ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_refused(size) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static SCARCE: Scarce = Scarce;

/// Does something while no block may be larger than `most`.
fn scarcely<T>(most: usize, act: impl FnOnce() -> T) -> T {
    MOST.set(most);
    let result = act();
    MOST.set(usize::MAX);
    result
}

fn is_refusal<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.is_out_of_memory())
}

fn numbered(size: usize) -> Vec<u8> {
    (0..size / 4).flat_map(|number| (number as u32).to_be_bytes()).collect()
}

/// Comes in pieces, so that the script itself allocates little.
fn pieces(bytes: &[u8]) -> Vec<Event> {
    bytes.chunks(1024).map(|piece| Bytes(piece.to_vec())).collect()
}

#[test]
fn what_was_read_while_a_buffer_cannot_grow_is_kept() {
    let bytes = numbered(4 << 20);
    let request = Request::Exact { size: bytes.len(), max: bytes.len() };
    for most in [100_000, 300_000, 500_000, 600_000, 1_000_000, 1_100_000, 3_000_000] {
        let (mut conn, _) = conn(&pieces(&bytes), &[], Limits::default());
        let refused = scarcely(most, || finish(|| conn.step_find(request)));
        assert!(is_refusal(&refused), "{most}");
        assert!(is_refusal(&scarcely(most, || finish(|| conn.step_find(request)))), "{most}");
        let item = finish(|| conn.step_find(request)).expect("memory").expect("an item");
        assert!(conn.text(&item) == bytes, "{most}");
        assert_eq!(conn.traffic().read, bytes.len() as u64);
    }
}

#[test]
fn what_was_read_while_a_buffer_cannot_grow_is_pending() {
    let bytes = numbered(4 << 20);
    let (mut conn, _) = conn(&pieces(&bytes), &[], Limits::default());
    let request = Request::Exact { size: bytes.len(), max: bytes.len() };
    assert!(is_refusal(&scarcely(600_000, || finish(|| conn.step_find(request)))));
    assert_eq!(conn.pending() as u64, conn.traffic().read);
}

#[test]
fn what_cannot_be_queued_is_not_sent() {
    let body = numbered(1 << 20);
    let (mut conn, record) = conn(&[], &[], Limits { max_packet: body.len(), ..Limits::default() });
    assert!(is_refusal(&scarcely(4096, || conn.queue_bytes(&[&body, &body]))));
    assert!(is_refusal(&scarcely(4096, || conn.queue_packet_bytes(b"", &body))));
    conn.queue_packet_bytes(b"", &body).expect("memory");
    finish(|| conn.step_flush()).expect("sent");
    assert!(record.borrow().written[4..] == body);
}

#[test]
fn a_packet_over_the_limit_is_refused_before_it_is_copied() {
    let body = numbered(1 << 20);
    let (mut conn, _) = conn(&[], &[], Limits::default());
    let refused = scarcely(4096, || conn.queue_packet_bytes(b"", &body)).expect_err("too large");
    assert!(refused.detail().contains("(max_packet)"), "{refused}");
}

#[test]
fn a_long_delimiter_is_searched_for_where_there_is_memory() {
    let delimiter = numbered(16 << 10);
    let stream = [b"abc", &delimiter[..]].concat();
    let (mut conn, _) = conn(&pieces(&stream), &[], Limits::default());
    let request = Request::Until { delimiter: &delimiter, max: 10 };
    assert!(is_refusal(&scarcely(8 << 10, || finish(|| conn.step_find(request)))));
    let item = finish(|| conn.step_find(request)).expect("memory").expect("an item");
    assert_eq!(conn.text(&item), b"abc");
}

#[test]
fn tls_waits_for_no_memory_with_what_is_not_read_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let (socket, _) = listener.accept().expect("a client");
    peer.write_all(b"abc").expect("sent");
    let mut tcp = Tcp::new(socket.into(), false);
    let mut bytes = [0; 3];
    let refused = scarcely(4096, || tcp.read(&mut bytes)).expect_err("no memory");
    assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
    let reason = tcp.take_reason();
    assert!(matches!(reason, Some(Reason::Failed(error)) if error.is_out_of_memory()));
    assert_eq!((tcp.read(&mut bytes).expect("memory"), &bytes), (3, b"abc"));
}

#[test]
fn a_host_of_any_length_is_no_name() {
    let host = "x".repeat(1 << 20);
    let refused = scarcely(4096, || Resolve::start(&host, 0, None, None).map(drop));
    assert!(refused.expect_err("no name").detail().contains("253"));
}

#[test]
fn copies_are_refused() {
    let bytes = numbered(1 << 20);
    assert!(is_refusal(&scarcely(4096, || memory::copy(&bytes))));
    let text = "x".repeat(1 << 20);
    assert!(is_refusal(&scarcely(4096, || memory::copy_text(&text))));
    assert!(is_refusal(&scarcely(4096, || memory::collect(bytes.iter()))));
    assert_eq!(memory::collect(0..3).expect("memory"), [0, 1, 2]);
}
