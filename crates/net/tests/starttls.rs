//! The dialogues before TLS, without a socket: what each protocol's server says, whole and cut at
//! every byte.

use net::connect::starttls::dialogue::{Dialogue, Names, PROTOCOLS, Protocol};
use net::connect::starttls::{LIMIT, Next, Settings, StartTls, Transcript};
use net::error::{Code, Pending};
use net::io::step::Step;

#[allow(dead_code)]
mod support;

use support::Event;

const NAMES: Names<'static> = Names { hello: "[192.0.2.1]", server: "mail.example" };

/// What a dialogue came to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Begins,
    Waits,
    Fails(&'static str, String),
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    sent: Vec<String>,
    verdict: Verdict,
    transcript: Transcript,
}

/// Says these pieces one after the other, each when the client waits for more.
fn talk<'a>(protocol: Protocol, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut dialogue = Dialogue::new(protocol, NAMES);
    let mut pieces = pieces.into_iter();
    let mut sent = Vec::new();
    let verdict = loop {
        match dialogue.step() {
            Ok(Next::Send(bytes)) => sent.push(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(Next::Begin) => break Verdict::Begins,
            Ok(Next::More) => match pieces.next() {
                Some(piece) => dialogue.input().extend_from_slice(piece),
                None => break Verdict::Waits,
            },
            Err(error) => break Verdict::Fails(error.code().name(), error.detail().to_owned()),
        }
    };
    Outcome { sent, verdict, transcript: dialogue.take_transcript() }
}

/// The outcome of all of it, which must be the same wherever it is cut, but for how much of what is
/// not of the protocol has come.
fn cut(protocol: Protocol, said: &[u8]) -> Outcome {
    let bare = |mut outcome: Outcome| {
        if let Verdict::Fails(_, detail) = &mut outcome.verdict
            && detail.starts_with("the server does not speak")
        {
            detail.truncate(detail.find(", it said").expect("what it said"));
        }
        outcome
    };
    let whole = bare(talk(protocol, [said]));
    assert_eq!(bare(talk(protocol, said.chunks(1))), whole, "byte by byte");
    for at in 0..=said.len() {
        let (before, after) = said.split_at(at);
        assert_eq!(bare(talk(protocol, [before, after])), whole, "cut at {at}");
    }
    talk(protocol, [said])
}

fn begins(protocol: Protocol, said: &[u8]) -> Outcome {
    let outcome = cut(protocol, said);
    assert_eq!(outcome.verdict, Verdict::Begins, "{}", said.escape_ascii());
    // Nothing less is enough, and nothing more is let through.
    let short = talk(protocol, [&said[..said.len() - 1]]);
    let is_mysql = protocol == Protocol::Mysql;
    assert!(short.verdict == Verdict::Waits || is_mysql, "{short:?}");
    for more in [&b"x"[..], b"\0", b"250 injected\r\n", b"\r\n"] {
        let injected = talk(protocol, [&[said, more].concat()[..]]);
        let Verdict::Fails(code, detail) = injected.verdict else { panic!("{more:?} was let in") };
        assert_eq!(code, "tls");
        assert_eq!(detail, "plaintext came before the handshake (injected commands?)");
    }
    outcome
}

fn fails(protocol: Protocol, said: &[u8], code: Code, expected: &str) {
    let Verdict::Fails(given, detail) = cut(protocol, said).verdict else {
        panic!("{} does not fail", said.escape_ascii());
    };
    assert_eq!((given, detail.as_str()), (code.name(), expected));
}

/// A refusal, whose words end with what the server has said.
fn refuses(protocol: Protocol, said: &str, expected: &str) {
    fails(protocol, said.as_bytes(), Code::Unexpected, expected);
}

#[test]
fn smtp() {
    let said = b"220-mail.example\r\n220 ready\r\n250-mail.example\r\n250-size 1000\r\n\
                 250-starttls\r\n250 HELP\r\n220 go ahead\r\n";
    let Outcome { sent, transcript, .. } = begins(Protocol::Smtp, said);
    assert_eq!(sent, ["EHLO [192.0.2.1]\r\n", "STARTTLS\r\n"]);
    assert_eq!(transcript.greeting, b"220-mail.example\r\n220 ready\r\n");
    assert_eq!(
        transcript.capabilities,
        b"250-mail.example\r\n250-size 1000\r\n250-starttls\r\n250 HELP\r\n"
    );
    begins(Protocol::Smtp, b"220\n250-x\n250 StartTLS\n220\n");
}

#[test]
fn smtp_that_does_not() {
    let smtp = Protocol::Smtp;
    refuses(smtp, "554 no\r\n", "the server refused the connection, it said \"554 no\"");
    refuses(smtp, "220 x\r\n502 what?\r\n", "the server refused EHLO, it said \"502 what?\"");
    // The name of the server is no keyword.
    refuses(
        smtp,
        "220 x\r\n250-STARTTLS\r\n250 STARTTLSX\r\n",
        "the server does not offer STARTTLS, it said \"250-STARTTLS\\r\\n250 STARTTLSX\"",
    );
    refuses(
        smtp,
        "220 x\r\n250-x\r\n250 STARTTLS\r\n454 not now\r\n",
        "the server refused STARTTLS, it said \"454 not now\"",
    );
    refuses(smtp, "SSH-2.0-x\r\n", "the server does not speak SMTP, it said \"SSH-2.0-x\"");
    refuses(smtp, "\r\n", "the server does not speak SMTP, it said \"\"");
    refuses(smtp, "220-a\r\n250 b\r\n", "the server does not speak SMTP, it said \"250 b\"");
}

#[test]
fn lmtp() {
    let said = b"220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n";
    assert_eq!(begins(Protocol::Lmtp, said).sent, ["LHLO [192.0.2.1]\r\n", "STARTTLS\r\n"]);
    refuses(Protocol::Lmtp, "220 x\r\n500 no\r\n", "the server refused LHLO, it said \"500 no\"");
}

#[test]
fn imap() {
    let asked = b"* OK ready\r\n* CAPABILITY IMAP4rev1 STARTTLS\r\n* OK by the way\r\n\
                  a1 OK done\r\n* OK wait\r\na2 OK begin\r\n";
    let Outcome { sent, transcript, .. } = begins(Protocol::Imap, asked);
    assert_eq!(sent, ["a1 CAPABILITY\r\n", "a2 STARTTLS\r\n"]);
    assert_eq!(transcript.greeting, b"* OK ready\r\n");
    assert_eq!(
        transcript.capabilities,
        b"* CAPABILITY IMAP4rev1 STARTTLS\r\n* OK by the way\r\na1 OK done\r\n"
    );

    let told = b"* ok [capability IMAP4rev1 starttls ID] ready\r\na1 ok begin\r\n";
    let Outcome { sent, transcript, .. } = begins(Protocol::Imap, told);
    assert_eq!(sent, ["a1 STARTTLS\r\n"]);
    assert_eq!(transcript.capabilities, transcript.greeting);

    // The capabilities may come with the tagged line, and after a greeting without this one.
    begins(
        Protocol::Imap,
        b"* OK [CAPABILITY IMAP4rev1] x\r\na1 OK [CAPABILITY STARTTLS] x\r\na2 OK x\r\n",
    );
}

#[test]
fn imap_that_does_not() {
    let imap = Protocol::Imap;
    refuses(imap, "* BYE no\r\n", "the server refused the connection, it said \"* BYE no\"");
    refuses(
        imap,
        "* PREAUTH hello root\r\n",
        "the server does not offer STARTTLS, it said \"* PREAUTH hello root\"",
    );
    // Words that are not those of the capabilities do not count.
    refuses(
        imap,
        "* OK [X STARTTLS] STARTTLS\r\n* CAPABILITY NOSTARTTLS\r\na1 OK STARTTLS\r\n",
        "the server does not offer STARTTLS, it said \"* CAPABILITY NOSTARTTLS\\r\\na1 OK STARTTLS\"",
    );
    refuses(
        imap,
        "* OK x\r\na1 BAD no\r\n",
        "the server refused CAPABILITY, it said \"a1 BAD no\"",
    );
    for status in ["NO", "BAD"] {
        refuses(
            imap,
            &format!("* OK [CAPABILITY STARTTLS] x\r\na1 {status} no\r\n"),
            &format!("the server refused STARTTLS, it said \"a1 {status} no\""),
        );
    }
    refuses(
        imap,
        "* OK [CAPABILITY STARTTLS] x\r\n* BYE\r\n",
        "the server refused the connection, it said \"* BYE\"",
    );
    for odd in ["+OK pop", "*", "* WHAT", "* OKAY"] {
        let expected = format!("the server does not speak IMAP, it said \"{odd}\"");
        refuses(imap, &format!("{odd}\r\n"), &expected);
    }
    refuses(imap, "* OK x\r\na2 OK\r\n", "the server does not speak IMAP, it said \"a2 OK\"");
}

#[test]
fn pop3() {
    let said = b"+OK ready <1@x>\r\n+OK list\r\nTOP\r\nstls\r\n.\r\n+OK begin\r\n";
    let Outcome { sent, transcript, .. } = begins(Protocol::Pop3, said);
    assert_eq!(sent, ["CAPA\r\n", "STLS\r\n"]);
    assert_eq!(transcript.greeting, b"+OK ready <1@x>\r\n");
    assert_eq!(transcript.capabilities, b"+OK list\r\nTOP\r\nstls\r\n.\r\n");
    // A server that has no CAPA may have STLS.
    let old = begins(Protocol::Pop3, b"+OK\r\n-ERR what?\r\n+OK\r\n");
    assert_eq!(old.transcript.capabilities, b"");
}

#[test]
fn pop3_that_does_not() {
    let pop3 = Protocol::Pop3;
    refuses(pop3, "-ERR no\r\n", "the server refused the connection, it said \"-ERR no\"");
    refuses(
        pop3,
        "+OK\r\n+OK\r\nXSTLS\r\n.\r\n",
        "the server does not offer STLS, it said \"+OK\\r\\nXSTLS\\r\\n.\"",
    );
    refuses(pop3, "+OK\r\n-ERR\r\n-ERR no\r\n", "the server refused STLS, it said \"-ERR no\"");
    for odd in ["* OK imap", "+OKAY", "+ok"] {
        let expected = format!("the server does not speak POP3, it said \"{odd}\"");
        refuses(pop3, &format!("{odd}\r\n"), &expected);
    }
}

#[test]
fn ftp() {
    let said = b"120 soon\r\n220-hello\r\nanything\r\n220 ready\r\n\
                 211-Features:\r\n AUTH TLS\r\n211 End\r\n234 begin\r\n";
    let Outcome { sent, transcript, .. } = begins(Protocol::Ftp, said);
    assert_eq!(sent, ["FEAT\r\n", "AUTH TLS\r\n"]);
    assert_eq!(transcript.greeting, b"120 soon\r\n220-hello\r\nanything\r\n220 ready\r\n");
    assert_eq!(transcript.capabilities, b"211-Features:\r\n AUTH TLS\r\n211 End\r\n");
    // FEAT need not be known, nor list what there is.
    for feat in ["500 what?", "530 log in first", "211 none"] {
        begins(Protocol::Ftp, format!("220 x\r\n{feat}\r\n234 x\r\n").as_bytes());
    }
}

#[test]
fn ftp_that_does_not() {
    let ftp = Protocol::Ftp;
    refuses(ftp, "421 full\r\n", "the server refused the connection, it said \"421 full\"");
    refuses(ftp, "220 x\r\n421 bye\r\n", "the server refused FEAT, it said \"421 bye\"");
    for answer in ["504 no", "530 no", "220 no", "334 next"] {
        let expected = format!("the server refused AUTH TLS, it said \"{answer}\"");
        refuses(ftp, &format!("220 x\r\n500\r\n{answer}\r\n"), &expected);
    }
    refuses(ftp, "hello\r\n", "the server does not speak FTP, it said \"hello\"");
}

#[test]
fn sieve() {
    // What stands in a literal is no line.
    let said = b"\"IMPLEMENTATION\" \"x\"\r\n\"SIEVE\" {10}\r\nx\r\nNO \"x\"\r\n\"starttls\"\r\n\
                 OK {2}\r\nhi\r\nOK (TAG \"x\") \"begin\"\r\n";
    let Outcome { sent, transcript, .. } = begins(Protocol::Sieve, said);
    assert_eq!(sent, ["STARTTLS\r\n"]);
    assert!(transcript.greeting.ends_with(b"\"starttls\"\r\nOK {2}\r\nhi\r\n"));
    assert_eq!(transcript.capabilities, transcript.greeting);
    begins(Protocol::Sieve, b"{8+}\r\nSTARTTLS\r\nok\r\nok\r\n");
}

#[test]
fn sieve_that_does_not() {
    let sieve = Protocol::Sieve;
    refuses(sieve, "BYE \"no\"\r\n", "the server refused the connection, it said \"BYE \"no\"\"");
    refuses(
        sieve,
        "\"SIEVE\" \"STARTTLS\"\r\nOK\r\n",
        "the server does not offer STARTTLS, it said \"\"SIEVE\" \"STARTTLS\"\\r\\nOK\"",
    );
    for answer in ["NO", "BYE (TRYLATER)"] {
        let expected = format!("the server refused STARTTLS, it said \"{answer}\"");
        refuses(sieve, &format!("\"STARTTLS\"\r\nOK\r\n{answer}\r\n"), &expected);
    }
    for odd in ["* OK imap", "", "OKAY"] {
        let expected = format!("the server does not speak ManageSieve, it said \"{odd}\"");
        refuses(sieve, &format!("{odd}\r\n"), &expected);
    }
    // A literal that is not whole, with what looks like the end in it.
    assert_eq!(cut(sieve, b"\"X\" {99}\r\n\r\nOK\r\n").verdict, Verdict::Waits);
    assert_eq!(cut(sieve, b"{99999999999999999999}\r\nOK\r\n").verdict, Verdict::Waits);
}

/// An ExtendedResponse with this code and message, its lengths written in one or in five bytes.
fn extended(number: u8, code: u8, message: &str, long: bool) -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| {
        let mut bytes = vec![tag];
        match long {
            true => {
                bytes.push(0x84);
                bytes.extend_from_slice(&(content.len() as u32).to_be_bytes());
            }
            false => bytes.push(content.len() as u8),
        }
        bytes.extend_from_slice(content);
        bytes
    };
    let result = [element(0x0a, &[code]), element(4, b""), element(4, message.as_bytes())].concat();
    let name = element(0x8a, b"1.3.6.1.4.1.1466.20037");
    let body = [element(2, &[number]), element(0x78, &[result, name].concat())].concat();
    element(0x30, &body)
}

#[test]
fn ldap() {
    for long in [false, true] {
        let outcome = begins(Protocol::Ldap, &extended(1, 0, "", long));
        assert_eq!(outcome.transcript, Transcript::default());
        assert_eq!(outcome.sent.len(), 1);
        assert!(outcome.sent[0].ends_with("1.3.6.1.4.1.1466.20037"));
        assert_eq!(outcome.sent[0].chars().count(), 31);
    }
}

#[test]
fn ldap_that_does_not() {
    let ldap = Protocol::Ldap;
    for (answer, words) in [
        (extended(1, 2, "unsupported", true), "protocolError (2): unsupported"),
        (extended(1, 52, "", false), "unavailable (52)"),
        (extended(1, 99, "", false), "result (99)"),
        // It says goodbye by itself.
        (extended(0, 0, "bye", false), "success (0): bye"),
    ] {
        let expected = format!("the server refused StartTLS, it said \"{words}\"");
        fails(ldap, &answer, Code::Unexpected, &expected);
    }
    let odd: [&[u8]; 6] = [
        b"HTTP/1.0",
        b"0\x80\x02\x01",
        b"0\x85\0\0\0\0\0",
        b"0\x03\x02\x01\x01",
        b"0\x05\x02\x05\x01\x02\x03",
        b"0\x00",
    ];
    for said in odd {
        let Verdict::Fails(code, detail) = talk(ldap, [said]).verdict else {
            panic!("{} passes", said.escape_ascii());
        };
        assert_eq!(code, "unexpected");
        assert!(detail.starts_with("the server does not speak LDAP, it said"), "{detail}");
    }
    let Verdict::Fails(code, detail) = talk(ldap, [&b"0\x84\x7f\xff\xff\xff"[..]]).verdict else {
        panic!("a length of two gigabytes passes");
    };
    assert_eq!((code, detail.as_str()), ("too_large", "an answer of over 16384 bytes"));
}

#[test]
fn postgres() {
    let outcome = begins(Protocol::Postgres, b"S");
    assert_eq!(outcome.sent, ["\0\0\0\u{8}\u{4}\u{fffd}\u{16}/"]);
    assert_eq!(outcome.transcript, Transcript::default());
    let postgres = Protocol::Postgres;
    refuses(postgres, "N", "the server does not offer TLS, it said \"N\"");
    refuses(
        postgres,
        "E\0\0\0\u{1d}SFATAL\0C53300\0Mtoo many\0\0",
        "the server refused TLS, it said \"too many\"",
    );
    refuses(postgres, "x", "the server does not speak PostgreSQL, it said \"x\"");
    fails(
        postgres,
        b"E\0\0\0\x03",
        Code::Unexpected,
        "the server does not speak PostgreSQL, it said \"E\\u{0}\\u{0}\\u{0}\\u{3}\"",
    );
    fails(postgres, b"E\0\x01\0\0", Code::TooLarge, "an answer of over 16384 bytes");
}

/// A handshake packet with these flags.
fn handshake(flags: u32) -> Vec<u8> {
    let flags = flags.to_le_bytes();
    let mut body = b"\x0a8.0.36\0\x01\0\0\0challeng\0".to_vec();
    body.extend_from_slice(&flags[..2]);
    body.extend_from_slice(b"\x2d\x02\0");
    body.extend_from_slice(&flags[2..]);
    body.extend_from_slice(b"\x15\0\0\0\0\0\0\0\0\0\0rest\0caching_sha2_password\0");
    packet(&body)
}

fn packet(body: &[u8]) -> Vec<u8> {
    let mut packet = vec![body.len() as u8, 0, 0, 0];
    packet.extend_from_slice(body);
    packet
}

#[test]
fn mysql() {
    let said = handshake(0xdfff_ffff);
    let Outcome { sent, transcript, .. } = begins(Protocol::Mysql, &said);
    assert_eq!(transcript.greeting, said[4..]);
    assert_eq!(transcript.capabilities, 0xdfff_ffffu32.to_le_bytes());
    assert_eq!(sent.len(), 1);
    assert!(sent[0].starts_with("\u{20}\0\0\u{1}"));
    // Flags that the server does not have are not asked for.
    assert_ne!(begins(Protocol::Mysql, &handshake(0x0a00)).sent, sent);
}

#[test]
fn mysql_that_does_not() {
    let mysql = Protocol::Mysql;
    let expected = "the server does not offer TLS, it said \"8.0.36\"";
    fails(mysql, &handshake(0xdfff_f7ff), Code::Unexpected, expected);
    for said in [&b"\xff\x10\x04Too many"[..], b"\xff\x10\x04#08004Too many"] {
        let expected = "the server refused the connection, it said \"1040 Too many\"";
        fails(mysql, &packet(said), Code::Unexpected, expected);
    }
    for said in [&b"SSH-2.0-x\r\n"[..], b"\x10\0\0\0\x09old", b"\x05\0\0\0\x0ax\0\0\0", b"\0\0\0\0"]
    {
        let Verdict::Fails(code, detail) = talk(mysql, [said]).verdict else {
            panic!("{} passes", said.escape_ascii());
        };
        assert_eq!(code, "unexpected");
        assert!(detail.starts_with("the server does not speak MySQL, it said"), "{detail}");
    }
    fails(mysql, b"\xff\xff\xff\0\x0a", Code::TooLarge, "an answer of over 16384 bytes");
}

const HEADER: &str = "<?xml version='1.0'?>\n<stream:stream from='mail.example' id='a>b' \
                      version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
const FEATURES: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
                        <required/></starttls></stream:features>";

#[test]
fn xmpp() {
    for proceed in [
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<t:proceed xmlns:t=\"urn:ietf:params:xml:ns:xmpp-tls\"></t:proceed>",
    ] {
        let said = format!("{HEADER}\n{FEATURES}\n{proceed}");
        let Outcome { sent, transcript, .. } = begins(Protocol::Xmpp, said.as_bytes());
        assert_eq!(sent.len(), 2);
        assert!(sent[0].contains(" to='mail.example' version='1.0' "), "{}", sent[0]);
        assert_eq!(sent[1], "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_eq!(transcript.greeting, HEADER.as_bytes());
        assert_eq!(transcript.capabilities, FEATURES.as_bytes());
    }
}

#[test]
fn xmpp_that_does_not() {
    let xmpp = Protocol::Xmpp;
    let none = "<stream:features><starttls xmlns='x'/></stream:features>";
    refuses(
        xmpp,
        &format!("{HEADER}{none}"),
        &format!("the server does not offer starttls, it said \"{none}\""),
    );
    let old = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>";
    refuses(xmpp, old, &format!("the server does not offer starttls, it said \"{old}\""));
    let error = "<stream:error><host-unknown xmlns='urn:x'/></stream:error>";
    refuses(
        xmpp,
        &format!("{HEADER}{error}</stream:stream>"),
        &format!("the server refused the connection, it said \"{error}\""),
    );
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    for answer in [failure, error] {
        refuses(
            xmpp,
            &format!("{HEADER}{FEATURES}{answer}</stream:stream>"),
            &format!("the server refused starttls, it said \"{answer}\""),
        );
    }
    refuses(
        xmpp,
        &format!("{HEADER}{FEATURES}</stream:stream>"),
        "the server refused the connection, it said \"</stream:stream>\"",
    );
    for odd in ["HTTP/1.0 400", "<!DOCTYPE html>", "<a></b>", "<!-- x --><a/>", "<?x y?>", "</a>"] {
        let Verdict::Fails(code, detail) = cut(xmpp, odd.as_bytes()).verdict else {
            panic!("{odd} passes");
        };
        assert_eq!(code, "unexpected", "{odd}: {detail}");
    }
    // A reference that is cut behind a mark is not malformed yet.
    assert_eq!(cut(xmpp, b"<?xml?>&>;>").verdict, Verdict::Waits);
    let not_text = [HEADER.as_bytes(), b"<x y='\xff'/>"].concat();
    let Verdict::Fails(code, _) = cut(xmpp, &not_text).verdict else { panic!("not UTF-8 passes") };
    assert_eq!(code, "unexpected");
}

const SMTP: &[&str] = &["220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n"];
const COMMANDS: &[u8] = b"EHLO [IPv6:2001:db8::1]\r\nSTARTTLS\r\n";

fn start(reads: &[Event], writes: &[Event]) -> (StartTls, impl Fn() -> Vec<u8>) {
    let settings = Settings { protocol: Protocol::Smtp, hello: None, server: String::new() };
    let local = "2001:db8::1".parse().ok();
    let (transport, record) = support::transport(reads, writes);
    let written = move || record.borrow().written.clone();
    (StartTls::new(&settings, local, transport, None), written)
}

#[test]
fn over_a_transport_that_gives_and_takes_a_byte_at_a_time() {
    let reads: Vec<Event> = SMTP.concat().bytes().map(|byte| Event::Bytes(vec![byte])).collect();
    let waits = |events: &[Event]| {
        events.iter().flat_map(|event| [Event::Wait, event.clone()]).collect::<Vec<_>>()
    };
    let writes = vec![Event::Take(1); COMMANDS.len()];
    for (reads, writes) in [(reads.clone(), vec![]), (waits(&reads), waits(&writes))] {
        let (mut op, written) = start(&reads, &writes);
        let (_, outcome) = support::finish(|| op.step()).expect("the server begins TLS");
        assert_eq!(written(), COMMANDS);
        assert_eq!(outcome.protocol, Protocol::Smtp);
        assert_eq!(outcome.transcript.greeting, SMTP[0].as_bytes());
    }
}

#[test]
fn a_transport_that_ends_or_fails_anywhere_ends_it() {
    let said = SMTP.concat();
    for at in 0..said.len() {
        for (event, expected) in
            [(Event::End, "end of stream: the "), (Event::Fail("reset"), "reset")]
        {
            let reads = [Event::Bytes(said.as_bytes()[..at].into()), event];
            let reads = if at == 0 { &reads[1..] } else { &reads[..] };
            let (mut op, _) = start(reads, &[]);
            let Err(error) = support::finish(|| op.step()) else { panic!("it begins at {at}") };
            assert_eq!((error.code(), error.phase()), (Code::Closed, Some("starttls")));
            assert!(error.detail().starts_with(expected), "{error}");
        }
    }
    let reads: Vec<_> = SMTP.iter().map(|said| Event::Bytes(said.as_bytes().into())).collect();
    let (mut op, _) = start(&reads, &[Event::Take(3), Event::Fail("broken pipe")]);
    let Err(error) = support::finish(|| op.step()) else { panic!("it begins") };
    assert_eq!(error.detail(), "broken pipe");
}

#[test]
fn a_wait_says_what_for() {
    let reads = [Event::Wait, Event::Bytes(b"220 x\r\n".into()), Event::Bytes(b"250".into())];
    let (mut op, _) = start(&[&reads[..], &[Event::Wait]].concat(), &[Event::Wait]);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let Ok(Step::Wait(wait)) = op.step() else { panic!("it does not wait") };
        assert_eq!(wait.pending.phase(), Some("starttls"));
        waits.push(wait.pending);
    }
    let pending = |awaits, have| Pending::StartTls { awaits, have };
    assert_eq!(
        waits,
        [
            pending("the greeting of SMTP", 0),
            pending("the answer to EHLO", 0),
            pending("the answer to EHLO", 3),
        ]
    );
    assert_eq!(waits[1].to_string(), "the answer to EHLO");
    assert_eq!(waits[2].to_string(), "the answer to EHLO, after 3 bytes");
}

#[test]
fn an_answer_has_a_limit() {
    for (name, protocol, begin, piece) in [
        ("smtp", Protocol::Smtp, "", "220-x\r\n"),
        ("imap", Protocol::Imap, "* OK x\r\n", "* OK x\r\n"),
        ("pop3", Protocol::Pop3, "+OK\r\n+OK\r\n", "x\r\n"),
        ("ftp", Protocol::Ftp, "", "120 x\r\n"),
        ("sieve", Protocol::Sieve, "", "\"x\"\r\n"),
        ("xmpp", Protocol::Xmpp, HEADER, "<x>"),
        ("a line", Protocol::Lmtp, "", "x"),
    ] {
        let endless = format!("{begin}{}", piece.repeat(LIMIT / piece.len() + 1));
        let whole = talk(protocol, [endless.as_bytes()]);
        let expected = Verdict::Fails("too_large", "an answer of over 16384 bytes".to_owned());
        assert_eq!(whole.verdict, expected, "{name}");
        assert_eq!(talk(protocol, endless.as_bytes().chunks(100)), whole, "{name}");
        assert_eq!(talk(protocol, endless.as_bytes().chunks(4096)), whole, "{name}");
    }
}

#[test]
fn each_protocol_has_its_name() {
    for (name, protocol) in PROTOCOLS {
        assert_eq!(protocol.name(), name);
        // It waits where nobody says anything.
        assert_eq!(talk(protocol, []).verdict, Verdict::Waits, "{name}");
    }
}
