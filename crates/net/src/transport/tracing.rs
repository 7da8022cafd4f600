//! A transport around another one that writes each read and write to the trace. A connection that
//! is not traced has no such transport. Uses `trace`, `io::step`, `error`.

use std::os::fd::BorrowedFd;

use super::tcp::Tcp;
use super::{Carrier, Origin, Transport, tls};
use crate::error::Result;
use crate::io::step::Step;
use crate::trace::Trace;

/// `tally` is the last field, so that its line comes after `inner` has closed.
struct Traced {
    inner: Box<dyn Transport>,
    tally: Tally,
}

/// Counts the bytes, and writes the trace's last line. It writes none if another transport takes
/// over the socket.
struct Tally {
    trace: Trace,
    read: u64,
    written: u64,
    goes_on: bool,
}

/// Wraps the transport if there is a trace.
pub fn traced(inner: Box<dyn Transport>, trace: Option<Trace>) -> Box<dyn Transport> {
    match trace {
        Some(trace) => {
            Box::new(Traced { inner, tally: Tally { trace, read: 0, written: 0, goes_on: false } })
        }
        None => inner,
    }
}

impl Traced {
    fn trace_failure<T>(&self, what: &str, result: Result<T>) -> Result<T> {
        result.inspect_err(|error| {
            self.tally.trace.note(format_args!("{what}: failed: {}", error.reason()));
        })
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Self { trace, read, written, goes_on } = self;
        if !*goes_on {
            trace.end(format_args!("close: {read} bytes read, {written} written"));
        }
    }
}

impl Transport for Traced {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        let filled = into.len();
        let result = self.inner.read(into);
        let step = self.trace_failure("read", result)?;
        match step {
            Step::Done(0) => self.tally.trace.note("read: end of stream"),
            Step::Done(count) => {
                self.tally.read += count as u64;
                self.tally.trace.payload(format_args!("read: {count} bytes"), &into[filled..]);
            }
            Step::Wait(_) => {}
        }
        Ok(step)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        let result = self.inner.write(bytes);
        let step = self.trace_failure("write", result)?;
        if let Step::Done(count) = step {
            self.tally.written += count as u64;
            let (size, taken) = (bytes.len(), &bytes[..count]);
            if count == size {
                self.tally.trace.payload(format_args!("write: {count} bytes"), taken);
            } else {
                self.tally.trace.payload(format_args!("write: {count} of {size} bytes"), taken);
            }
        }
        Ok(step)
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        let result = self.inner.shutdown();
        let step = self.trace_failure("shutdown", result)?;
        if let Step::Done(()) = step {
            self.tally.trace.note("shutdown: nothing more is sent");
        }
        Ok(step)
    }

    fn peek(&mut self) -> Result<Step<usize>> {
        let result = self.inner.peek();
        self.trace_failure("read", result)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd()
    }

    fn pending(&self) -> usize {
        self.inner.pending()
    }

    fn has_unseen(&self) -> bool {
        self.inner.has_unseen()
    }

    fn has_begun(&self) -> bool {
        self.inner.has_begun()
    }

    fn step_header(&mut self) -> Result<Step<()>> {
        self.inner.step_header()
    }

    fn origin(&self) -> Origin {
        self.inner.origin()
    }

    fn into_carrier(mut self: Box<Self>) -> Option<Carrier> {
        self.tally.goes_on = true;
        self.inner.into_carrier()
    }

    fn has_records(&self) -> bool {
        self.inner.has_records()
    }

    fn as_tcp(&mut self) -> Option<&mut Tcp> {
        self.inner.as_tcp()
    }

    fn as_tls(&mut self) -> Option<&mut tls::Tls> {
        self.inner.as_tls()
    }

    fn trace(&self) -> Option<&Trace> {
        Some(&self.tally.trace)
    }
}
