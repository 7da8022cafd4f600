//! A certificate as scripts see it, and `tcp.certificates`, which reads those of a file. Uses
//! `ffi`, `pending`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use net::error::{self, Code, Error, Pending};
use net::io::deadline::Deadline;
use net::io::step::{Step, ready};
use net::memory::{append, check, reserve};
use net::text::printable;
use net::transport::tls::{Attributes, Certificate, Pem, Reader, entries};

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::{Call, Result};
use crate::ffi::reply::{Reply, Value};
use crate::options::{self, TIMEOUT};
use crate::pending::{LongOperation, PendingOp};

/// An address as text, in bytes.
const LONGEST_ADDRESS: usize = 64;

/// A PEM text that is being read.
struct Reading {
    pem: Pem,
    reader: Option<Reader>,
    deadline: Deadline,
}

pub fn certificates(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let argument = call.argument(1);
        let (pem, timeout) = match argument.value_type() {
            Type::Table => file(argument)?,
            Type::String => (Pem::Text(Arc::new(argument.owned_bytes()?)), TIMEOUT),
            _ => return Err(argument.expected("string or table")),
        };
        let deadline = Deadline::after(timeout);
        Ok(PendingOp::new(Reading { pem, reader: None, deadline }, deadline))
    })
}

fn file(argument: Argument<'_>) -> Result<(Pem, f64)> {
    let (mut file, mut timeout) = (None, TIMEOUT);
    argument.each_option(|option| {
        match option.name() {
            "file" => file = Some(options::path(option)?),
            "timeout" => timeout = option.seconds()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match file {
        Some(file) => Ok((Pem::File(file), timeout)),
        None => Err(argument.wrong("option 'file' expected")),
    }
}

impl LongOperation for Reading {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        if let Pem::File(path) = &mut self.pem {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                empty => empty.insert(Reader::open(path, "")?),
            };
            let text = ready!(reader.step(path)?);
            self.pem = Pem::Read(std::mem::take(path), text);
        }
        let mut list = Vec::new();
        for entry in entries(self.pem.text()) {
            if self.deadline.has_passed() {
                return Err(Error::timeout(Pending::Certificates { have: list.len() }));
            }
            reserve(&mut list, 1)?;
            list.push(match entry? {
                Ok(facts) => certificate(*facts)?,
                Err(why) => Value::record([("error", why.into())]),
            });
        }
        match list.is_empty() {
            true => Err(none(&self.pem)),
            false => Ok(Step::Done(Value::List(list).into())),
        }
    }

    fn label(&self) -> String {
        String::new()
    }
}

#[cold]
fn none(pem: &Pem) -> Error {
    let source = match pem.path() {
        Some(path) => format!("file '{}'", printable(&path.display().to_string())),
        None => "the text".to_owned(),
    };
    Error::new(Code::Tls, format!("no PEM certificate in {source}"))
}

/// The table of a certificate.
pub fn certificate(facts: Certificate) -> error::Result<Value> {
    let key = facts.public_key;
    Ok(Value::record([
        ("version", facts.version.into()),
        ("subject", name(&facts.subject)?),
        ("issuer", name(&facts.issuer)?),
        ("subject_text", facts.subject_text.into()),
        ("issuer_text", facts.issuer_text.into()),
        ("serial", facts.serial.into()),
        ("not_before", facts.not_before.into()),
        ("not_after", facts.not_after.into()),
        ("dns_names", list(facts.names.dns)?),
        ("ip_addresses", addresses(facts.names.ips)?),
        ("emails", list(facts.names.emails)?),
        ("uris", list(facts.names.uris)?),
        ("signature_algorithm", facts.signature_algorithm.into()),
        (
            "public_key",
            Value::record([
                ("algorithm", key.algorithm.into()),
                ("bits", key.bits.into()),
                ("curve", key.curve.into()),
            ]),
        ),
        ("key_usage", list(facts.key_usage)?),
        ("extended_key_usage", list(facts.extended_key_usage)?),
        ("is_ca", facts.is_ca.map(Value::Boolean).into()),
        ("ocsp_urls", list(facts.access.ocsp_urls)?),
        ("issuer_urls", list(facts.access.issuer_urls)?),
        ("crl_urls", list(facts.crl_urls)?),
        ("fingerprint_sha1", facts.fingerprint_sha1.into()),
        ("fingerprint_sha256", facts.fingerprint_sha256.into()),
        ("public_key_sha256", facts.public_key_sha256.into()),
        ("pem", facts.pem.into()),
    ]))
}

fn addresses(ips: Option<Vec<IpAddr>>) -> error::Result<Value> {
    let Some(ips) = ips else { return Ok(Value::Nil) };
    check(ips.len() * LONGEST_ADDRESS)?;
    list(Some(ips.into_iter().map(|ip| ip.to_string())))
}

fn list<T: Into<Value>>(values: Option<impl IntoIterator<Item = T>>) -> error::Result<Value> {
    let Some(values) = values else { return Ok(Value::Nil) };
    let mut list = Vec::new();
    for value in values {
        reserve(&mut list, 1)?;
        list.push(value.into());
    }
    Ok(Value::List(list))
}

/// A distinguished name by attribute; the values of one that stands there several times are joined.
fn name(attributes: &Attributes) -> error::Result<Value> {
    // A hostile name has tens of thousands of them.
    check(attributes.len() * 128)?;
    let mut places = HashMap::with_capacity(attributes.len());
    let mut joined: Vec<(&str, Vec<u8>)> = Vec::new();
    for (key, value) in attributes {
        let place = *places.entry(&**key).or_insert(joined.len());
        if place == joined.len() {
            reserve(&mut joined, 1)?;
            joined.push((key, Vec::new()));
        } else {
            append(&mut joined[place].1, b", ")?;
        }
        append(&mut joined[place].1, value)?;
    }
    let members = joined.into_iter().map(|(key, text)| (Cow::from(key.to_owned()), text.into()));
    Ok(Value::Record(members.collect()))
}
