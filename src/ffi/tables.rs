//! Arguments that are tables: options, and lists. Read from Lua's stack; no metamethod runs. Uses
//! `ffi`, `argument`.

use net::text::excerpt;

use super::argument::{Argument, Place, Type};
use super::call::Result;
use super::*;

impl Argument<'_> {
    /// Calls `set` with every option of a table; it returns whether there is such an option.
    pub fn each_option(&self, mut set: impl FnMut(Argument<'_>) -> Result<bool>) -> Result<()> {
        self.each(|key, value| {
            let name = match key.value_type() {
                Type::String => excerpt(key.bytes()?),
                _ => format!("[{}]", key.type_name()),
            };
            let at = match self.at {
                Place::Argument(at) | Place::Option(at, _) => Place::Option(at, &name),
            };
            if !set(Argument { at, ..value })? {
                return Err(self.wrong(format_args!("unknown option '{name}'")));
            }
            Ok(())
        })
    }

    /// Calls `take` with every key and value of a table. No metamethod runs. A hook or a finalizer
    /// may run where a number becomes text, and may remove the key: then there is no next one.
    pub fn each(
        &self,
        mut take: impl FnMut(Argument<'_>, Argument<'_>) -> Result<()>,
    ) -> Result<()> {
        self.check_table()?;
        // SAFETY: the table is at the index; `take` leaves the stack as it was. A key is never
        // changed in place, so that the next one is found. C functions have room for this, within
        // another one of it, too.
        unsafe {
            lua_pushnil(self.state);
            while lua_next(self.state, self.index) != 0 {
                let top = lua_gettop(self.state);
                let (key, value) =
                    (Argument { index: top - 1, ..*self }, Argument { index: top, ..*self });
                take(key, value)?;
                lua_settop(self.state, top - 1);
                lua_pushvalue(self.state, top - 1);
                lua_rawget(self.state, self.index);
                if lua_type(self.state, top) == LUA_TNIL {
                    return Err(self.wrong("changed while it was read"));
                }
                lua_settop(self.state, top - 1);
            }
        }
        Ok(())
    }

    /// Calls `take` with the values of a sequence, until one is nil. No metamethod runs.
    pub fn each_element(&self, mut take: impl FnMut(Argument<'_>) -> Result<()>) -> Result<()> {
        self.check_table()?;
        for number in 1.. {
            let is_there = self.with_element(number, |element| match element.is_absent() {
                true => Ok(false),
                false => take(element).map(|()| true),
            })?;
            if !is_there {
                break;
            }
        }
        Ok(())
    }

    /// The same. False: the table has other keys besides, or values behind one that is nil.
    pub fn each_of_sequence(
        &self,
        mut take: impl FnMut(Argument<'_>) -> Result<()>,
    ) -> Result<bool> {
        let (mut taken, mut count) = (0, 0);
        self.each_element(|element| {
            taken += 1;
            take(element)
        })?;
        self.each(|_, _| {
            count += 1;
            Ok(())
        })?;
        Ok(taken == count)
    }

    /// Calls `act` with one value of a sequence, which must be a table.
    pub fn with_element<R>(
        &self,
        number: usize,
        act: impl FnOnce(Argument<'_>) -> Result<R>,
    ) -> Result<R> {
        // SAFETY: the table is at the index; the stack is left as it was.
        unsafe {
            raw_get_index(self.state, self.index, number as Index);
            let element = Argument { index: lua_gettop(self.state), ..*self };
            let value = act(element)?;
            lua_settop(self.state, element.index - 1);
            Ok(value)
        }
    }
}
