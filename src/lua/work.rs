//! Work that is not a connection's own and may take longer than the interpreter can be kept waiting:
//! connecting, resolving, upgrading. What is not done at once lives in the token of its call.

use mlua::Value;

use net::error::{self, Error};
use net::io::deadline::Deadline;
use net::io::step::{Step, Wait};
use net::io::wait::{Driven, Place, drive, go_on};
use net::transport::tls::Report;

use super::call::{Call, Failure, Outcome, Result};
use super::raw::object::Kind;

pub trait Work: 'static {
    type Result;

    fn step(&mut self) -> error::Result<Step<Self::Result>>;

    /// Whom messages name.
    fn label(&self) -> String;

    /// What is known of a peer whose certificate was refused.
    fn report(&self) -> Option<Report> {
        None
    }
}

/// Work under way: the token of its call.
pub struct Underway<T> {
    pub work: T,
    deadline: Deadline,
    /// What its first step came to, where the call is yet to go on from there.
    first: Option<error::Result<Wait>>,
}

impl<T: Work> Underway<T> {
    pub fn new(work: T, deadline: Deadline) -> Self {
        Self { work, deadline, first: None }
    }

    /// The first step: what it gives, if that is all that is to do. If not, `drive` goes on from there.
    pub fn first_step(&mut self) -> Option<T::Result> {
        self.first = match self.work.step() {
            Ok(Step::Done(value)) => return Some(value),
            Ok(Step::Wait(wait)) => Some(Ok(wait)),
            Err(error) => Some(Err(error)),
        };
        None
    }

    /// Goes on with the work that an earlier call left, or begins what `make` gives: what it came to and what
    /// it was made with, or the outcome of an interrupt.
    pub fn drive(
        call: &Call<'_>,
        make: impl FnOnce(&Call<'_>) -> Result<Self>,
    ) -> Result<std::result::Result<(T::Result, Self), Outcome>> {
        let kind = Kind::<Self>::of(call.lua)?;
        let token = match call.token.as_userdata() {
            Some(token) => token.clone(),
            None => {
                let mut underway = make(call)?;
                // What is done at once needs no token.
                if let Some(value) = underway.first_step() {
                    return Ok(Ok((value, underway)));
                }
                // Before the wait: once a signal has come, nothing may run that its handler would end.
                kind.create(call.lua, underway)?
            }
        };
        let slot = kind.get(call.lua, &token)?.ok_or(mlua::Error::UserDataTypeMismatch)?;
        let Some(mut underway) = slot.take() else {
            return Err(mlua::Error::UserDataDestructed.into());
        };
        let wait = match underway.go_on(call.parking.place()) {
            Ok(Driven::Done(value)) => return Ok(Ok((value, underway))),
            // A failure closes what the work has opened now, and not when it is collected.
            Err(error) => return Err(underway.failed(call, error)),
            Ok(Driven::Interrupted) => None,
            Ok(Driven::Parked(wait)) => Some(wait),
        };
        slot.replace(Some(underway));
        Ok(Err(Outcome::Again(Value::UserData(token), wait)))
    }

    fn go_on(&mut self, place: Place) -> error::Result<Driven<T::Result>> {
        let step = || self.work.step();
        match self.first.take() {
            Some(first) => go_on(first?, self.deadline, place, step),
            None => drive(self.deadline, place, step),
        }
    }

    fn failed(&self, call: &Call<'_>, error: Error) -> Failure {
        let error = error.during(call.name(), self.work.label());
        Failure::from(error).reported(|| self.work.report())
    }
}
