//! `info()`: a fresh table of what a monitoring script wants to know. Uses `ffi`.

use std::borrow::Cow;

use net::connect::proxy::ProxyFacts;
use net::connect::starttls::{Outcome, Transcript};
use net::endpoint::{Address, Name};
use net::error::{Attempt, Copied, CopySide, Error};
use net::io::tcp_info::{self, TcpInfo};
use net::memory::copy;
use net::text::address_text;
use net::transport::tls::{Certificate, Chain, Ocsp, Report};
use net::unix::credentials::Credentials;

use crate::connection::{Connection, Facts};
use crate::ffi::call::{Call, Result};
use crate::ffi::reply::{Reply, Value};
use crate::listener::Listener;

pub fn connection(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let Facts { traffic, report, .. } = this.facts();
    let kernel = this.stream().ok().and_then(|stream| tcp_info::read(stream.fd()));
    let (phases, credentials) = (this.timings, this.addresses.credentials);
    let other = |end: &Address| address(end, credentials);
    Ok(Value::record([
        ("host", this.name().as_ref().map(host).into()),
        ("peer", this.peer().as_ref().map(other).into()),
        ("via", this.via.as_deref().map(other).into()),
        ("sock", address(&this.addresses.local, None)),
        ("proxy", this.proxy.as_deref().map(proxy).into()),
        (
            "timings",
            Value::record([
                ("dns", phases.dns.into()),
                ("connect", phases.connect.into()),
                ("proxy", phases.proxy.into()),
                ("starttls", phases.starttls.into()),
                ("tls", phases.tls.into()),
                ("total", phases.total().into()),
                ("first_byte", traffic.first_byte.into()),
            ]),
        ),
        ("bytes_read", (traffic.read as i64).into()),
        ("bytes_written", (traffic.written as i64).into()),
        ("starttls", this.starttls.as_deref().map(starttls).transpose()?.into()),
        ("tls", report.as_deref().map(tls).into()),
        ("tcp", kernel.as_ref().map(tcp).into()),
    ])
    .into())
}

fn proxy(facts: &ProxyFacts) -> Value {
    Value::record([
        ("host", facts.endpoint.host.clone().into()),
        ("port", i64::from(facts.endpoint.port).into()),
        ("kind", facts.kind.name().into()),
    ])
}

/// What a server has said before its handshake.
fn starttls(outcome: &Outcome) -> Result<Value> {
    let Transcript { greeting, capabilities } = &outcome.transcript;
    Ok(Value::record([
        ("protocol", outcome.protocol.name().into()),
        ("greeting", copy(greeting)?.into()),
        ("capabilities", copy(capabilities)?.into()),
    ]))
}

pub fn listener(_: &mut Call<'_>, this: &mut Listener) -> Result<Reply> {
    this.socket()?;
    Ok(Value::record([("host", host(&this.config.name)), ("sock", address(&this.local, None))])
        .into())
}

fn host(name: &Name) -> Value {
    name.host().map(str::to_owned).into()
}

/// One end, with who is there, where the system tells.
fn address(address: &Address, credentials: Option<Credentials>) -> Value {
    let number = |id: Option<u32>| Value::from(id.map(i64::from));
    match address {
        Address::Inet(address) => Value::record([
            ("ip", address.ip().to_string().into()),
            ("port", i64::from(address.port()).into()),
        ]),
        Address::Unix(address) => Value::record([
            ("path", address.text().into()),
            ("pid", number(credentials.and_then(|peer| peer.pid))),
            ("uid", number(credentials.map(|peer| peer.uid))),
            ("gid", number(credentials.map(|peer| peer.gid))),
        ]),
    }
}

/// What the kernel tells of a connection.
fn tcp(info: &TcpInfo) -> Value {
    let count = |count: Option<u32>| Value::from(count.map(i64::from));
    Value::record([
        ("state", info.state.into()),
        ("rtt", info.rtt.into()),
        ("rtt_variance", info.rtt_variance.into()),
        ("min_rtt", info.min_rtt.into()),
        ("retransmits", count(info.retransmits)),
        ("lost", count(info.lost)),
        ("congestion_window", count(info.congestion_window)),
        ("mss", count(info.mss)),
        ("path_mtu", count(info.path_mtu)),
        ("delivery_rate", info.delivery_rate.map(|rate| rate as i64).into()),
    ])
}

/// What there is to know of a failure besides its message and code; of one in TLS, with a report.
pub fn details(error: &Error, report: Option<&Report>) -> Value {
    let mut details = match report.map(tls) {
        Some(Value::Record(members)) => members,
        _ => Vec::new(),
    };
    details.push(("phase".into(), error.phase().into()));
    details.push(("attempts".into(), error.attempts().map(attempts).into()));
    if let Some(Copied { side, bytes }) = error.copied() {
        let side = match side {
            CopySide::Read => "read",
            CopySide::Write => "write",
        };
        details.push(("side".into(), side.into()));
        details.push(("bytes".into(), (bytes as i64).into()));
    }
    if let Some(alert) = error.alert() {
        details.push(("alert".into(), alert.name().into()));
        details.push(("alert_number".into(), i64::from(alert.number).into()));
        details.push(("from".into(), if alert.is_peers { "peer" } else { "here" }.into()));
    }
    match details.iter().all(|(_, value)| matches!(value, Value::Nil)) {
        true => Value::Nil,
        false => Value::Record(details),
    }
}

/// The addresses that a connect has tried.
fn attempts(attempts: &[Attempt]) -> Value {
    Value::list(attempts.iter().map(|attempt| {
        Value::record([
            ("ip", address_text(&attempt.address).into()),
            ("code", attempt.code.name().into()),
            ("seconds", attempt.seconds.into()),
        ])
    }))
}

/// What a handshake came to, also one that failed.
pub fn tls(report: &Report) -> Value {
    Value::record([
        ("version", report.version.into()),
        ("cipher", report.cipher.into()),
        ("alpn", report.alpn.clone().into()),
        ("resumed", report.resumed.into()),
        ("server_name", report.server_name.clone().into()),
        ("verified", report.verified.into()),
        ("verify_error", report.verify_error.clone().into()),
        ("ocsp", report.ocsp.as_ref().map(ocsp).into()),
        ("psk_identity", report.psk_identity.clone().into()),
        ("certificate", report.chain.certificates().next().as_ref().map(certificate).into()),
        ("chain", certificates(&report.chain)),
        ("verified_chain", report.verified_chain.as_ref().map(certificates).into()),
    ])
}

/// What a stapled response says.
fn ocsp(response: &Ocsp) -> Value {
    Value::record([
        ("status", response.status.into()),
        ("this_update", response.this_update.into()),
        ("next_update", response.next_update.into()),
        ("revoked_at", response.revoked_at.into()),
        ("error", response.error.clone().into()),
    ])
}

fn certificates(chain: &Chain) -> Value {
    Value::list(chain.certificates().map(|each| certificate(&each)))
}

fn certificate(facts: &Certificate) -> Value {
    Value::record([
        ("subject", name(&facts.subject)),
        ("issuer", name(&facts.issuer)),
        ("serial", facts.serial.clone().into()),
        ("not_before", facts.not_before.into()),
        ("not_after", facts.not_after.into()),
        ("dns_names", Value::list(facts.dns_names.iter().cloned())),
        ("ip_addresses", Value::list(facts.ip_addresses.iter().cloned())),
        ("fingerprint_sha256", facts.fingerprint_sha256.clone().into()),
        ("public_key_sha256", facts.public_key_sha256.clone().into()),
        ("pem", facts.pem.clone().into()),
    ])
}

/// A distinguished name by attribute; the values of one that stands there several times are joined.
fn name(attributes: &[(String, String)]) -> Value {
    let mut joined: Vec<(&str, String)> = Vec::new();
    for (key, value) in attributes {
        match joined.iter_mut().find(|(other, _)| other == key) {
            Some((_, before)) => *before = format!("{before}, {value}"),
            None => joined.push((key, value.clone())),
        }
    }
    let members = joined.into_iter().map(|(key, text)| (Cow::from(key.to_owned()), text.into()));
    Value::Record(members.collect())
}
