//! `info()`: a fresh table of what a monitoring script wants to know. Uses `ffi`.

use std::rc::Rc;

use net::connect::proxy::ProxyFacts;
use net::connect::starttls::{Outcome, Transcript};
use net::endpoint::{Address, Name};
use net::error::{self, Attempt, Copied, CopySide, Error};
use net::io::tcp_info::{self, TcpInfo};
use net::memory::copy;
use net::text::address_text;
use net::transport::tls::{Ocsp, Report};
use net::unix::credentials::Credentials;

use super::certificates::certificate;
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
        ("tls", report.as_deref().map(tls).transpose()?.into()),
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
        Some(Ok(Value::Record(members))) => members,
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
pub fn tls(report: &Report) -> error::Result<Value> {
    if report.is_pending {
        return Ok(Value::record([("server_name", report.server_name.clone().into())]));
    }
    let described = report.describe(|facts| Ok(Rc::new(certificate(facts)?)))?;
    let chain = |chain: Vec<Rc<Value>>| Value::list(chain.into_iter().map(Value::Shared));
    let failure = report.failure.as_ref();
    Ok(Value::record([
        ("version", report.version.into()),
        ("cipher", report.cipher.into()),
        ("group", report.group.clone().into()),
        ("signature_algorithm", report.signature_algorithm.clone().into()),
        ("alpn", report.alpn.clone().into()),
        ("resumed", report.resumed.into()),
        ("server_name", report.server_name.clone().into()),
        ("verified", report.verified.into()),
        ("verify_error", failure.map(|failure| failure.words.clone()).into()),
        ("verify_code", report.verify_code().map(i64::from).into()),
        ("verify_depth", failure.map(|failure| i64::from(failure.depth)).into()),
        ("expires", report.expires().into()),
        ("ocsp", report.ocsp.as_ref().map(ocsp).into()),
        ("psk_identity", report.psk_identity.clone().into()),
        ("certificate", described.chain.first().cloned().map(Value::Shared).into()),
        ("chain", chain(described.chain)),
        ("verified_chain", described.verified_chain.map(chain).into()),
        ("client_certificate_requested", report.client_certificate_requested.into()),
        ("acceptable_issuers", report.acceptable_issuers.clone().map(Value::list).into()),
    ]))
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
