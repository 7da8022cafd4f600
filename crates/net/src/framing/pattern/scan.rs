//! Whether a pattern matches somewhere in bytes that drip in. All places of the pattern that may be
//! next are a set of bits, which one byte carries to another set. Uses `framing::pattern::parse`.

use super::parse::{Class, Parsed, Piece, Times};

/// Words of places that one step carries on by a byte: some milliseconds' at most.
const STEP: usize = 1 << 15;

/// The pattern as bits: one for each single character, and one behind the last.
pub struct Masks {
    words: usize,
    /// For each byte, the places that take it.
    takes: Vec<u64>,
    /// Places that stay when they take a byte.
    repeats: Vec<u64>,
    /// Places that need not take one.
    skips: Vec<u64>,
    /// The place behind the last.
    last: usize,
    is_anchored: bool,
    is_to_end: bool,
}

impl Masks {
    pub fn new(parsed: &Parsed) -> Self {
        let singles: Vec<(Class, Times)> = parsed.pieces.iter().filter_map(single).collect();
        let words = singles.len() / 64 + 1;
        let mut masks = Self {
            words,
            takes: vec![0; 256 * words],
            repeats: vec![0; words],
            skips: vec![0; words],
            last: singles.len(),
            is_anchored: parsed.is_anchored,
            is_to_end: parsed.is_to_end,
        };
        for (place, (class, times)) in singles.iter().enumerate() {
            let (word, bit) = (place / 64, 1 << (place % 64));
            for byte in (0..=u8::MAX).filter(|byte| class.has(*byte)) {
                masks.takes[usize::from(byte) * words + word] |= bit;
            }
            if matches!(times, Times::Many | Times::Few) {
                masks.repeats[word] |= bit;
            }
            if *times != Times::Once {
                masks.skips[word] |= bit;
            }
        }
        masks
    }

    /// The places before the first byte.
    fn begin(&self, places: &mut Vec<u64>) {
        places.clear();
        places.resize(self.words, 0);
        places[0] = 1;
        self.skip_on(places);
    }

    /// The places after one byte more.
    fn take(&self, places: &mut [u64], byte: u8) {
        let row = usize::from(byte) * self.words;
        let mut carry = 0;
        for (word, place) in places.iter_mut().enumerate() {
            let taken = *place & self.takes[row + word];
            let moved = taken & !self.repeats[word];
            *place = moved << 1 | carry | taken & self.repeats[word];
            carry = moved >> 63;
        }
        // A match may begin behind each byte.
        places[0] |= u64::from(!self.is_anchored);
        self.skip_on(places);
    }

    /// Adds the places behind those that need not take a byte.
    fn skip_on(&self, places: &mut [u64]) {
        let mut carry = 0;
        for (place, skips) in places.iter_mut().zip(&self.skips) {
            *place |= carry;
            loop {
                let more = *place | (*place & skips) << 1;
                if more == *place {
                    break;
                }
                *place = more;
            }
            carry = (*place & skips) >> 63;
        }
    }

    fn is_match(&self, places: &[u64]) -> bool {
        places[self.last / 64] >> (self.last % 64) & 1 != 0
    }
}

fn single(piece: &Piece) -> Option<(Class, Times)> {
    match piece {
        Piece::Single(class, times) => Some((*class, *times)),
        _ => None,
    }
}

/// How far the bytes have been looked at.
#[derive(Debug, Default)]
pub struct Progress {
    places: Vec<u64>,
    seen: usize,
    /// A match was found, and stays one.
    is_found: bool,
}

impl Progress {
    pub fn restart(&mut self) {
        self.places.clear();
        self.seen = 0;
        self.is_found = false;
    }

    /// Whether there is a match in `window`, of which the bytes before are those of the last call;
    /// none where there are more of them to look at than one step does. `is_all`: it is all that
    /// has come.
    pub fn advance(&mut self, masks: &Masks, window: &[u8], is_all: bool) -> Option<bool> {
        if self.is_found {
            return Some(true);
        }
        if self.places.is_empty() {
            masks.begin(&mut self.places);
        }
        let unseen = window.get(self.seen..).unwrap_or_default();
        let now = &unseen[..unseen.len().min(STEP / masks.words)];
        let is_rest = now.len() == unseen.len();
        if masks.is_to_end {
            now.iter().for_each(|byte| masks.take(&mut self.places, *byte));
            self.seen += now.len();
            return is_rest.then(|| is_all && masks.is_match(&self.places));
        }
        self.is_found = masks.is_match(&self.places);
        for byte in now {
            if self.is_found {
                break;
            }
            masks.take(&mut self.places, *byte);
            self.seen += 1;
            self.is_found = masks.is_match(&self.places);
        }
        (self.is_found || is_rest).then_some(self.is_found)
    }
}
