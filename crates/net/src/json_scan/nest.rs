//! The containers around a byte.

/// The deepest nesting that is accepted. It exceeds that of real data, and is no danger to the
/// stack of a parser.
pub const MAX_DEPTH: u32 = 128;

/// The arrays and objects around the next byte, as bits: the innermost lowest, 1 an object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nest {
    objects: u128,
    depth: u32,
}

const _: () = assert!(MAX_DEPTH <= u128::BITS);

impl Nest {
    pub fn open(&mut self, object: bool) {
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
    }

    pub fn close(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    pub fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    pub fn depth(&self) -> u32 {
        self.depth
    }
}
