//! What a connection lends to the iterator of `lines`: a block of its buffer, of which the iterator counts what it
//! hands out. An iterator in C (raw/lines.rs) counts in a cell that both have; one in Lua (shim.lua) in a table. The
//! connection takes it back with its next call, and the block is no longer true.

pub use version::Lent;

/// As the first element of a table, which is false where there is no block.
#[cfg(any(feature = "lua51", feature = "luajit"))]
mod version {
    use mlua::{Lua, Table};

    use crate::lua::argument::Argument;
    use crate::lua::call::Result;

    pub struct Lent(Table);

    impl Lent {
        /// A new block, counted in what the argument is.
        pub fn new(_: &Lua, argument: Argument<'_>) -> Result<Self> {
            let table = argument.table()?.clone();
            table.raw_set(1, 0)?;
            Ok(Self(table))
        }

        /// How many bytes were handed out.
        pub fn take_back(&self) -> mlua::Result<usize> {
            let count = self.0.raw_get(1)?;
            self.0.raw_set(1, false)?;
            Ok(count)
        }
    }
}

#[cfg(not(any(feature = "lua51", feature = "luajit")))]
mod version {
    use mlua::Lua;

    use crate::lua::argument::Argument;
    use crate::lua::call::Result;
    use crate::lua::raw::lines::Count;
    use crate::lua::raw::object::Kind;

    pub struct Lent(Count);

    impl Lent {
        /// A new block, counted in what the argument is.
        pub fn new(lua: &Lua, argument: Argument<'_>) -> Result<Self> {
            let userdata = argument.value().as_userdata();
            let userdata = userdata.ok_or_else(|| argument.expected("userdata"))?;
            let slot = Kind::<Count>::of(lua)?.get(lua, userdata)?;
            let count = slot.and_then(|slot| slot.borrow().clone());
            let count = count.ok_or_else(|| argument.expected("count"))?;
            count.set(Some(0));
            Ok(Self(count))
        }

        /// How many bytes were handed out.
        pub fn take_back(&self) -> mlua::Result<usize> {
            Ok(self.0.take().unwrap_or_default())
        }
    }
}
