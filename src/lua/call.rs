//! One call from Lua: its arguments, its self, and its outcome as the values that the shim understands. Every entry passes through here, which is why
//! no panic and no error object ever reaches a script.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::{Function, Lua, MultiValue, Value};

use net::connect::resolve;
use net::endpoint::Endpoint;
use net::error::{Code, Error};
use net::io::deadline::Deadline;
use net::io::step::{Step, Wait};
use net::io::wait::{Driven, drive};
use net::transport::tls::Report;

use super::argument::{Argument, type_name};
use super::park::{Parked, Parking};
use super::raw::object::{Kind, Slot};
use super::{debug, info, json};
use crate::alloc;

/// What the shim gets: whether it is done (nil: not yet), and up to four values with it.
type Answer = (Option<bool>, Value, Value, Value, Value);

/// How a call ended well.
pub enum Outcome {
    Value(Value),
    Pair(Value, Value),
    /// Success without a value: nil, in `tcp.safe` true.
    Nothing,
    /// To be made again with this token, after a moment or a wait.
    Again(Value, Option<Wait>),
    /// The same, where the wait is prepared for whoever waits.
    Parked(Value, Parked),
}

/// How a call failed.
pub enum Failure {
    Failed(Error),
    /// The same where a peer's certificate was refused: what is known of that peer.
    Refused(Error, Box<Report>),
    /// The script's own mistake, thrown by both modules.
    Argument(String),
    /// From Lua itself, passed on as it is.
    Lua(mlua::Error),
}

impl Failure {
    /// The same failure, with what `report` has to say if it is about a certificate.
    pub fn reported(self, report: impl FnOnce() -> Option<Report>) -> Self {
        match self {
            Self::Failed(error) if error.code() == Code::Certificate => match report() {
                Some(report) => Self::Refused(error, Box::new(report)),
                None => Self::Failed(error),
            },
            other => other,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.is_out_of_memory() { no_memory() } else { Self::Failed(error) }
    }
}

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

impl From<json::Error> for Failure {
    fn from(error: json::Error) -> Self {
        match error {
            json::Error::Invalid(text) => Self::Failed(Error::new(Code::Json, text)),
            json::Error::Memory => no_memory(),
            json::Error::Lua(error) => Self::Lua(error),
        }
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

/// Lua's own words.
const NO_MEMORY: &str = "not enough memory";

fn no_memory() -> Failure {
    Failure::Lua(mlua::Error::MemoryError(NO_MEMORY.into()))
}

pub struct Call<'lua> {
    pub lua: &'lua Lua,
    /// The function's name in messages.
    name: &'static str,
    /// Failures are returned and not thrown.
    pub safe: bool,
    /// What an interrupted call is to go on with; nil the first time.
    pub token: Value,
    pub parking: &'lua Parking,
    arguments: MultiValue,
}

impl<'lua> Call<'lua> {
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether this is the first time that this call is made.
    pub fn is_first(&self) -> bool {
        self.token.is_nil()
    }

    /// When this call must be over: `timeout` seconds from its beginning, however often it is
    /// made again.
    pub fn deadline(&self, timeout: f64) -> Deadline {
        match self.token {
            Value::Number(seconds) => Deadline::at(seconds),
            // Where Lua has one type of numbers, a whole one looks like this.
            Value::Integer(seconds) => Deadline::at(seconds as f64),
            _ => Deadline::after(timeout),
        }
    }

    /// Drives a step until it is done or `deadline`; what is not done yet goes on with the deadline
    /// for its token.
    pub fn drive<T>(
        &self,
        deadline: Deadline,
        step: impl FnMut() -> net::error::Result<Step<T>>,
    ) -> Result<std::result::Result<T, Outcome>> {
        let again = |wait| Err(Outcome::Again(Value::Number(deadline.seconds()), wait));
        Ok(match drive(deadline, self.parking.place(), step)? {
            Driven::Done(value) => Ok(value),
            Driven::Interrupted => again(None),
            Driven::Parked(wait) => again(Some(wait)),
        })
    }

    /// Drives a step that gives nothing.
    pub fn finish(
        &self,
        deadline: Deadline,
        step: impl FnMut() -> net::error::Result<Step<()>>,
    ) -> Result<Outcome> {
        Ok(self.drive(deadline, step)?.map_or_else(|again| again, |()| Outcome::Nothing))
    }

    pub fn string(&self, text: &str) -> Result<Value> {
        Ok(Value::String(self.lua.create_string(text)?))
    }

    /// A new object for the script.
    pub fn object<T: Object>(&self, object: T) -> Result<Outcome> {
        Ok(Outcome::Value(Value::UserData(Kind::of(self.lua)?.create(self.lua, object)?)))
    }

    // Arguments, counted from 1; a method's self is not counted.

    pub fn argument(&self, at: usize) -> Argument<'_> {
        let value = self.arguments.get(at - 1);
        Argument::new(self.lua, self.name, at, value)
    }

    /// The first two arguments, the port from `low` on.
    pub fn endpoint(&self, low: usize) -> Result<Endpoint> {
        let host = resolve::host(&self.argument(1).string()?.as_bytes());
        Ok(Endpoint { host, port: self.argument(2).integer(low, 65535)? as u16 })
    }

    pub fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        (1..=self.arguments.len()).map(|at| self.argument(at))
    }

    /// The self of a method, taken off the arguments.
    fn take_self(&mut self) -> Option<Value> {
        self.arguments.pop_front()
    }
}

/// Does something with the object that `value` is; where it is none, says what is `wrong` with it.
pub fn with<T: Object, R>(
    lua: &Lua,
    value: Option<&Value>,
    wrong: impl FnOnce() -> Failure,
    act: impl FnOnce(&mut T) -> Result<R>,
) -> Result<R> {
    let Some(userdata) = value.and_then(Value::as_userdata) else { return Err(wrong()) };
    let Some(slot) = Kind::<T>::of(lua)?.get(lua, userdata)? else { return Err(wrong()) };
    act_on(slot, |object| act(object.ok_or_else(finalized)?))
}

/// Nothing is in the slot of one that is finalized. One that is borrowed already is in use by a call further down the stack: a finalizer runs in its midst.
fn act_on<T: Object, R>(
    slot: &Slot<T>,
    act: impl FnOnce(Option<&mut T>) -> Result<R>,
) -> Result<R> {
    let Ok(mut object) = slot.try_borrow_mut() else {
        return Err(Error::new(Code::Busy, "another call is using this connection").into());
    };
    if let Some(object) = object.as_mut() {
        object.settle()?;
    }
    act(object.as_mut())
}

fn finalized() -> Failure {
    Error::closed("the collector has closed this object").into()
}

/// What a method does with an object that was finalized: a finalizer that runs later may come across it.
fn on_finalized(call: &Call<'_>) -> Result<Outcome> {
    match call.name {
        "close" => Ok(Outcome::Nothing),
        "is_open" => Ok(Outcome::Value(Value::Boolean(false))),
        "tostring" => Ok(Outcome::Value(call.string("tcp object (closed)")?)),
        name => Err(finalized().during(name, "")),
    }
}

/// A function as the shim calls it.
pub fn function(
    lua: &Lua,
    name: &'static str,
    safe: bool,
    body: fn(&mut Call<'_>) -> Result<Outcome>,
) -> mlua::Result<Function> {
    let parking = Parking::of(lua)?;
    lua.create_function(move |lua, (token, arguments): (Value, MultiValue)| {
        let mut call = Call { lua, name, safe, token, parking: &parking, arguments };
        Ok(answer(&mut call, |call| body(call).map_err(|failure| failure.during(call.name, ""))))
    })
}

/// Something that has methods: a connection.
pub trait Object: 'static {
    /// Its type's name in messages.
    const NAME: &'static str;

    /// Whether its failures are returned and not thrown.
    fn is_safe(&self) -> bool;

    /// Whom its messages name.
    fn label(&self) -> String;

    /// What is known of a peer whose certificate was refused.
    fn report(&mut self) -> Option<Report> {
        None
    }

    /// Takes note of what Lua did with it since the last call.
    fn settle(&mut self) -> mlua::Result<()> {
        Ok(())
    }
}

pub fn method<T: Object>(
    lua: &Lua,
    name: &'static str,
    body: impl Fn(&mut Call<'_>, &mut T) -> Result<Outcome> + 'static,
) -> mlua::Result<Function> {
    let parking = Parking::of(lua)?;
    let kind = Kind::<T>::of(lua)?;
    lua.create_function(move |lua, (token, arguments): (Value, MultiValue)| {
        let mut call = Call { lua, name, safe: false, token, parking: &parking, arguments };
        Ok(answer(&mut call, |call| {
            let this = call.take_self();
            let userdata = this.as_ref().and_then(Value::as_userdata);
            let slot = userdata.map(|userdata| kind.get(lua, userdata)).transpose()?.flatten();
            let Some(slot) = slot else { return Err(wrong_self::<T>(name, this.as_ref())) };
            act_on(slot, |this| {
                let Some(this) = this else { return on_finalized(call) };
                call.safe = this.is_safe();
                body(call, this).map_err(|failure| {
                    failure.during(name, &this.label()).reported(|| this.report())
                })
            })
        }))
    })
}

fn wrong_self<T: Object>(name: &str, got: Option<&Value>) -> Failure {
    let (expected, got) = (T::NAME, type_name(got));
    Failure::Argument(format!("bad argument #1 to '{name}' ({expected} expected, got {got})"))
}

impl Failure {
    /// The same failure, naming what was done to whom.
    pub fn during(self, operation: &'static str, peer: &str) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.during(operation, peer)),
            Self::Refused(error, report) => Self::Refused(error.during(operation, peer), report),
            other => other,
        }
    }
}

/// Runs the body and makes the shim's values of what comes out, a panic included.
fn answer<'lua>(
    call: &mut Call<'lua>,
    body: impl FnOnce(&mut Call<'lua>) -> Result<Outcome>,
) -> Answer {
    let (lua, nil) = (call.lua, Value::Nil);
    let result = catch_unwind(AssertUnwindSafe(|| {
        // A call that gives memory back is let in.
        if call.name != "close" && !alloc::refill() {
            return Err(no_memory());
        }
        let outcome = body(call)?;
        Ok(match outcome {
            Outcome::Again(token, Some(wait)) => {
                Outcome::Parked(token, call.parking.hand_over(wait, false)?)
            }
            other => other,
        })
    }));
    debug::deliver(call);
    match result.unwrap_or_else(|panic| Err(internal(&*panic))) {
        Ok(Outcome::Parked(token, parked)) => {
            let (what, writes, seconds) = parked.values(call.parking);
            (None, token, what, writes, seconds)
        }
        Ok(Outcome::Value(value)) => (Some(true), value, nil, Value::Nil, Value::Nil),
        Ok(Outcome::Pair(first, second)) => (Some(true), first, second, nil, Value::Nil),
        Ok(Outcome::Nothing) => {
            let value = if call.safe { Value::Boolean(true) } else { nil };
            (Some(true), value, Value::Nil, Value::Nil, Value::Nil)
        }
        Ok(Outcome::Again(token, _)) => (None, token, nil, Value::Nil, Value::Nil),
        Err(failure) => {
            debug::note(call, &failure);
            failed(lua, call.safe, failure)
                // What came between, such as a signal, goes first.
                .or_else(|error| failed(lua, call.safe, Failure::Lua(error)))
                // Not even room for words: the shim has them.
                .unwrap_or((Some(false), nil, Value::Nil, Value::Nil, Value::Nil))
        }
    }
}

#[cold]
fn failed(lua: &Lua, safe: bool, failure: Failure) -> mlua::Result<Answer> {
    let string = |text: &str| lua.create_string(text).map(Value::String);
    let nil = Value::Nil;
    let worded = |error: &Error, details: Value| -> mlua::Result<Answer> {
        let how = string(if safe { "return" } else { "throw" })?;
        let message = string(&error.to_string())?;
        Ok((Some(false), how, message, string(error.code().name())?, details))
    };
    Ok(match failure {
        Failure::Failed(error) => {
            let details = error.phase().map(|phase| lua.create_table_from([("phase", phase)]));
            worded(&error, details.transpose()?.map_or(nil, Value::Table))?
        }
        Failure::Refused(error, report) => worded(&error, Value::Table(info::tls(lua, *report)?))?,
        Failure::Argument(text) => (Some(false), string("throw")?, string(&text)?, nil, Value::Nil),
        Failure::Lua(mlua::Error::MemoryError(_)) => {
            (Some(false), string("pass")?, string(NO_MEMORY)?, nil, Value::Nil)
        }
        // A hook's, such as the interpreter's for a signal: its own words.
        Failure::Lua(mlua::Error::RuntimeError(text)) => {
            let words = text.split("\nstack traceback:\n").next().unwrap_or_default();
            (Some(false), string("pass")?, string(words)?, nil, Value::Nil)
        }
        Failure::Lua(error) => {
            (Some(false), string("pass")?, string(&error.to_string())?, nil, Value::Nil)
        }
    })
}

#[cold]
fn internal(panic: &(dyn std::any::Any + Send)) -> Failure {
    let what = panic.downcast_ref::<&str>().copied();
    let what = what.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::Argument(format!("tcp: internal error, please report: {}", what.unwrap_or("panic")))
}
