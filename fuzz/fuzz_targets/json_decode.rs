//! Runs `tcp.json.decode` on any bytes, with every option. It must agree with serde_json on verdict
//! and value, and the value must survive encoding. The input is the text itself, so that any folder
//! of JSON files serves as a corpus.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tcp_fuzz::host::{Host, Kept};
use tcp_fuzz::{hash, oracle};

thread_local! {
    static TARGET: Target = Target::new();
}

fuzz_target!(|text: &[u8]| TARGET.with(|target| target.run(text)));

struct Target {
    host: Host,
    decode: Kept,
    encode: Kept,
    /// Tables of options: an empty one, which takes another path than none; those of null; those of
    /// bigint.
    full: Kept,
    nil: Kept,
    string: Kept,
    error: Kept,
}

impl Target {
    fn new() -> Self {
        let host = Host::new();
        Self {
            decode: host.keep(c"return tcp.json.decode"),
            encode: host.keep(c"return tcp.json.encode"),
            full: host.keep(c"return {}"),
            nil: host.keep(c"return { null = 'nil' }"),
            string: host.keep(c"return { bigint = 'string' }"),
            error: host.keep(c"return { bigint = 'error' }"),
            host,
        }
    }

    fn run(&self, text: &[u8]) {
        let expected = oracle::parse(text);
        let expected = expected.as_ref();
        let seed = hash(text);
        self.host.begin(seed);

        if self.decoded(text, None, expected.is_some()) {
            self.value(expected, false);
            self.encoded(expected);
            self.host.pop();
        }
        match (seed >> 8) % 4 {
            0 => {
                if self.decoded(text, Some(self.full), expected.is_some()) {
                    self.value(expected, false);
                    self.host.pop();
                }
            }
            1 => {
                if self.decoded(text, Some(self.nil), expected.is_some()) {
                    self.value(expected, true);
                    self.host.pop();
                }
            }
            // serde_json does not tell which large numbers were integers, so these are skipped.
            option => {
                let options = if option == 2 { self.string } else { self.error };
                if self.decode(text, options) {
                    if expected.is_some_and(|value| !has_large(value)) {
                        self.value(expected, false);
                    }
                    assert!(option == 2 || expected.is_some());
                } else {
                    assert!(expected.is_none() || option == 3 && has_long(text));
                }
                self.host.pop();
            }
        }
    }

    /// Decodes, and pushes the value or the error.
    fn decode(&self, text: &[u8], options: impl Into<Option<Kept>>) -> bool {
        self.host.push_text(text);
        let options = options.into();
        options.iter().for_each(|options| self.host.push(*options));
        self.host.call(self.decode, 1 + options.iter().count() as i32)
    }

    /// Decodes, asserts the verdict, and pops an error.
    fn decoded(&self, text: &[u8], options: Option<Kept>, expected: bool) -> bool {
        assert_eq!(self.decode(text, options), expected, "{:?}", self.host.describe());
        if !expected {
            let message = self.host.pop_text();
            assert!(message.windows(12).any(|part| part == b" json: line "));
        }
        expected
    }

    fn value(&self, expected: Option<&Value>, nil: bool) {
        if let Some(expected) = expected {
            self.host.assert_is(expected, nil);
        }
    }

    /// Asserts that the value on top encodes to a text with the same meaning.
    fn encoded(&self, expected: Option<&Value>) {
        self.host.push_copy();
        assert!(self.host.call(self.encode, 1), "{:?}", self.host.describe());
        let text = self.host.pop_text();
        let again = oracle::parse(&text);
        assert!(again.iter().zip(expected).all(|(again, expected)| oracle::same(again, expected)));
        assert!(again.is_some());
    }
}

/// Whether the text may have an integer beyond 64 bits. The value may lack it, if a later member
/// has the same name.
fn has_long(text: &[u8]) -> bool {
    text.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 19)
}

/// Whether the value has a number that may have been written as an integer beyond 64 bits.
fn has_large(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_i64().is_none() && number.as_f64().is_some_and(|float| float.abs() >= 9e18)
        }
        Value::Array(items) => items.iter().any(has_large),
        Value::Object(members) => members.values().any(has_large),
        _ => false,
    }
}
