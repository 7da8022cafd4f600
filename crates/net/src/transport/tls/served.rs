//! The TLS of a listener, whose files can be read again while it listens. Connections that it has
//! begun keep what was in force. Uses `setup`, `transport::carrier`, `io::step`, `trace`, `error`.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::setup::{Config, Setup};
use super::stream::Tls;
use crate::error::{Error, Result};
use crate::io::step::{Step, ready};
use crate::trace::Trace;
use crate::transport::Carrier;

/// The TLS of a listener.
pub struct Served(Rc<RefCell<Config>>);

impl Served {
    pub fn new(config: Config) -> Self {
        Self(Rc::new(RefCell::new(config)))
    }

    /// A connection whose handshake is to be made.
    pub fn begin(&self, carrier: Carrier, trace: Option<&Trace>) -> Result<Tls> {
        self.0.borrow().begin(carrier, trace)
    }

    /// Begins to read its files again.
    pub fn reload(&self) -> Result<Reload> {
        let setup = self.0.borrow().setup_again()?;
        Ok(Reload { setup, served: Rc::downgrade(&self.0) })
    }
}

/// Files that are being read again. Nothing changes before all of them are read and good.
pub struct Reload {
    setup: Setup,
    served: Weak<RefCell<Config>>,
}

impl Reload {
    pub fn step(&mut self) -> Result<Step<()>> {
        let config = ready!(self.setup.step()?);
        let closed = || Error::closed("this listener was closed by the script");
        self.served.upgrade().ok_or_else(closed)?.replace(config);
        Ok(Step::Done(()))
    }
}
