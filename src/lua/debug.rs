//! `tcp.debug`: what is traced, and where the lines go. Those for a function of the script's are made
//! where there is no Lua, and handed over when the call in which they came to be is settled or waits.
//! Uses `trace`.

use mlua::{Function, Value};

use net::error::printable;
use net::trace::{Detail, complain};

use super::call::{Call, Failure, Outcome, Result};

/// The registry's name for the function that takes the lines.
const SINK: &str = "tcp.debug";

pub fn debug(call: &mut Call<'_>) -> Result<Outcome> {
    const WORDS: [(&str, Detail); 1] = [("payload", Detail::Payload)];
    let (to, detail, tracer) = (call.argument(1), call.argument(2), call.parking.tracer());
    let detail = if detail.is_absent() { Detail::Lines } else { detail.one_of(&WORDS)? };
    let mut sink = &Value::Nil;
    match to.value() {
        Value::Nil | Value::Boolean(false) => tracer.off(),
        Value::Boolean(true) => tracer.to_stderr(detail),
        Value::String(_) => tracer.to_stderr(to.one_of(&WORDS)?),
        function @ Value::Function(_) => {
            sink = function;
            tracer.keep(detail);
        }
        _ => return Err(to.expected("boolean, function or 'payload'")),
    }
    call.lua.set_named_registry_value(SINK, sink)?;
    Ok(Outcome::Nothing)
}

/// Traces a failure that is not the script's own mistake.
#[cold]
pub fn note(call: &Call<'_>, failure: &Failure) {
    if let Failure::Failed(error) | Failure::Refused(error, _) = failure {
        call.parking.tracer().failure(error);
        deliver(call);
    }
}

/// Hands over the lines that a call, or a part of it, has led to.
pub fn deliver(call: &Call<'_>) {
    if call.parking.tracer().has_lines() {
        hand_over(call);
    }
}

/// The function that takes the lines must not disturb the call, whatever it does: here it cannot
/// yield, it waits in place, its own calls are not traced, and its errors end the tracing.
#[cold]
fn hand_over(call: &Call<'_>) {
    let tracer = call.parking.tracer();
    while let Some(line) = tracer.take_line() {
        let take = || {
            let sink: Option<Function> = call.lua.named_registry_value(SINK)?;
            sink.map_or(Ok(()), |sink| sink.call(line))
        };
        if let Err(error) = call.parking.in_place(|| tracer.quietly(take)) {
            tracer.off();
            complain(format_args!("debug: off, its function failed: {}", words(&error)));
        }
    }
}

fn words(error: &mlua::Error) -> String {
    let text = match error {
        mlua::Error::RuntimeError(text) => text.clone(),
        other => other.to_string(),
    };
    printable(text.split("\nstack traceback:\n").next().unwrap_or_default())
}
