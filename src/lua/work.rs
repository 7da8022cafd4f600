//! Work that is not a connection's own and may take longer than the interpreter can be kept waiting:
//! connecting, resolving, upgrading. It lives in the token of its call.

use std::mem;

use mlua::Value;

use crate::deadline::Deadline;
use crate::error;
use crate::step::Step;
use crate::transport::tls::Report;
use crate::wait::{Driven, drive};

use super::call::{Call, Failure, Outcome, Result};

pub trait Work: 'static {
    type Result;

    fn step(&mut self) -> error::Result<Step<Self::Result>>;

    /// What is known of a peer whose certificate was refused.
    fn report(&self) -> Option<Report> {
        None
    }
}

/// Work under way: the token of its call.
pub struct Underway<T> {
    pub work: T,
    pub deadline: Deadline,
    /// Whom messages name.
    pub label: String,
}

impl<T: Work> Underway<T> {
    /// Goes on with the work that an earlier call left, or begins: what it came to and what it was made
    /// with, or the outcome of an interrupt.
    pub fn drive(
        call: &mut Call<'_>,
        begin: impl FnOnce(&Call<'_>) -> Result<Self>,
    ) -> Result<std::result::Result<(T::Result, Self), Outcome>> {
        // Before the wait: once a signal has come, nothing may run that its handler would end.
        if call.token.as_userdata().is_none() {
            call.token = Value::UserData(call.lua.create_any_userdata(begin(call)?)?);
        }
        let token = call.token.as_userdata().expect("made above");
        let driven = {
            let mut underway = token.borrow_mut::<Self>()?;
            drive(underway.deadline, call.parking.place(), || underway.work.step())
        };
        let result = match driven {
            Ok(Driven::Interrupted) => {
                return Ok(Err(Outcome::Again(mem::replace(&mut call.token, Value::Nil), None)));
            }
            Ok(Driven::Parked(wait)) => {
                return Ok(Err(Outcome::Again(
                    mem::replace(&mut call.token, Value::Nil),
                    Some(wait),
                )));
            }
            Ok(Driven::Done(value)) => Ok(value),
            Err(error) => Err(error),
        };
        // Taken, so that a failure closes what the work has opened now, and not when it is collected.
        let underway: Self = token.take()?;
        match result {
            Ok(value) => Ok(Ok((value, underway))),
            Err(error) => {
                let error = error.during(call.name(), &underway.label);
                Err(Failure::from(error).reported(|| underway.work.report()))
            }
        }
    }
}
