//! The dialogues before TLS with any server. The first byte of the input names the protocol, the
//! rest is what the server says. However that is cut, the client sends the same and comes to the
//! same end; what stands behind the go-ahead never gets through.

#![no_main]

use libfuzzer_sys::fuzz_target;
use net::connect::starttls::dialogue::{Dialogue, Names, PROTOCOLS, Protocol};
use net::connect::starttls::{LIMIT, Next, Transcript};
use net::error::Code;
use tcp_fuzz::hash;

/// Commands that one dialogue sends at most.
const COMMANDS: usize = 4;

fuzz_target!(|input: &[u8]| {
    let Some((first, said)) = input.split_first() else { return };
    let (_, protocol) = PROTOCOLS[usize::from(*first) % PROTOCOLS.len()];
    let whole = talk(protocol, said, |left| left);
    let mut seed = hash(input);
    let random = |left: usize| {
        seed = hash(&seed.to_le_bytes());
        1 + (seed >> 32) as usize % left
    };
    compare(&whole, &talk(protocol, said, |_| 1), said.len());
    compare(&whole, &talk(protocol, said, random), said.len());
});

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Begins,
    Waits,
    Fails(Code),
}

struct Outcome {
    sent: Vec<Vec<u8>>,
    verdict: Verdict,
    transcript: Transcript,
    /// How much of what the server says was taken in.
    heard: usize,
}

/// `more` says how many of the bytes left come next.
fn talk(protocol: Protocol, said: &[u8], mut more: impl FnMut(usize) -> usize) -> Outcome {
    let names = Names { hello: "[192.0.2.1]", server: "x&y.example" };
    let mut dialogue = Dialogue::new(protocol, names);
    let (mut sent, mut heard) = (Vec::new(), 0);
    let verdict = loop {
        match dialogue.step() {
            Ok(Next::Send(bytes)) => sent.push(bytes),
            Ok(Next::Begin) => break Verdict::Begins,
            Ok(Next::More) if heard == said.len() => break Verdict::Waits,
            Ok(Next::More) => {
                let size = more(said.len() - heard);
                dialogue.input().extend_from_slice(&said[heard..heard + size]);
                heard += size;
            }
            Err(error) => {
                assert!(error.detail().len() < 2048);
                break Verdict::Fails(error.code());
            }
        }
        assert!(sent.len() <= COMMANDS);
    };
    let transcript = dialogue.take_transcript();
    assert!(transcript.greeting.len() <= LIMIT && transcript.capabilities.len() <= LIMIT);
    Outcome { sent, verdict, transcript, heard }
}

fn compare(whole: &Outcome, cut: &Outcome, size: usize) {
    assert_eq!(whole.sent, cut.sent);
    assert_eq!(whole.transcript, cut.transcript);
    match (&whole.verdict, &cut.verdict) {
        // What is behind the go-ahead has not come yet.
        (Verdict::Fails(Code::Tls), Verdict::Begins) => assert!(cut.heard < size),
        (verdict, other) => assert_eq!(verdict, other),
    }
}
