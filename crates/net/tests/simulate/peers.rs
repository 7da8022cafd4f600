//! What the other ends do: their bytes cut at random and delayed, what they take, and how they end.

use simulated::{Act, Peer, Random};

use crate::content::Content;

/// How a peer ends what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It does not: the connection stays open.
    Never,
    Clean,
    /// It is gone, and answers what comes with a reset.
    Gone,
    Reset,
}

/// What runs below the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    Plain,
    /// The peer begins with a PROXY header.
    Proxied,
    /// A stub of TLS, see `record_layer`.
    Records,
}

/// The other end of one connection to come, and what is known of it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub content: Content,
    pub ending: Ending,
    pub layer: Layer,
    /// Bytes in front of the payload.
    pub before: usize,
}

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n";

pub const MILLISECOND: u64 = 1_000_000;

pub fn plan(random: &mut Random, layer: Layer) -> (Plan, Peer) {
    let content = Content::any(random);
    let ending = match random.below(10) {
        0 | 1 => Ending::Never,
        2 => Ending::Gone,
        3 => Ending::Reset,
        _ => Ending::Clean,
    };
    let (raw, before) = match layer {
        Layer::Plain => (content.bytes.clone(), 0),
        Layer::Proxied => ([HEADER, &content.bytes].concat(), HEADER.len()),
        Layer::Records => (crate::record_layer::encode(random, &content.bytes), 0),
    };
    let peer = peer(random, &raw, ending);
    (Plan { content, ending, layer, before }, peer)
}

fn peer(random: &mut Random, raw: &[u8], ending: Ending) -> Peer {
    let pace = random.one_of(&[MILLISECOND / 20, MILLISECOND, 40 * MILLISECOND, 300 * MILLISECOND]);
    let mut acts = Vec::new();
    let mut rest = raw;
    let largest = random.one_of(&[1, 7, 300, 5000, 100_000]).max(raw.len() / 60);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.between(1, largest.min(rest.len())));
        acts.push(Act::Send(piece.to_vec()));
        rest = behind;
    }
    match ending {
        Ending::Never => {}
        Ending::Clean => acts.push(Act::End),
        Ending::Gone => acts.push(Act::Close),
        Ending::Reset => acts.push(Act::Reset),
    }
    // What it takes comes between.
    let room = random.one_of(&[1, 100, 5000, 100_000]);
    for _ in 0..random.below(10) {
        let at = random.below(acts.len() + 1);
        acts.insert(at, Act::Take(random.between(1, room)));
    }
    if random.chance(800) {
        let at = random.below(acts.len() + 1);
        acts.insert(at, Act::TakeAll);
    }
    let delayed = |act| {
        // Several at once are as usual as a pause.
        let delay = if random.chance(400) { 0 } else { random.below(pace as usize) as u64 };
        (delay, act)
    };
    Peer { acts: acts.into_iter().map(delayed).collect(), room }
}
