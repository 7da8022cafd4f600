//! `resolve`: the addresses of a name. Uses `ffi`, `pending`.

use net::connect::resolve::Resolve;
use net::error;
use net::io::deadline::Deadline;
use net::io::step::Step;
use net::text::{address_text, printable};

use crate::ffi::call::{Call, Result};
use crate::ffi::reply::{Reply, Value};
use crate::options::TIMEOUT;
use crate::pending::{LongOperation, PendingOp};

struct Resolving {
    resolve: Resolve,
    host: String,
}

pub fn resolve(call: &mut Call<'_>) -> Result<Reply> {
    PendingOp::drive(call, || {
        let host = call.host()?;
        let deadline = Deadline::after(call.argument(2).seconds_or(TIMEOUT)?);
        let label = printable(&host);
        let trace = call.host.tracer.of(&label);
        let resolve = Resolve::start(&host, 0, None, trace.as_ref())
            .map_err(|error| error.with_context(call.name(), &label))?;
        Ok(PendingOp::new(Resolving { resolve, host }, deadline))
    })
}

impl LongOperation for Resolving {
    fn step(&mut self) -> error::Result<Step<Reply>> {
        let addresses = self.resolve.step()?;
        Ok(addresses.map(|addresses| Value::list(addresses.iter().map(address_text)).into()))
    }

    fn label(&self) -> String {
        printable(&self.host)
    }
}
