//! `tcp.json`: the codec. Uses `ffi`, `json`, `options`.

use crate::ffi::call::{Call, Result};
use crate::ffi::reply::Reply;
use crate::json::Document;
use crate::options;

pub fn decode(call: &mut Call<'_>) -> Result<Reply> {
    let text = call.argument(1).bytes()?;
    let options = options::json(call.argument(2))?;
    Ok(Reply::Decoded(Document::parse(text, options)?))
}

pub fn encode(_: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::Encoded)
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
