//! The option `framing`: how a packet is cut. Uses `ffi`.

use net::framing::{Few, Framing, HEADER, Length};

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::{Result, Stop};

/// Bytes in front of a length, at most.
const MOST_OFFSET: usize = 4096;

/// What an adjustment is at most, either way.
const MOST_ADJUSTMENT: i64 = u32::MAX as i64;

pub fn framing(option: Argument<'_>) -> Result<Framing> {
    match option.value_type() {
        Type::Table => table(option),
        Type::Number => Ok(of_length(Length::plain(size(option)?))),
        // A string that reads as a number counts as one.
        Type::String if option.is_numeric() => Ok(of_length(Length::plain(size(option)?))),
        Type::String => {
            option.one_of(&[("varint", Framing::Varint), ("netstring", Framing::Netstring)])
        }
        _ => Err(option.expected("number, string or table")),
    }
}

/// The default framing has a name of its own: it is the fast one.
fn of_length(length: Length) -> Framing {
    if length == Length::plain(HEADER) { Framing::Plain } else { Framing::Length(length) }
}

fn size(option: Argument<'_>) -> Result<usize> {
    match option.integer(1, 8)? {
        size @ (1..=4 | 8) => Ok(size),
        size => Err(option.wrong(format_args!("a length of 1, 2, 3, 4 or 8 bytes, got {size}"))),
    }
}

fn table(option: Argument<'_>) -> Result<Framing> {
    let (mut delimiter, mut offset, mut is_length) = (None, None, false);
    let mut length = Length::plain(HEADER);
    option.each(|key, value| {
        // The names of the members are told in the option's own message.
        let name = if key.value_type() == Type::String { key.bytes()? } else { b"" };
        is_length |= name != b"delimiter";
        match name {
            b"delimiter" => delimiter = Some(few(value, 1)?),
            b"prefix" => length.prefix = few(value, 0)?,
            b"length_size" => length.size = size(value)?,
            b"length_offset" => offset = Some(value.integer(0, MOST_OFFSET)?),
            b"length_adjustment" => {
                length.adjustment = value.signed_integer(MOST_ADJUSTMENT)?;
            }
            _ => return Err(unknown(option)),
        }
        Ok(())
    })?;
    if let Some(delimiter) = delimiter {
        return if is_length { Err(unknown(option)) } else { Ok(Framing::Delimiter(delimiter)) };
    }
    if !is_length {
        return Err(unknown(option));
    }
    let prefix = length.prefix.bytes().len();
    length.offset = offset.unwrap_or(prefix);
    if length.offset < prefix {
        return Err(option.wrong("length_offset is within the prefix"));
    }
    Ok(of_length(length))
}

fn few(value: Argument<'_>, least: usize) -> Result<Few> {
    let bytes = value.bytes()?;
    let few = Few::new(bytes).filter(|_| bytes.len() >= least);
    few.ok_or_else(|| {
        value.wrong(format_args!("{least} to {} bytes expected, got {}", Few::MOST, bytes.len()))
    })
}

fn unknown(option: Argument<'_>) -> Stop {
    option.wrong(
        "a table of delimiter, or of length_size, length_offset, length_adjustment and prefix, \
         expected",
    )
}
