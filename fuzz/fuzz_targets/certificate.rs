//! Certificates of arbitrary bytes. Each entry of a PEM text is told, one that cannot be read as an
//! error, and what stands around it changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use net::transport::tls::{Entry, base64, entries};

fuzz_target!(|bytes: &[u8]| {
    let text = match bytes.split_first() {
        // The text itself.
        Some((0, text)) => text.to_vec(),
        _ => pem(bytes),
    };
    let alone = told(&text);
    let good = pem(include_bytes!("../seeds/certificate/good"));
    // The end of a label would begin an entry with what follows it.
    let end: &[u8] = if text.ends_with(b"\n") { b"" } else { b"\n" };
    let around = told(&[&*good, &*text, end, &*good].concat());
    assert_eq!(around.len(), alone.len() + 2);
    assert!(around.first().is_some_and(Result::is_ok));
    assert_eq!(format!("{:?}", around.first()), format!("{:?}", around.last()));
    if text.first() == Some(&b'-') && text.last() == Some(&b'\n') {
        assert_eq!(format!("{alone:?}"), format!("{:?}", &around[1..=alone.len()]));
    }
});

fn told(text: &[u8]) -> Vec<Entry> {
    entries(text).map(|entry| entry.expect("memory")).collect()
}

/// The bytes as the DER of a PEM entry.
fn pem(der: &[u8]) -> Vec<u8> {
    let text = base64(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| [line, b"\n"].concat()).collect();
    let (begin, end) = ("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n");
    [begin.as_bytes(), &lines.concat(), end.as_bytes()].concat()
}
