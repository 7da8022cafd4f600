//! What the kernel knows of a TCP connection: TCP_INFO of tcp(7), which Linux has. May use nothing
//! of ours.

use std::os::fd::BorrowedFd;

/// What the kernel tells; a field that it does not tell is none. Times are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TcpInfo {
    /// The state's name in RFC 9293, section 3.3.2, in lower case.
    pub state: Option<&'static str>,
    pub rtt: Option<f64>,
    pub rtt_variance: Option<f64>,
    pub min_rtt: Option<f64>,
    /// Segments that were sent again, since the connection began.
    pub retransmits: Option<u32>,
    /// Segments that are held for lost now.
    pub lost: Option<u32>,
    /// In segments.
    pub congestion_window: Option<u32>,
    /// Payload of a segment that is sent, in bytes.
    pub mss: Option<u32>,
    /// In bytes.
    pub path_mtu: Option<u32>,
    /// In bytes a second.
    pub delivery_rate: Option<u64>,
}

/// Asks the kernel. None on another system, and where the descriptor is not a TCP socket.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn read(fd: BorrowedFd<'_>) -> Option<TcpInfo> {
    use std::os::fd::AsRawFd;

    use nix::libc;

    let mut told = [0_u8; SIZE];
    let mut size = SIZE as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes into `told`, which is as large, and into
    // `size`. Every byte is a valid one.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            told.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    (result == 0).then(|| decode(&told[..(size as usize).min(SIZE)]))
}

#[cfg(not(target_os = "linux"))]
pub fn read(_: BorrowedFd<'_>) -> Option<TcpInfo> {
    None
}

// Where each field stands in `struct tcp_info` of linux/tcp.h, which only ever grows at its end. An
// older kernel gives less of it.
const STATE: usize = 0;
const SND_MSS: usize = 16;
const LOST: usize = 32;
const PMTU: usize = 60;
const RTT: usize = 68;
const RTTVAR: usize = 72;
const SND_CWND: usize = 80;
const TOTAL_RETRANS: usize = 100;
const MIN_RTT: usize = 148;
const DELIVERY_RATE: usize = 160;
/// The end of the last of these.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
const SIZE: usize = DELIVERY_RATE + 8;

/// The states in the order of linux/tcp_states.h, which begins with 1.
const STATES: [&str; 12] = [
    "established",
    "syn_sent",
    "syn_received",
    "fin_wait_1",
    "fin_wait_2",
    "time_wait",
    "closed",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "syn_received",
];

/// Takes the fields that are whole in what the kernel gave.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn decode(told: &[u8]) -> TcpInfo {
    let word = |at| field(told, at).map(u32::from_ne_bytes);
    // The kernel counts in microseconds. Before the first measurement it says 0, and in the place
    // of the least round trip the largest number.
    let time = |at| word(at).filter(|time| !matches!(*time, 0 | u32::MAX)).map(seconds);
    let rtt = time(RTT);
    let state = told.get(STATE).and_then(|state| STATES.get(usize::from(*state).wrapping_sub(1)));
    TcpInfo {
        state: state.copied(),
        rtt,
        rtt_variance: rtt.and(word(RTTVAR)).map(seconds),
        min_rtt: time(MIN_RTT),
        retransmits: word(TOTAL_RETRANS),
        lost: word(LOST),
        congestion_window: word(SND_CWND),
        mss: word(SND_MSS),
        path_mtu: word(PMTU).filter(|mtu| *mtu > 0),
        delivery_rate: field(told, DELIVERY_RATE).map(u64::from_ne_bytes).filter(|rate| *rate > 0),
    }
}

fn field<const N: usize>(told: &[u8], at: usize) -> Option<[u8; N]> {
    told.get(at..at + N)?.try_into().ok()
}

fn seconds(microseconds: u32) -> f64 {
    f64::from(microseconds) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel tells whose every field is there.
    fn told() -> [u8; SIZE] {
        let mut told = [0; SIZE];
        let mut put =
            |at: usize, value: u32| told[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        put(SND_MSS, 1448);
        put(LOST, 2);
        put(PMTU, 1500);
        put(RTT, 25_000);
        put(RTTVAR, 500);
        put(SND_CWND, 10);
        put(TOTAL_RETRANS, 7);
        put(MIN_RTT, 20_000);
        told[DELIVERY_RATE..].copy_from_slice(&5_000_000_000_u64.to_ne_bytes());
        told[STATE] = 8;
        told
    }

    #[test]
    fn fields_are_in_seconds_and_by_name() {
        let all = TcpInfo {
            state: Some("close_wait"),
            rtt: Some(0.025),
            rtt_variance: Some(0.0005),
            min_rtt: Some(0.02),
            retransmits: Some(7),
            lost: Some(2),
            congestion_window: Some(10),
            mss: Some(1448),
            path_mtu: Some(1500),
            delivery_rate: Some(5_000_000_000),
        };
        assert_eq!(decode(&told()), all);
    }

    #[test]
    fn what_a_shorter_struct_lacks_is_absent() {
        // Linux 2.6 ended behind the segments that were sent again, and this one in a field.
        let old = decode(&told()[..TOTAL_RETRANS + 4]);
        assert_eq!((old.retransmits, old.min_rtt, old.delivery_rate), (Some(7), None, None));
        let cut = decode(&told()[..TOTAL_RETRANS + 2]);
        assert_eq!((cut.retransmits, cut.rtt), (None, Some(0.025)));
        for size in 0..=SIZE {
            decode(&told()[..size]);
        }
        assert_eq!(decode(&[]), TcpInfo::default());
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        let mut fresh = told();
        fresh[RTT..RTT + 4].fill(0);
        fresh[MIN_RTT..MIN_RTT + 4].fill(0xff);
        fresh[DELIVERY_RATE..].fill(0);
        let fresh = decode(&fresh);
        assert_eq!((fresh.rtt, fresh.rtt_variance), (None, None));
        assert_eq!((fresh.min_rtt, fresh.delivery_rate), (None, None));
    }

    #[test]
    fn a_state_that_has_no_name_is_absent() {
        let mut odd = told();
        for state in [0, 13, 255] {
            odd[STATE] = state;
            assert_eq!(decode(&odd).state, None);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_tells_of_tcp_alone() {
        use std::net::{TcpListener, TcpStream};
        use std::os::fd::AsFd;

        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let info = read(client.as_fd()).expect("a TCP socket");
        assert_eq!(info.state, Some("established"));
        assert!(info.rtt.is_some_and(|rtt| rtt > 0.0 && rtt < 1.0));
        assert!(info.path_mtu.is_some_and(|mtu| mtu >= 1280));
        assert_eq!(read(listener.as_fd()).expect("a TCP socket").state, Some("listen"));
        let (pipe, _other) = std::io::pipe().expect("pipe");
        assert_eq!(read(pipe.as_fd()), None);
    }
}
