//! `tcp.json.get` on any bytes: what a look-up finds in serde_json's reading of the whole text. The
//! first line of the input has the pointers, with spaces between, and the rest is the text.

#![no_main]

use std::fmt;

use libfuzzer_sys::fuzz_target;
use net::json_scan;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tcp_fuzz::hash;
use tcp_fuzz::host::{Host, Kept};
use tcp_fuzz::oracle;

thread_local! {
    static TARGET: Target = Target::new();
}

fuzz_target!(|bytes: &[u8]| TARGET.with(|target| target.run(bytes)));

struct Target {
    host: Host,
    /// A value by its pointer, and by its place in the list of pointers.
    one: Kept,
    listed: Kept,
}

const ABSENT: &str = "nothing is here";

impl Target {
    fn new() -> Self {
        let host = Host::new();
        Self {
            one: host.keep(
                c"return function(text, pointer)
                  local value = tcp.json.get(text, pointer)
                  if value == nil then return 'nothing is here' end
                  return value
                end",
            ),
            listed: host.keep(
                c"return function(text, head, number)
                  local pointers = {}
                  for pointer in (head .. ' '):gmatch '(.-) ' do pointers[#pointers + 1] = pointer end
                  local value = tcp.json.get(text, pointers)[tonumber(number)]
                  if value == nil then return 'nothing is here' end
                  return value
                end",
            ),
            host,
        }
    }

    fn run(&self, bytes: &[u8]) {
        self.host.begin(hash(bytes));
        let head = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = bytes.get(head.len() + 1..).unwrap_or_default();
        let head = String::from_utf8_lossy(head);
        let pointers: Vec<&str> = head.split(' ').collect();
        if pointers.len() > 8 || !pointers.iter().all(|pointer| is_pointer(pointer)) {
            self.host.push_text(text);
            self.host.push_text(pointers[0].as_bytes());
            let is_done = self.host.call(self.one, 2);
            assert!(is_pointer(pointers[0]) || !is_done);
            return self.host.pop();
        }
        let tree = oracle::parse(text).and_then(|_| Tree::read(text));
        let mut are_all_found = true;
        for pointer in &pointers {
            self.host.push_text(text);
            self.host.push_text(pointer.as_bytes());
            are_all_found &= self.found(self.one, 2, pointer, text, tree.as_ref());
        }
        for (number, pointer) in (1..).zip(&pointers) {
            self.host.push_text(text);
            self.host.push_text(head.as_bytes());
            self.host.push_text(format!("{number}").as_bytes());
            let is_found = self.found(self.listed, 3, pointer, text, tree.as_ref());
            assert!(is_found || !are_all_found || tree.is_none());
        }
    }

    /// Whether a call finds what the pointer leads to, which must be what the tree says.
    fn found(&self, function: Kept, count: i32, pointer: &str, text: &[u8], tree: Option<&Tree>) -> bool {
        let is_done = self.host.call(function, count);
        let is_absent = is_done && self.host.describe() == ABSENT;
        if let Some(tree) = tree {
            assert!(is_done, "{}", self.host.describe());
            let expected = tree.find(pointer).map_or(ABSENT.into(), Tree::value);
            self.host.assert_is(&expected, false);
        } else if is_absent {
            // All was passed, so only a number can be wrong.
            assert_eq!(json_scan::fault(text), None);
        } else if !is_done {
            assert!(self.host.describe().contains(" json: line "));
        }
        self.host.pop();
        is_done && !is_absent
    }
}

/// Whether it is one by RFC 6901.
fn is_pointer(pointer: &str) -> bool {
    (pointer.is_empty() || pointer.starts_with('/'))
        && pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// A JSON value with all members of equal names.
enum Tree {
    Scalar(Value),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn read(text: &[u8]) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        deserializer.disable_recursion_limit();
        Self::deserialize(&mut deserializer).ok()
    }

    fn find(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |tree, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match tree {
                Self::Scalar(_) => None,
                Self::Array(items) => {
                    let index: usize = token.parse().ok()?;
                    if index.to_string() == token { items.get(index) } else { None }
                }
                Self::Object(members) => {
                    members.iter().find(|(name, _)| *name == token).map(|(_, value)| value)
                }
            }
        })
    }

    /// As decode has it: of equal names the last counts.
    fn value(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::Array(items) => Value::Array(items.iter().map(Self::value).collect()),
            Self::Object(members) => Value::Object(
                members.iter().map(|(name, value)| (name.clone(), value.value())).collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Build)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(i64::try_from(value).map_or_else(|_| (value as f64).into(), Value::from)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut tree = Vec::new();
        while let Some(item) = items.next_element()? {
            tree.push(item);
        }
        Ok(Tree::Array(tree))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut tree = Vec::new();
        while let Some(member) = members.next_entry()? {
            tree.push(member);
        }
        Ok(Tree::Object(tree))
    }
}
