//! `json_scan` against tables, every cut of a corpus, serde_json, and the JSONTestSuite files.

use std::path::PathBuf;

use net::json_scan::skip::Cursor;
use net::json_scan::{Invalid, MAX_DEPTH, Scan, Scanned, run};

type Verdict = Result<Scanned, Invalid>;

const VALUES: &[&[u8]] = &[
    b"null",
    b"true",
    b"false",
    b"0 ",
    b"-0 ",
    b"-0.0e-0,",
    b"10 ",
    b"-120 ",
    b"0.5]",
    b"1234567890123456789012345678901234567890.1234567890123456789e+12345 ",
    b"1e5 ",
    b"1E+5 ",
    b"12.25e-10\n",
    b"\"\"",
    b"\"plain\"",
    b"\"exactly eight\"",
    b"\"a string that is so long that it is looked at in blocks of sixty-four bytes, and then some \
       more of it, to the last byte of a second block, and on; with an escape \\n in the end\"",
    b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\uD7FF\\uE000\\uffff\"",
    b"\"\\ud800\\udc00 \\uDBFF\\uDFFF\\ud834\\uDD1E\"",
    b"\"\x7f\"",
    "\"é世界𝄞\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}\u{2028}\"".as_bytes(),
    b"[]",
    b"{}",
    b"[ ]",
    b"{\t}",
    b"[[],{}]",
    b"[1,2.5,-3e9,\"x\",null,true,false,[],{}]",
    b"{\"a\":1,\"b\":[{\"c\":null}],\"\\u0064\":{\"e\":\"f\"}}",
    b"{ \"a\" : 1 ,\r\n\t\"b\" : [ 1 , 2 ] , \"\" : { } }",
    "{\"ключ\":\"значение\",\"鍵\":[\"値\"]}".as_bytes(),
    b"{\"\\ud834\\udd1e\":\"\\ud834\\udd1e\"}",
    b"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
    b"[1,[2,[3,{\"a\":[4]}],5],6]",
    b"{\n    \"name\": \"value\",\n    \"list\": [\n        1,\n        2\n    ],\n    \"last\": null\n}",
];

/// What is refused, at which byte.
const REFUSED: &[(&[u8], usize, &str)] = &[
    (b"x", 0, "expected a value"),
    (b"  x", 2, "expected a value"),
    (b"\xEF\xBB\xBF1", 0, "expected a value"),
    (b"\x00", 0, "expected a value"),
    (b"\x0C1", 0, "expected a value"),
    (b"'a'", 0, "expected a value"),
    (b"]", 0, "expected a value"),
    (b"}", 0, "expected a value"),
    (b",", 0, "expected a value"),
    (b":", 0, "expected a value"),
    (b"+1", 0, "expected a value"),
    (b".5", 0, "expected a value"),
    (b"NaN", 0, "expected a value"),
    (b"Infinity", 0, "expected a value"),
    (b"True", 0, "expected a value"),
    (b"trux", 3, "expected true"),
    (b"t\n", 1, "expected true"),
    (b"falze", 3, "expected false"),
    (b"nan", 1, "expected null"),
    (b"[nul]", 4, "expected null"),
    (b"01", 1, "a number may not start with 0"),
    (b"-01", 2, "a number may not start with 0"),
    (b"[00]", 2, "a number may not start with 0"),
    (b"--1", 1, "expected a digit"),
    (b"-x", 1, "expected a digit"),
    (b"-\n", 1, "expected a digit"),
    (b"1.e", 2, "expected a digit"),
    (b"1.]", 2, "expected a digit"),
    (b"1e,", 2, "expected a digit"),
    (b"1e+-", 3, "expected a digit"),
    (b"1e++", 3, "expected a digit"),
    (b"0.1e.", 4, "expected a digit"),
    (b"[1 2]", 3, "expected ',' or ']'"),
    (b"[1}", 2, "expected ',' or ']'"),
    (b"[1.2.3]", 4, "expected ',' or ']'"),
    (b"[1e2e3]", 4, "expected ',' or ']'"),
    (b"[1a]", 2, "expected ',' or ']'"),
    (b"[0x1]", 2, "expected ',' or ']'"),
    (b"[\"a\":1]", 4, "expected ',' or ']'"),
    (b"[truex]", 5, "expected ',' or ']'"),
    (b"[1\xC3\xA9]", 2, "expected ',' or ']'"),
    (b"[1\x0B]", 2, "expected ',' or ']'"),
    (b"[,1]", 1, "expected a value"),
    (b"[1,]", 3, "expected a value"),
    (b"[1,,2]", 3, "expected a value"),
    (b"[}", 1, "expected a value"),
    (b"{]", 1, "expected a member name in double quotes"),
    (b"{,", 1, "expected a member name in double quotes"),
    (b"{a:1}", 1, "expected a member name in double quotes"),
    (b"{1:1}", 1, "expected a member name in double quotes"),
    (b"{\"a\":1,}", 7, "expected a member name in double quotes"),
    (b"{\"a\":1,2}", 7, "expected a member name in double quotes"),
    (b"{\"a\"}", 4, "expected ':'"),
    (b"{\"a\",", 4, "expected ':'"),
    (b"{\"a\" 1}", 5, "expected ':'"),
    (b"{\"a\"::1}", 5, "expected a value"),
    (b"{\"a\":}", 5, "expected a value"),
    (b"{\"a\":1]", 6, "expected ',' or '}'"),
    (b"{\"a\":1 \"b\"", 7, "expected ',' or '}'"),
    (b"{\"a\":\"b\":", 8, "expected ',' or '}'"),
    (b"\"\n\"", 1, "control character in a string"),
    (b"\"abcdefgh\x1F\"", 9, "control character in a string"),
    (b"\"\x00\"", 1, "control character in a string"),
    (b"{\"a\tb\":", 3, "control character in a string"),
    (b"\"\\x\"", 2, "unknown escape"),
    (b"\"\\'\"", 2, "unknown escape"),
    (b"\"\\U0041\"", 2, "unknown escape"),
    (b"\"\\\n\"", 2, "unknown escape"),
    (b"\"\\\xC3\xA9\"", 2, "unknown escape"),
    (b"\"\\u\"", 3, "expected four hexadecimal digits after \\u"),
    (b"\"\\u00g0\"", 5, "expected four hexadecimal digits after \\u"),
    (b"\"\\u004\"", 6, "expected four hexadecimal digits after \\u"),
    (b"\"\\ud\"", 4, "expected four hexadecimal digits after \\u"),
    (b"\"\\ud8g0\"", 5, "expected four hexadecimal digits after \\u"),
    (b"\"\\ud800\\ux\"", 9, "expected four hexadecimal digits after \\u"),
    (b"\"\\ud800\\udx\"", 10, "expected four hexadecimal digits after \\u"),
    (b"\"\\udc00\"", 4, "half of a surrogate pair"),
    (b"\"\\uDFFF\"", 4, "half of a surrogate pair"),
    (b"\"\\ud800x\"", 7, "half of a surrogate pair"),
    (b"\"\\ud800\"", 7, "half of a surrogate pair"),
    (b"\"\\ud800\\n\"", 8, "half of a surrogate pair"),
    (b"\"\\ud800\\u0041\"", 9, "half of a surrogate pair"),
    (b"\"\\ud800\\ud800\"", 10, "half of a surrogate pair"),
    (b"\"\\ud800\\ue000\"", 9, "half of a surrogate pair"),
    (b"\"\x80\"", 1, "not UTF-8"),
    (b"\"\xBF", 1, "not UTF-8"),
    (b"\"\xC0\x80\"", 1, "not UTF-8"),
    (b"\"\xC1\xBF\"", 1, "not UTF-8"),
    (b"\"\xC3\"", 2, "not UTF-8"),
    (b"\"\xC3\xA9\xA9\"", 3, "not UTF-8"),
    (b"\"\xC3\\", 2, "not UTF-8"),
    (b"\"\xC3\\n\x01\"", 2, "not UTF-8"),
    (b"\"\xE0\x80\x80\"", 2, "not UTF-8"),
    (b"\"\xE0\x9F\xBF\"", 2, "not UTF-8"),
    (b"\"\xED\xA0\x80\"", 2, "not UTF-8"),
    (b"\"\xED\xBF\xBF\"", 2, "not UTF-8"),
    (b"\"\xE4\xB8\"", 3, "not UTF-8"),
    (b"\"\xE4\xB8\xC3\"", 3, "not UTF-8"),
    (b"\"\xF0\x80\x80\x80\"", 2, "not UTF-8"),
    (b"\"\xF0\x9D\x84\"", 4, "not UTF-8"),
    (b"\"\xF4\x90\x80\x80\"", 2, "not UTF-8"),
    (b"\"\xF5\x80\x80\x80\"", 1, "not UTF-8"),
    (b"\"\xFF\"", 1, "not UTF-8"),
    (b"{\"\xFE\":1}", 2, "not UTF-8"),
    // The first fault counts, also where two kinds of check find one each.
    (b"[\"\xFF\",]", 2, "not UTF-8"),
    (b"[\"\xC3\xA9\",]", 6, "expected a value"),
    (b"\"\\q\xFF\"", 2, "unknown escape"),
];

/// What may go on, and is no value yet.
const INCOMPLETE: &[&[u8]] = &[
    b"\"",
    b"\"abc",
    b"\"\\",
    b"\"\\u",
    b"\"\\ud",
    b"\"\\ud8",
    b"\"\\ud800",
    b"\"\\ud800\\",
    b"\"\\ud800\\udc0",
    b"\"\xC3",
    b"\"\xE0",
    b"\"\xE0\xA0",
    b"\"\xED\x9F",
    b"\"\xF0\x90\x80",
    b"\"\xF4\x8F\xBF",
    b"t",
    b"tru",
    b"fals",
    b"n",
    b"[",
    b"[1",
    b"[1.",
    b"[-",
    b"[1e",
    b"[1,",
    b"[[]",
    b" [ ",
    b"{",
    b"{\"",
    b"{\"a\"",
    b"{\"a\" ",
    b"{\"a\":",
    b"{\"a\":1",
    b"{\"a\":1,",
    b"{\"a\":{}",
];

#[test]
fn white_space_is_counted_at_each_length() {
    for kind in [&b" "[..], b"\n", b"\t", b"\r", b"\n        ", b"        \n", b" \r\n    \t"] {
        for len in 0..40 {
            let spaces: Vec<u8> = kind.iter().copied().cycle().take(len).collect();
            assert_eq!(run::spaces(&spaces), len, "{kind:?}");
            for other in (0..=255).filter(|byte| !b" \n\t\r".contains(byte)) {
                for behind in [&b""[..], b" ", b"                "] {
                    let text = [&spaces, &[other][..], behind].concat();
                    assert_eq!(run::spaces(&text), len, "{kind:?} before {other}");
                }
            }
        }
    }
}

#[test]
fn a_value_is_found_with_its_last_byte() {
    for text in VALUES {
        let end = text.len() - usize::from(is_number(text));
        for front in ["", " ", "\r\n\t  ", &" ".repeat(100)] {
            for behind in ["", " ", "}", "\u{1}", "x"] {
                let input = [front.as_bytes(), text, behind.as_bytes()].concat();
                let range = front.len()..front.len() + end;
                assert_eq!(check(&input), Ok(Scanned::Value(range)), "{}", show(&input));
            }
        }
    }
}

#[test]
fn what_follows_a_value_is_left_alone() {
    let mut rest: &[u8] = b"1 2\"a\"[3]{}null-4\n\ntrue5.5e1 ";
    let mut found = Vec::new();
    while let Ok(Scanned::Value(range)) = check(rest) {
        found.push(std::str::from_utf8(&rest[range.clone()]).expect("ASCII"));
        rest = &rest[range.end..];
    }
    assert_eq!(found, ["1", "2", "\"a\"", "[3]", "{}", "null", "-4", "true", "5.5e1"]);
    assert_eq!(whole(rest, true), Ok(Scanned::Nothing));
}

#[test]
fn the_first_byte_that_cannot_be_is_refused_at_once() {
    for &(text, at, what) in REFUSED {
        assert_eq!(check(text), Err(Invalid { at, what }), "{}", show(text));
        let before = whole(&text[..at], false);
        assert!(matches!(before, Ok(Scanned::Incomplete | Scanned::Nothing)), "{}", show(text));
        assert_eq!(whole(&text[..=at], false), Err(Invalid { at, what }), "{}", show(text));
    }
}

#[test]
fn an_unfinished_value_asks_for_more() {
    for text in INCOMPLETE {
        assert_eq!(check(text), Ok(Scanned::Incomplete), "{}", show(text));
        assert_eq!(whole(text, true), Ok(Scanned::Incomplete), "{}", show(text));
    }
}

#[test]
fn white_space_is_nothing() {
    for text in ["", " ", "\n", " \t\r\n", &" \n".repeat(1000)] {
        assert_eq!(check(text.as_bytes()), Ok(Scanned::Nothing));
        assert_eq!(whole(text.as_bytes(), true), Ok(Scanned::Nothing));
    }
}

#[test]
fn the_end_of_the_input_ends_a_lone_number() {
    for text in ["0", "-0", "12", "1.5", "1e5", "1e-05", "-10.01E+10"] {
        assert_eq!(check(text.as_bytes()), Ok(Scanned::Incomplete));
        assert_eq!(whole(text.as_bytes(), true), Ok(Scanned::Value(0..text.len())));
    }
    for text in ["-", "1.", "-0.", "1e", "1.5E", "1e+", "1e-"] {
        assert_eq!(Scan::default().step(text.as_bytes(), true), Ok(Scanned::Incomplete), "{text}");
    }
}

#[test]
fn the_end_may_come_by_itself() {
    let mut scan = Scan::default();
    assert_eq!(scan.step(b" 12", false), Ok(Scanned::Incomplete));
    assert_eq!(scan.step(b" 12", false), Ok(Scanned::Incomplete));
    assert_eq!(scan.step(b" 12", true), Ok(Scanned::Value(1..3)));
}

#[test]
fn nesting_goes_to_its_limit() {
    let limit = MAX_DEPTH as usize;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let levels = if open.starts_with("[{") { 2 } else { 1 };
        let text = open.repeat(limit / levels) + "0" + &close.repeat(limit / levels);
        assert_eq!(check(text.as_bytes()), Ok(Scanned::Value(0..text.len())));
        let front = open.repeat(limit / levels);
        let at = front.len();
        for bracket in ["[", "{"] {
            let deeper = format!("{front}{bracket}");
            let refused = Err(Invalid { at, what: "nested deeper than 128" });
            assert_eq!(check(deeper.as_bytes()), refused);
        }
    }
    let wide = format!("[{}[]]", "[{}],".repeat(1000));
    assert_eq!(check(wide.as_bytes()), Ok(Scanned::Value(0..wide.len())));
}

#[test]
fn runs_end_where_they_end() {
    for length in 0..200 {
        let text = format!("\"{}", "x".repeat(length));
        let at = text.len();
        let quoted = [text.as_bytes(), b"\"\"\x01\\"].concat();
        assert_eq!(check(&quoted), Ok(Scanned::Value(0..at + 1)));
        let escaped = [text.as_bytes(), b"\\\"\x01"].concat();
        assert_eq!(check(&escaped).map_err(|invalid| invalid.at), Err(at + 2));
        for (bytes, ahead) in [(b"\x1F\"", 0), (b"\xFF\"", 0), (b"\xC3\"", 1)] {
            let wrong = [text.as_bytes(), bytes].concat();
            assert_eq!(check(&wrong).map_err(|invalid| invalid.at), Err(at + ahead));
        }
    }
    for length in 1..40 {
        for end in [b'/', b':', b' ', b'x', 0, 0x80, 0xB0, 0xFF] {
            let text = [&b"3".repeat(length), &[end][..], b"00"].concat();
            assert_eq!(check(&text), Ok(Scanned::Value(0..length)));
            let text = [&b" ".repeat(length), &b"\n\r\t 0"[..], &[end]].concat();
            assert_eq!(check(&text), Ok(Scanned::Value(length + 4..length + 5)));
        }
    }
}

#[test]
fn a_verdict_stays() {
    let mut scan = Scan::default();
    assert_eq!(scan.step(b" [1]", false), Ok(Scanned::Value(1..4)));
    assert_eq!(scan.step(b" [1] x", true), Ok(Scanned::Value(1..4)));
    for (text, more, at) in [("[1,]", "]", 3), ("[x", "y", 1), ("\"\\q", "q\"", 2)] {
        let mut scan = Scan::default();
        let refused = scan.step(text.as_bytes(), false);
        assert_eq!(refused.as_ref().map_err(|invalid| invalid.at), Err(at));
        assert_eq!(scan.step(format!("{text}{more}").as_bytes(), true), refused);
    }
    let mut scan = Scan::default();
    let refused = Err(Invalid { at: 3, what: "not UTF-8" });
    assert_eq!(scan.step(b"[\"\xC3\" ", false), refused);
    assert_eq!(scan.step(b"[\"\xC3\" ]", true), refused);
}

#[test]
fn drops_are_not_looked_at_again_and_again() {
    // A million bytes, one at a time: quadratic work would take minutes.
    let count = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    for (front, middle, end) in [
        ("\"", "x", "\""),
        ("\"", "é", "\""),
        ("\"", "\\ud834\\udd1e", "\""),
        ("1", "2", " "),
        ("1.", "2", " "),
        ("[", " ", "]"),
        ("", " ", "null"),
        ("[", "1,", "1]"),
    ] {
        let text = format!("{front}{}{end}", middle.repeat(count / middle.len()));
        assert!(matches!(drip(text.as_bytes()), Ok(Scanned::Value(_))));
    }
}

#[test]
fn prefixes_can_be_completed() {
    for text in VALUES.iter().chain(INCOMPLETE).chain(REFUSED.iter().map(|(text, ..)| text)) {
        for end in 0..=text.len() {
            completes_if_not_refused(&text[..end]);
        }
    }
}

#[test]
fn agrees_with_serde_json() {
    for text in VALUES.iter().chain(INCOMPLETE).chain(REFUSED.iter().map(|(text, ..)| text)) {
        for end in 0..=text.len() {
            agrees(&text[..end]);
        }
    }
}

#[test]
fn agrees_with_serde_json_on_mutations() {
    let rounds = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..rounds {
        let mut text = VALUES[random.below(VALUES.len())].to_vec();
        for _ in 0..=random.below(3) {
            mutate(&mut text, &mut random);
        }
        agrees(&text);
        let verdict = whole(&text, false);
        assert_eq!(drip(&text), verdict, "{}", show(&text));
        assert_eq!(cut_at_random(&text, &mut random), verdict, "{}", show(&text));
        if round % 20 == 0 {
            completes_if_not_refused(&text);
        }
    }
}

#[test]
fn does_as_the_json_test_suite_says() {
    let Some(files) = json_test_suite() else { return };
    let mut count = 0;
    for file in files {
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read(&file).expect("readable");
        let accepted = accepts(&text);
        match name.as_bytes()[0] {
            b'y' => assert!(accepted, "{name}"),
            b'n' => assert!(!accepted, "{name}"),
            _ => assert_eq!(accepted, parses(&text), "{name}"),
        }
        assert_eq!(drip(&text), whole(&text, false), "{name}");
        agrees(&text);
        count += 1;
    }
    assert!(count > 300, "only {count} files");
}

/// The verdict on all of `text` at once.
fn whole(text: &[u8], end: bool) -> Verdict {
    Scan::default().step(text, end)
}

/// The verdict on `text` a byte at a time, reached as early as it can be.
fn drip(text: &[u8]) -> Verdict {
    cut(text, 0..=text.len())
}

/// The verdict on `text` in steps that end at `cuts`; nothing is seen after a verdict.
fn cut(text: &[u8], cuts: impl IntoIterator<Item = usize>) -> Verdict {
    let mut scan = Scan::default();
    let mut last = Ok(Scanned::Nothing);
    for end in cuts {
        last = scan.step(&text[..end], false);
        if !matches!(last, Ok(Scanned::Incomplete | Scanned::Nothing)) {
            break;
        }
    }
    last
}

fn cut_at_random(text: &[u8], random: &mut Random) -> Verdict {
    let mut cuts: Vec<usize> = (0..random.below(6)).map(|_| random.below(text.len() + 1)).collect();
    cuts.push(text.len());
    cuts.sort_unstable();
    cut(text, cuts)
}

/// The verdict on `text`, the same for every way of cutting it that is tried.
fn check(text: &[u8]) -> Verdict {
    let verdict = whole(text, false);
    assert_eq!(drip(text), verdict, "byte by byte: {}", show(text));
    for first in (0..text.len()).take(1000) {
        assert_eq!(cut(text, [first, text.len()]), verdict, "{first}: {}", show(text));
    }
    for every in [2, 3, 7, 64] {
        let cuts = (0..text.len()).step_by(every).chain([text.len()]);
        assert_eq!(cut(text, cuts), verdict, "every {every}: {}", show(text));
    }
    verdict
}

/// Whether `text` is one value and white space.
fn accepts(text: &[u8]) -> bool {
    match whole(text, true) {
        Ok(Scanned::Value(range)) => whole(&text[range.end..], true) == Ok(Scanned::Nothing),
        _ => false,
    }
}

fn agrees(text: &[u8]) {
    assert_eq!(accepts(text), parses(text), "{}", show(text));
    assert_eq!(is_passed(text), accepts(text), "{}", show(text));
    if let Ok(Scanned::Value(range)) = whole(text, true) {
        assert!(parses(&text[range]), "{}", show(text));
    }
}

/// Whether `skip`, which leaves UTF-8 to its caller, passes `text` as one value and white space.
fn is_passed(text: &[u8]) -> bool {
    let mut cursor = Cursor { bytes: text, at: 0 };
    let is_value = cursor.skip(0).is_ok();
    cursor.token();
    is_value && cursor.is_at_end() && std::str::from_utf8(text).is_ok()
}

/// Whether serde_json takes `text`. To it depth is no matter, but to its caller's stack it is;
/// and it refuses numbers that no float holds.
fn parses(text: &[u8]) -> bool {
    if brackets(text).1 > MAX_DEPTH as usize {
        return false;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.disable_recursion_limit();
    match <serde_json::Value as serde::Deserialize>::deserialize(&mut deserializer) {
        Ok(_) => deserializer.end().is_ok(),
        Err(error) if error.to_string().starts_with("number out of range") => {
            std::str::from_utf8(text).is_ok()
                && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
        }
        Err(_) => false,
    }
}

/// Unless `prefix` is refused, there must be something that makes JSON of it: otherwise a byte was
/// not refused at once.
fn completes_if_not_refused(prefix: &[u8]) {
    match whole(prefix, false) {
        Ok(Scanned::Incomplete | Scanned::Nothing) => {
            assert!(completes(prefix), "{}", show(prefix))
        }
        Ok(Scanned::Value(range)) => assert!(parses(&prefix[range])),
        Err(invalid) => assert!(!completes(&prefix[..=invalid.at]), "{}", show(prefix)),
    }
}

fn completes(prefix: &[u8]) -> bool {
    const TOKENS: &[&[u8]] =
        &[b"", b"0", b"rue", b"ue", b"e", b"alse", b"lse", b"se", b"ull", b"ll", b"l", b"\"\""];
    const TEXTS: &[&[u8]] = &[
        b"",
        b"n",
        b"0000",
        b"000",
        b"00",
        b"0",
        b"00\\udc00",
        b"0\\udc00",
        b"\\udc00",
        b"udc00",
        b"dc00",
        b"c00",
        b"\x80",
        b"\x80\x80",
        b"\x80\x80\x80",
        b"\xA0\x80",
        b"\x90\x80\x80",
    ];
    let (closers, _) = brackets(prefix);
    let texts = TEXTS.iter().map(|text| [text, &b"\""[..]].concat());
    let tails = TOKENS.iter().map(|token| token.to_vec()).chain(texts);
    tails.into_iter().any(|tail| {
        ["", ":0"]
            .iter()
            .any(|member| parses(&[prefix, &tail, member.as_bytes(), &closers].concat()))
    })
}

/// What closes the brackets still open at the end of `text`, and how deep they went.
fn brackets(text: &[u8]) -> (Vec<u8>, usize) {
    let (mut closers, mut deepest) = (Vec::new(), 0);
    let (mut string, mut escape) = (false, false);
    for byte in text {
        match (string, byte) {
            (true, _) if escape => escape = false,
            (true, b'\\') => escape = true,
            (_, b'"') => string = !string,
            (false, b'[') => closers.push(b']'),
            (false, b'{') => closers.push(b'}'),
            (false, b']' | b'}') => drop(closers.pop()),
            _ => {}
        }
        deepest = deepest.max(closers.len());
    }
    closers.reverse();
    (closers, deepest)
}

fn mutate(text: &mut Vec<u8>, random: &mut Random) {
    const BYTES: &[u8] = b"\"\"\\\\{}[]::,,  \n\t-+.eE0019aAbfunrtdDcC8/xz\x00\x1F\x7F\x80\x8F\x90\
        \x9F\xA0\xBF\xC0\xC2\xC3\xDF\xE0\xED\xEF\xF0\xF4\xF5\xFF";
    let at = random.below(text.len() + 1);
    let byte = BYTES[random.below(BYTES.len())];
    match random.below(6) {
        0 => text.truncate(at),
        1 => text.insert(at, byte),
        2 => {
            let copy: Vec<u8> = text[at..].iter().take(random.below(8)).copied().collect();
            let to = random.below(text.len() + 1);
            text.splice(to..to, copy);
        }
        _ if at == text.len() => text.push(byte),
        3 => drop(text.remove(at)),
        4 => text[at] ^= 1 << random.below(8),
        _ => text[at] = byte,
    }
}

fn json_test_suite() -> Option<Vec<PathBuf>> {
    let folder = std::env::var_os("JSON_TEST_SUITE").map_or_else(
        || {
            let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
            root.join("../../../shared/data/JSONTestSuite/test_parsing")
        },
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(&folder) else {
        assert!(std::env::var_os("CI").is_none(), "JSONTestSuite is not in {}", folder.display());
        println!("skipped: JSONTestSuite is not in {} (set JSON_TEST_SUITE)", folder.display());
        return None;
    };
    Some(entries.map(|entry| entry.expect("readable").path()).collect())
}

fn is_number(text: &[u8]) -> bool {
    matches!(text[0], b'-' | b'0'..=b'9')
}

fn show(text: &[u8]) -> String {
    text[..text.len().min(200)].escape_ascii().to_string()
}

/// xorshift64: the same mutations on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
