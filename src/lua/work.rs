//! Work that is not a connection's own and may take longer than the interpreter can be kept waiting:
//! connecting, resolving, upgrading. What is not done at once lives in the token of its call.

use std::mem;

use mlua::Value;

use crate::deadline::Deadline;
use crate::error::{self, Error};
use crate::step::Step;
use crate::transport::tls::Report;
use crate::wait::{Driven, drive, go_on};

use super::call::{Call, Failure, Outcome, Result};

pub trait Work: 'static {
    type Result;

    fn step(&mut self) -> error::Result<Step<Self::Result>>;

    /// Whom messages name.
    fn label(&self) -> &str;

    /// What is known of a peer whose certificate was refused.
    fn report(&self) -> Option<Report> {
        None
    }
}

/// Work under way: the token of its call.
pub struct Underway<T> {
    pub work: T,
    pub deadline: Deadline,
}

impl<T: Work> Underway<T> {
    /// Goes on with the work that an earlier call left, or begins: what it came to and what it was made
    /// with, or the outcome of an interrupt.
    pub fn drive(
        call: &mut Call<'_>,
        begin: impl FnOnce(&Call<'_>) -> Result<Self>,
    ) -> Result<std::result::Result<(T::Result, Self), Outcome>> {
        let place = call.parking.place();
        let driven = match call.token.as_userdata() {
            Some(token) => {
                let mut underway = token.borrow_mut::<Self>()?;
                drive(underway.deadline, place, || underway.work.step())
            }
            None => {
                let mut underway = begin(call)?;
                let wait = match underway.work.step() {
                    // What is done at once needs no token.
                    Ok(Step::Done(value)) => return Ok(Ok((value, underway))),
                    Ok(Step::Wait(wait)) => wait,
                    Err(error) => return Err(underway.failed(call, error)),
                };
                // Before the wait: once a signal has come, nothing may run that its handler would end.
                let token = call.lua.create_any_userdata(underway)?;
                call.token = Value::UserData(token.clone());
                let mut underway = token.borrow_mut::<Self>()?;
                go_on(wait, underway.deadline, place, || underway.work.step())
            }
        };
        let again = |call: &mut Call<'_>, wait| {
            Outcome::Again(mem::replace(&mut call.token, Value::Nil), wait)
        };
        let result = match driven {
            Ok(Driven::Interrupted) => return Ok(Err(again(call, None))),
            Ok(Driven::Parked(wait)) => return Ok(Err(again(call, Some(wait)))),
            Ok(Driven::Done(value)) => Ok(value),
            Err(error) => Err(error),
        };
        // Taken, so that a failure closes what the work has opened now, and not when it is collected.
        let underway: Self = call.token.as_userdata().expect("made above").take()?;
        match result {
            Ok(value) => Ok(Ok((value, underway))),
            Err(error) => Err(underway.failed(call, error)),
        }
    }

    fn failed(&self, call: &Call<'_>, error: Error) -> Failure {
        let error = error.during(call.name(), self.work.label());
        Failure::from(error).reported(|| self.work.report())
    }
}
