//! The option `names` of a server: a certificate for each name that clients ask for. Uses `ffi`.

use std::collections::HashSet;
use std::sync::Arc;

use net::transport::tls::{Named, sni_pattern};

use super::tls::{is_known, once};
use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;

/// A table of names, each with a table of its certificate.
pub fn names(option: Argument<'_>) -> Result<Vec<Named>> {
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    option.each(|key, entry| {
        let named = Named { name: name(option, key)?, ..certificate(entry)? };
        if !seen.insert(named.name.clone()) {
            let name = named.name;
            return Err(option.wrong(format_args!("'{name}' is there twice, in other spellings")));
        }
        names.push(named);
        Ok(())
    })?;
    Ok(names)
}

fn name(option: Argument<'_>, key: Argument<'_>) -> Result<String> {
    const EXPECTED: &str = "host names, or '*.' and one, expected";
    match key.value_type() {
        Type::String => {
            let name = sni_pattern(key.text()?);
            name.ok_or_else(|| option.wrong(format_args!("{EXPECTED}, got '{}'", excerpt(key))))
        }
        _ => Err(option.wrong(format_args!("{EXPECTED}, got a {}", key.type_name()))),
    }
}

fn excerpt(key: Argument<'_>) -> String {
    net::text::excerpt(key.bytes().unwrap_or_default())
}

/// All else is said once, for all names.
fn certificate(entry: Argument<'_>) -> Result<Named> {
    let mut named = Named { name: String::new(), certificate: None, key: None, key_password: None };
    entry.each_option(|option| {
        match option.name() {
            "cert_file" | "cert" => once(&mut named.certificate, option)?,
            "key_file" | "key" => once(&mut named.key, option)?,
            "key_password" => named.key_password = Some(Arc::new(option.owned_bytes()?)),
            _ if is_known(option) => {
                return Err(option.wrong("only the certificate and its key differ by name"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(named)
}
