//! What `json.encode` and `json.get` are told: a layout, and pointers.

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;
use crate::json::{Layout, MAX_INDENT, Wanted};

/// The options of `json.encode`.
pub fn layout(argument: Argument<'_>) -> Result<Layout> {
    let mut layout = Layout::default();
    if !argument.is_absent() {
        argument.each_option(|option| {
            match option.name() {
                "indent" => layout.indent = Some(option.integer(1, MAX_INDENT)?),
                "sort_keys" => layout.sort_keys = option.boolean()?,
                "ascii" => layout.ascii = option.boolean()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
    }
    Ok(layout)
}

/// A JSON Pointer, or a list of them.
pub fn pointers(argument: Argument<'_>) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    match argument.value_type() {
        Type::String => add(&mut wanted, argument)?,
        Type::Table => {
            wanted.is_list = true;
            if !argument.each_of_sequence(|element| add(&mut wanted, element))? {
                return Err(argument.wrong("a list of JSON Pointers expected"));
            }
        }
        _ => return Err(argument.expected("string or table")),
    }
    Ok(wanted.sorted())
}

/// The same where there may be none.
pub fn pointers_or_none(argument: Argument<'_>) -> Result<Option<Wanted>> {
    if argument.is_absent() { Ok(None) } else { pointers(argument).map(Some) }
}

fn add(wanted: &mut Wanted, pointer: Argument<'_>) -> Result<()> {
    wanted.add(pointer.text()?)?.map_err(|malformed| pointer.wrong(malformed.words()))
}
