//! The verdict of serde_json.

use serde::Deserialize;
use serde_json::Value;

pub const MAX_DEPTH: usize = 128;

/// Parses one value, not nested deeper than the module allows. Numbers are Lua's: signed integers
/// of 64 bits, or else floats.
pub fn parse(text: &[u8]) -> Option<Value> {
    if depth(text) > MAX_DEPTH {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.disable_recursion_limit();
    let mut value = Value::deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    sign(&mut value);
    Some(value)
}

fn sign(value: &mut Value) {
    match value {
        Value::Number(number) if !number.is_i64() => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(sign),
        Value::Object(members) => members.values_mut().for_each(sign),
        _ => {}
    }
}

/// Whether two values are the same to the bit: negative zero counts, and floats differ from
/// integers.
pub fn same(one: &Value, other: &Value) -> bool {
    one == other && one.to_string() == other.to_string()
}

/// Returns the depth of the brackets, as far as `text` is JSON.
pub fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut string, mut escape) = (false, false);
    for byte in text {
        match byte {
            _ if escape => escape = false,
            b'\\' => escape = string,
            b'"' => string = !string,
            b'[' | b'{' if !string => depth += 1,
            b']' | b'}' if !string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
