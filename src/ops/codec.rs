//! `tcp.json`: the codec. Uses `ffi`, `json`, `options`.

use crate::ffi::call::{Call, Result};
use crate::ffi::reply::Reply;
use crate::json::{self, Document};
use crate::options;

pub fn decode(call: &mut Call<'_>) -> Result<Reply> {
    let text = call.argument(1).bytes()?;
    let options = options::json(call.argument(2))?;
    Ok(Reply::Decoded(Document::parse(text, options)?))
}

pub fn encode(call: &mut Call<'_>) -> Result<Reply> {
    if call.argument(2).is_absent() { Ok(Reply::Encoded) } else { encode_as_told(call) }
}

#[inline(never)]
fn encode_as_told(call: &mut Call<'_>) -> Result<Reply> {
    let layout = options::layout(call.argument(2))?;
    if layout == json::Layout::default() {
        return Ok(Reply::Encoded);
    }
    json::with_spare_text(|text| {
        call.append_json(text)?;
        Ok(json::lay_out(text, layout)?.into())
    })
}

/// What a pointer, or each of a list, leads to.
pub fn get(call: &mut Call<'_>) -> Result<Reply> {
    let text = call.argument(1).bytes()?;
    let wanted = options::pointers(call.argument(2))?;
    Ok(Reply::Decoded(Document::get(text, json::Options::default(), &wanted)?))
}

/// Marks a table as an array.
pub fn array(call: &mut Call<'_>) -> Result<Reply> {
    let argument = call.argument(1);
    argument.check_table()?;
    match call.mark_array(argument.index())? {
        true => Ok(Reply::Argument(argument.index())),
        false => Err(argument.wrong("a table without a metatable expected")),
    }
}
