//! Tests of the parts of `json` that need no Lua: against tables, serde_json, and the JSONTestSuite
//! files.

use std::fs;
use std::path::PathBuf;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

const MAX_DEPTH: usize = 128;

#[path = "../src/json/get.rs"]
mod get;
#[path = "../src/json/layout.rs"]
mod layout;
#[path = "../src/json/parse.rs"]
mod parse;
#[path = "../src/json/plain.rs"]
mod plain;
#[path = "../src/json/pointer.rs"]
mod pointer;
#[path = "../src/json/scalar.rs"]
mod scalar;
#[path = "../src/json/tape.rs"]
mod tape;
#[path = "../src/json/write.rs"]
mod write;

use layout::{Layout, MAX_INDENT};
use parse::{BigInt, Failure};
use pointer::{Malformed, Wanted};
use tape::{BorrowedTape, Entry, Tape};
use write::Unwritable;

/// An entry of a tape, with the string itself, and a float as its bits.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Null,
    Bool(bool),
    Integer(i64),
    Float(u64),
    Text(String),
    Array(u32),
    Object(u32),
}

fn items(text: &[u8], tape: &Tape) -> Vec<Item> {
    let string = |bytes: &[u8], at: usize, len: u32| {
        Item::Text(String::from_utf8(bytes[at..at + len as usize].to_vec()).unwrap())
    };
    let item = |entry: &Entry| match *entry {
        Entry::Null => Item::Null,
        Entry::Bool(value) => Item::Bool(value),
        Entry::Integer(value) => Item::Integer(value),
        Entry::Float(value) => Item::Float(value.to_bits()),
        Entry::Text { len, at } => string(text, at, len),
        Entry::Unescaped { len, at } => string(&tape.arena, at, len),
        Entry::Array { len } => Item::Array(len),
        Entry::Object { len } => Item::Object(len),
    };
    tape.entries.iter().map(item).collect()
}

fn parse(text: &[u8], bigint: BigInt) -> Result<Vec<Item>, Failure> {
    let mut tape = BorrowedTape::take();
    parse::parse(text, bigint, &mut tape)?;
    Ok(items(text, &tape))
}

/// Returns the entries that serde_json gives, if it accepts the text.
fn reference(text: &[u8]) -> Option<Vec<Item>> {
    let mut list = List(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.disable_recursion_limit();
    Next(&mut list, 0).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(list.0)
}

struct List(Vec<Item>);

/// The next value, within this many containers.
struct Next<'a>(&'a mut List, usize);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Next<'_> {
    fn scalar<E>(self, item: Item) -> Result<(), E> {
        self.0.0.push(item);
        Ok(())
    }

    fn container<E: Error>(
        self,
        mut fill: impl FnMut(&mut List, usize) -> Result<Option<()>, E>,
        item: fn(u32) -> Item,
    ) -> Result<(), E> {
        let Next(list, depth) = self;
        if depth == MAX_DEPTH {
            return Err(E::custom("too deep"));
        }
        let header = list.0.len();
        list.0.push(Item::Null);
        let mut len = 0;
        while fill(list, depth + 1)?.is_some() {
            len += 1;
        }
        list.0[header] = item(len);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar(Item::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(Item::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(Item::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let float = Item::Float((value as f64).to_bits());
        self.scalar(i64::try_from(value).map_or(float, Item::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar(Item::Float(value.to_bits()))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar(Item::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        self.container(|list, depth| access.next_element_seed(Next(list, depth)), Item::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let member = |list: &mut List, depth| {
            if access.next_key_seed(Next(list, depth))?.is_none() {
                return Ok(None);
            }
            access.next_value_seed(Next(list, depth)).map(Some)
        };
        self.container(member, Item::Object)
    }
}

/// xorshift64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const PARTS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud83d",
    b"\\ude00",
    b"0",
    b"-",
    b"-0",
    b"1e",
    b"E+",
    b".5",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"-18446744073709551616",
    b"1e308",
    b"1e-330",
    b"true",
    b"false",
    b"null",
    b" ",
    b"\n",
    b"\t",
    b"\xC3\xA9",
    b"\xFF",
    b"\0",
    b"123456789.123456",
    b"\x7F",
];

const TEXTS: &[&[u8]] = &[
    br#"{"a":[1,-2.5e3,true,null,"x\n\u00e9\ud83d\ude00"],"b":{"":[]},"c":false}"#,
    br#"[0,-0,0.1,1e5,123456789012345678,12345678901234567890,0.30000000000000004,5e-324]"#,
    br#"["","plain","exactly8","a longer string of plain text","\"\\\/\b\f\n\r\t\u0041"]"#,
    "{\"ключ\":\"значение\",\"鍵\":[\"値\",\"😀\"]}".as_bytes(),
    b" [ [ [ ] , { } ] , { \"a\" : { } } ] ",
];

#[test]
fn agrees_with_serde_json_on_anything() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let rounds = if cfg!(miri) { 200 } else { 300_000 };
    for _ in 0..rounds {
        let mut text = random.pick(TEXTS).to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len() + 1);
            let end = (at + random.below(8)).min(text.len());
            match random.below(3) {
                0 => drop(text.splice(at..at, random.pick(PARTS).iter().copied())),
                1 => drop(text.drain(at..end)),
                _ => text[at..end].reverse(),
            }
        }
        let ours = parse(&text, BigInt::Float);
        assert_eq!(ours.ok(), reference(&text), "{}", text.escape_ascii());
    }
}

#[test]
fn agrees_with_serde_json_on_the_suite() {
    let folder = std::env::var_os("JSON_TEST_SUITE")
        .map_or_else(|| PathBuf::from("../shared/data/JSONTestSuite/test_parsing"), PathBuf::from);
    let Ok(files) = fs::read_dir(&folder) else {
        let ci = std::env::var_os("CI").unwrap_or_default();
        assert!(ci.is_empty(), "there is no {}", folder.display());
        return eprintln!("skipped: there is no {} (see JSON_TEST_SUITE)", folder.display());
    };
    for file in files {
        let path = file.unwrap().path();
        let text = fs::read(&path).unwrap();
        let ours = parse(&text, BigInt::Float).ok();
        match path.file_name().unwrap().to_str().unwrap().as_bytes()[0] {
            b'y' => assert!(ours.is_some(), "{} was refused", path.display()),
            b'n' => assert!(ours.is_none(), "{} was parsed", path.display()),
            _ => {}
        }
        assert_eq!(ours, reference(&text), "{}", path.display());
    }
}

fn wanted(pointers: &[&str]) -> Wanted {
    let mut wanted = Wanted::default();
    assert!(!wanted.is_list);
    for pointer in pointers {
        wanted.add(pointer).unwrap().unwrap();
    }
    wanted.sorted()
}

/// What each pointer leads to, if to anything.
fn get(text: &[u8], pointers: &[&str]) -> Result<Vec<Option<Vec<Item>>>, Failure> {
    let mut tape = BorrowedTape::take();
    get::get(text, BigInt::Float, &wanted(pointers), &mut tape)?;
    let items = items(text, &tape);
    let value = |start: usize| items[start..start + size(&items[start..])].iter().cloned();
    Ok(tape.found.iter().map(|found| found.map(|found| value(found.entry).collect())).collect())
}

/// How many entries the first value has.
fn size(items: &[Item]) -> usize {
    let (mut left, mut at) = (1, 0);
    while left > 0 {
        left += match items[at] {
            Item::Array(len) => len as usize,
            Item::Object(len) => 2 * len as usize,
            _ => 0,
        };
        left -= 1;
        at += 1;
    }
    at
}

/// What serde_json's own look-up finds, in text without equal names.
fn look_up(text: &[u8], pointer: &str) -> Option<Vec<Item>> {
    let value: serde_json::Value = serde_json::from_slice(text).unwrap();
    reference(value.pointer(pointer)?.to_string().as_bytes())
}

const POINTERS: &[&str] = &[
    "",
    "/",
    "/a",
    "/a/0",
    "/a/2",
    "/a/4",
    "/a/5",
    "/a/00",
    "/a/-",
    "/b",
    "/b/",
    "/b//0",
    "/c",
    "/0",
    "/1",
    "/7",
    "/07",
    "/10",
    "/ключ",
    "/鍵",
    "/鍵/0",
    "/鍵/1",
    "/0/0",
    "/0/0/1",
    "/0/0/1/x",
    "/1/a",
];

#[test]
fn gets_what_a_look_up_finds() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for text in TEXTS {
        for _ in 0..if cfg!(miri) { 10 } else { 2000 } {
            let pointers: Vec<&str> = (0..random.below(9)).map(|_| random.pick(POINTERS)).collect();
            let expected: Vec<_> = pointers.iter().map(|each| look_up(text, each)).collect();
            assert_eq!(get(text, &pointers).unwrap(), expected, "{pointers:?}");
        }
    }
}

#[test]
fn gets_nothing_past_a_fault() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..if cfg!(miri) { 200 } else { 100_000 } {
        let mut text = random.pick(TEXTS).to_vec();
        let at = random.below(text.len() + 1);
        text.splice(at..at, random.pick(PARTS).iter().copied());
        // The last is nowhere, so that all must be passed.
        let pointers = [random.pick(POINTERS), random.pick(POINTERS), "/nowhere"];
        match (get(&text, &pointers), parse(&text, BigInt::Float)) {
            (Ok(_), Ok(_)) => {}
            // What is asked for is built before the rest is passed.
            (Err(ours), Err(expected)) => {
                let is_early = format!("{ours:?}").contains("number out of range");
                assert!(is_early || ours == expected, "{}", text.escape_ascii());
            }
            // A number that is passed may be out of range.
            (ours, expected) => {
                assert!(ours.is_ok(), "{}", text.escape_ascii());
                assert!(format!("{expected:?}").contains("number out of range"));
            }
        }
    }
}

#[test]
fn takes_the_first_of_equal_names() {
    let text = br#"{"a":{"x":1},"a":{"y":2},"\u0061":3,"b":{"c":1,"c":2}}"#;
    let found = get(text, &["/a/y", "/a/x", "/b/c", "/b", "/b/c"]).unwrap();
    let one = Some(vec![Item::Integer(1)]);
    assert_eq!(found[..3], [None, one.clone(), one.clone()]);
    assert_eq!(found[4], one);
    assert_eq!(found[3].as_ref().map(Vec::len), Some(5));
}

#[test]
fn knows_a_pointer() {
    for (text, expected) in [
        ("", Ok(())),
        ("/~0~1", Ok(())),
        ("a", Err(Malformed::Front)),
        ("/~", Err(Malformed::Escape)),
        ("/a/~2", Err(Malformed::Escape)),
        ("~1", Err(Malformed::Front)),
    ] {
        let added = Wanted::default().add(text).unwrap();
        assert_eq!(added, expected, "{text}");
        assert!(added.is_ok() || !added.unwrap_err().words().is_empty());
    }
}

fn lay_out(text: &[u8], layout: Layout) -> String {
    let mut tape = BorrowedTape::take();
    parse::parse(text, BigInt::Integer, &mut tape).unwrap();
    String::from_utf8(layout::lay_out(text, &tape, layout).unwrap()).unwrap()
}

#[test]
fn lays_out_as_serde_json_does() {
    for text in TEXTS {
        // To serde_json it is no float.
        let text = String::from_utf8_lossy(text).replace("12345678901234567890", "1e300");
        let text = text.as_bytes();
        // Its map is sorted.
        let value: serde_json::Value = serde_json::from_slice(text).unwrap();
        let sorted = Layout { sort_keys: true, ..Layout::default() };
        assert_eq!(lay_out(text, sorted), value.to_string());
        let pretty = lay_out(text, Layout { indent: Some(2), ..sorted });
        assert_eq!(pretty, serde_json::to_string_pretty(&value).unwrap());
        let ascii = lay_out(text, Layout { ascii: true, indent: Some(MAX_INDENT), ..sorted });
        assert!(ascii.is_ascii());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&ascii).unwrap(), value);
    }
}

#[test]
fn refuses_every_cut() {
    for text in TEXTS {
        let text = text.trim_ascii();
        for cut in 0..text.len() {
            assert!(parse(&text[..cut], BigInt::Float).is_err());
        }
    }
}

#[test]
fn says_where() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "line 1 column 1: unexpected end, expected a value"),
        (b"[1,\n 2,\n x]", "line 3 column 2: expected a value"),
        ("[\"é\", x]".as_bytes(), "line 1 column 7: expected a value"),
        (b"[1,\n\"a\xFF\"]", "line 2 column 3: not UTF-8"),
        (b"[\"\\ud800\"]", "line 1 column 9: half of a surrogate pair"),
        (b"[1e309]", "line 1 column 2: number out of range"),
        (b"{}{}", "line 1 column 3: unexpected text after the value"),
    ];
    for (text, expected) in cases {
        let failure = Failure::Invalid((*expected).to_owned());
        assert_eq!(parse(text, BigInt::Float), Err(failure), "{}", text.escape_ascii());
    }
}

#[test]
fn big_integers_are_what_is_asked_for() {
    let text = b"-18446744073709551616";
    assert_eq!(parse(text, BigInt::Float), Ok(vec![Item::Float((-2.0_f64.powi(64)).to_bits())]));
    let digits = String::from_utf8(text.to_vec()).unwrap();
    assert_eq!(parse(text, BigInt::String), Ok(vec![Item::Text(digits)]));
    assert!(parse(text, BigInt::Error).is_err());
    assert!(parse(b"9223372036854775807", BigInt::Error).is_ok());
}

#[test]
fn keeps_no_large_tape() {
    let text = format!("[{}0]", "\"\\n\",".repeat(400_000));
    assert!(parse(text.as_bytes(), BigInt::Float).is_ok());
    let tape = BorrowedTape::take();
    assert!(tape.entries.capacity() <= 1 << 16 && tape.arena.capacity() <= 1 << 18);
}

#[test]
fn writes_strings_as_serde_json_does() {
    let mut random = Random(1);
    let chars =
        ['a', 'b', ' ', '"', '\\', '/', '\n', '\0', '\x1F', '\x7F', 'é', '値', '😀', '\u{2028}'];
    for length in 0..40 {
        for _ in 0..200 {
            let special = random.below(6);
            let text: String =
                (0..length)
                    .map(|_| {
                        if random.below(6) < special {
                            chars[random.below(chars.len())]
                        } else {
                            'x'
                        }
                    })
                    .collect();
            let mut out = b"head".to_vec();
            assert_eq!(write::string(&mut out, text.as_bytes()), Ok(()));
            let quoted = serde_json::to_vec(&text).unwrap();
            assert_eq!(out[4..], *quoted);
            out.clear();
            assert_eq!(write::name(&mut out, true, text.as_bytes()), Ok(()));
            assert_eq!(write::name(&mut out, false, text.as_bytes()), Ok(()));
            assert_eq!(out, [b"{", &*quoted, b":,", &*quoted, b":"].concat());
        }
    }
}

#[test]
fn finds_each_special_byte_at_each_place() {
    for byte in 0..0x80 {
        for (length, at) in (1..20).flat_map(|length| (0..length).map(move |at| (length, at))) {
            let mut text = vec![b'x'; length];
            text[at] = byte;
            let text = String::from_utf8(text).unwrap();
            let mut out = Vec::new();
            assert_eq!(write::string(&mut out, text.as_bytes()), Ok(()));
            assert_eq!(out, serde_json::to_vec(&text).unwrap());
            assert_eq!(parse(&out, BigInt::Float), Ok(vec![Item::Text(text.clone())]));
            let quoted = format!("\"{text}\"");
            let is_fine = serde_json::from_str::<String>(&quoted).is_ok();
            assert_eq!(parse(quoted.as_bytes(), BigInt::Float).is_ok(), is_fine, "{quoted:?}");
        }
    }
}

#[test]
fn writes_no_string_that_is_not_utf8() {
    for at in 0..20 {
        for bad in [&b"\xFF"[..], b"\x80", b"\xC3", b"\xED\xA0\x80", b"\xC0\x80"] {
            for tail in 0..20 {
                let text = [&vec![b'x'; at], bad, &vec![b'y'; tail]].concat();
                let written = write::string(&mut Vec::new(), &text);
                assert_eq!(written, Err(Unwritable::NotUtf8), "{}", text.escape_ascii());
            }
        }
    }
}

#[test]
fn floats_come_back_to_the_bit() {
    let mut random = Random(2);
    let rounds = if cfg!(miri) { 200 } else { 200_000 };
    for _ in 0..rounds {
        let float = f64::from_bits(random.next());
        let mut out = Vec::new();
        if !float.is_finite() {
            assert_eq!(write::float(&mut out, float), Err(Unwritable::NotFinite));
            continue;
        }
        write::float(&mut out, float).unwrap();
        let again = parse(&out, BigInt::Error).unwrap();
        assert_eq!(again, [Item::Float(float.to_bits())], "{}", out.escape_ascii());
        assert_eq!(
            f64::deserialize(&mut serde_json::Deserializer::from_slice(&out)).unwrap(),
            float
        );
    }
}

#[test]
fn fractions_are_rounded_once() {
    let mut random = Random(3);
    let rounds = if cfg!(miri) { 200 } else { 400_000 };
    for round in 0..rounds {
        let (mantissa, places) = if round % 2 == 0 {
            (random.next() >> (random.next() % 64), random.next() as usize % 20)
        } else {
            // An odd integer of 54 bits is the middle of two floats, also if it is halved.
            let (middle, halvings) = (1 << 53 | random.next() >> 11 | 1, random.next() % 4);
            (middle * 5_u64.pow(halvings as u32) + random.next() % 3 - 1, halvings as usize)
        };
        let mut text = format!("{mantissa:0width$}", width = places + 1);
        text.insert(text.len() - places, '.');
        let text =
            format!("{}{text}{}", ["", "-"][round / 2 % 2], ["", "0"][usize::from(places == 0)]);
        let float: f64 = text.parse().unwrap();
        let parsed = parse(text.as_bytes(), BigInt::Error);
        assert_eq!(parsed, Ok(vec![Item::Float(float.to_bits())]), "{text}");
    }
}

#[test]
fn integers_come_back() {
    for integer in [0, 1, -1, 1 << 53, -(1 << 53), i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        write::integer(&mut out, integer).unwrap();
        assert_eq!(parse(&out, BigInt::Error), Ok(vec![Item::Integer(integer)]));
    }
}
