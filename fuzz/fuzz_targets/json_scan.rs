//! Runs `json_scan` on any bytes. The verdict must not depend on how they are cut, and serde_json
//! must agree. The input is the text itself, so that any folder of JSON files serves as a corpus.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::IgnoredAny;
use net::json_scan::{Scanned, Invalid, MAX_DEPTH, Scan};
use tcp_fuzz::{hash, oracle};

fuzz_target!(|text: &[u8]| {
    let verdict = Scan::default().step(text, false);
    assert_eq!(cut(text, |left| left.min(1)), verdict);
    let mut seed = hash(text);
    let random = |left: usize| {
        seed = hash(&seed.to_le_bytes());
        1 + (seed >> 32) as usize % left
    };
    assert_eq!(cut(text, random), verdict);
    assert_eq!(accepts(text), parses(text));
});

/// Scans in steps; `more` returns how many of the remaining bytes come with the next step.
fn cut(text: &[u8], mut more: impl FnMut(usize) -> usize) -> Result<Scanned, Invalid> {
    let mut scan = Scan::default();
    let mut end = 0;
    loop {
        let verdict = scan.step(&text[..end], false);
        let open = matches!(verdict, Ok(Scanned::Incomplete | Scanned::Nothing));
        if !open || end == text.len() {
            return verdict;
        }
        end += more(text.len() - end);
    }
}

/// Whether `text` is one value and white space.
fn accepts(text: &[u8]) -> bool {
    match Scan::default().step(text, true) {
        Ok(Scanned::Value(range)) => {
            assert!(parses(&text[range.clone()]));
            Scan::default().step(&text[range.end..], true) == Ok(Scanned::Nothing)
        }
        _ => false,
    }
}

/// Whether serde_json accepts `text`; numbers out of range count as valid.
fn parses(text: &[u8]) -> bool {
    if oracle::depth(text) > MAX_DEPTH as usize {
        return false;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.disable_recursion_limit();
    match serde_json::Value::deserialize(&mut deserializer) {
        Ok(_) => deserializer.end().is_ok(),
        Err(error) if error.to_string().starts_with("number out of range") => grammatical(text),
        Err(_) => false,
    }
}

/// The same with serde_json's skipping, which checks neither the size of numbers nor the content of
/// strings.
fn grammatical(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok()
        && serde_json::from_slice::<IgnoredAny>(text).is_ok()
        && strings(text).all(|string| serde_json::from_slice::<String>(string).is_ok())
}

/// Returns the strings of a text whose quotes are balanced.
fn strings(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = &rest[rest.iter().position(|&byte| byte == b'"')?..];
        let mut escape = false;
        let end = rest.iter().skip(1).position(|&byte| {
            let quote = byte == b'"' && !escape;
            escape = byte == b'\\' && !escape;
            quote
        })?;
        let (string, after) = rest.split_at(end + 2);
        rest = after;
        Some(string)
    })
}
