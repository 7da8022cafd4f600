//! `tcp.debug`: what is traced, and where the lines go. Uses `ffi`, `trace`.

use net::trace::Detail;

use crate::ffi::argument::Type;
use crate::ffi::call::{Call, Result};
use crate::ffi::reply::Reply;

pub fn debug(call: &mut Call<'_>) -> Result<Reply> {
    const WORDS: [(&str, Detail); 1] = [("payload", Detail::Payload)];
    let (to, detail, tracer) = (call.argument(1), call.argument(2), &call.host.tracer);
    let detail = if detail.is_absent() { Detail::Lines } else { detail.one_of(&WORDS)? };
    match to.value_type() {
        Type::Absent | Type::Boolean(false) => tracer.off(),
        Type::Boolean(true) => tracer.to_stderr(detail),
        Type::String => tracer.to_stderr(to.one_of(&WORDS)?),
        Type::Function => {
            tracer.keep(detail);
            call.keep_sink(to.index());
        }
        _ => return Err(to.expected("boolean, function or 'payload'")),
    }
    Ok(Reply::Nothing)
}
