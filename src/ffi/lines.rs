//! Blocks of whole lines, which a connection lends to the iterator of `lines`. The iterator counts
//! the bytes that it has returned, and the connection's next call consumes them. From Lua 5.2 on
//! the iterator is a C function, which is faster than one in Lua, and the connection keeps the
//! count. Lua 5.1 could not yield through it, and LuaJIT compiles the one in Lua (lua/shim.lua),
//! which keeps the count in a table. Uses `ffi`, `connection`.

pub use version::{push_block, take_back};

#[cfg(any(feature = "lua51", feature = "luajit"))]
mod version {
    use mlua::ffi::{lua_getfenv, lua_setfenv};

    use super::super::*;
    use crate::connection::Connection;
    use crate::line_block::LineBlock;

    // In the iterator's table: how many bytes of the block are handed out, false where there is
    // none; the block, false where it was taken back.
    const TAKEN: c_int = 1;
    const HELD: c_int = 2;

    /// Pushes a block, and puts it into the iterator's table, which is at `argument`. None if Lua
    /// raises.
    ///
    /// # Safety
    /// As for `protected`; the connection is at `index`.
    pub unsafe fn push_block(
        state: *mut lua_State,
        index: c_int,
        argument: c_int,
        block: &[u8],
    ) -> Option<LineBlock> {
        // SAFETY: the caller's. The table is slot 1 of the protected call; `lines` has checked that
        // it is one. The block is true once nothing can raise any more: to replace a value takes no
        // memory.
        unsafe {
            let is_pushed = protected(state, argument, 1, |state| {
                push_bytes(state, block);
                lua_pushvalue(state, -1);
                raw_set_index(state, 1, HELD);
                lua_pushboolean(state, 0);
                raw_set_index(state, 1, TAKEN);
                1
            });
            if !is_pushed {
                return None;
            }
            lua_pushvalue(state, argument);
            push_integer(state, 0);
            raw_set_index(state, -2, TAKEN);
            lua_setfenv(state, index);
            Some(LineBlock::new(bytes_at(state, -1)))
        }
    }

    /// Takes off the buffer what the iterator has handed out; the block is no longer true.
    ///
    /// # Safety
    /// In a C function with three free slots; the connection is at `index`.
    pub unsafe fn take_back(state: *mut lua_State, index: c_int, connection: &mut Connection) {
        let Some(lent) = connection.lent.take() else { return };
        // SAFETY: the caller's. To replace a value in a table takes no memory.
        let taken = unsafe {
            lua_getfenv(state, index);
            raw_get_index(state, -1, TAKEN);
            let taken = whole_at(state, -1);
            if taken.is_some() {
                for field in [TAKEN, HELD] {
                    lua_pushboolean(state, 0);
                    raw_set_index(state, -3, field);
                }
            }
            lua_pop(state, 2);
            taken.unwrap_or(0)
        };
        connection.consume(lent.at_most(usize::try_from(taken).unwrap_or(0)));
    }
}

#[cfg(not(any(feature = "lua51", feature = "luajit")))]
pub use version::function;

#[cfg(not(any(feature = "lua51", feature = "luajit")))]
mod version {
    use std::ffi::c_int;

    use mlua::{Function, Lua, ffi};

    use super::super::object::{Kind, UserdataCell};
    use super::super::*;
    use crate::connection::Connection;
    use crate::line_block::LineBlock;

    // Upvalues: the function that gives the next block, the connection, and the block.
    const REFILL: c_int = 1;
    const CONNECTION: c_int = 2;
    const BLOCK: c_int = 3;

    /// Pushes a block. None if Lua raises.
    ///
    /// # Safety
    /// As for `protected`.
    pub unsafe fn push_block(
        state: *mut lua_State,
        index: c_int,
        _: c_int,
        block: &[u8],
    ) -> Option<LineBlock> {
        // SAFETY: the caller's.
        unsafe {
            let is_pushed = protected(state, index, 1, |state| {
                push_bytes(state, block);
                1
            });
            is_pushed.then(|| LineBlock::new(bytes_at(state, -1)))
        }
    }

    /// Takes off the buffer what the iterator has handed out; the block is no longer true.
    ///
    /// # Safety
    /// None: for the other version's sake.
    pub unsafe fn take_back(_: *mut lua_State, _: c_int, connection: &mut Connection) {
        if let Some(lent) = connection.lent.take() {
            connection.consume(lent.taken());
        }
    }

    /// `lines(refill, connection)`: the iterator.
    pub fn function(lua: &Lua, kind: Kind<Connection>) -> mlua::Result<Function> {
        // SAFETY: nothing is captured; the kind is the function's upvalue.
        unsafe { lua.exec_raw(kind.to_value(), |state| lua_pushcclosure(state, lines, 1)) }
    }

    unsafe extern "C-unwind" fn lines(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls this, with the kind for upvalue, and nothing is owned where Lua may
        // raise.
        unsafe {
            lua_settop(state, CONNECTION);
            if Kind::<Connection>::from_upvalue(state, 1).at(state, CONNECTION).is_none() {
                return 0; // the shim has looked
            }
            push_bytes(state, b"");
            lua_pushcclosure(state, next, BLOCK);
            1
        }
    }

    unsafe extern "C-unwind" fn next(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls this, with the upvalues as `lines` made them; nothing is owned.
        unsafe { if cut(state) { 1 } else { refill(state) } }
    }

    /// The first line of the next block.
    unsafe fn refill(state: *mut lua_State) -> c_int {
        // SAFETY: as in `next`.
        unsafe {
            lua_settop(state, 0);
            lua_pushvalue(state, lua_upvalueindex(REFILL));
            ffi::lua_callk(state, 0, 1, 0, Some(go_on));
            refilled(state)
        }
    }

    /// After a wait in `refill`.
    #[cfg(not(feature = "lua52"))]
    unsafe extern "C-unwind" fn go_on(
        state: *mut lua_State,
        _: c_int,
        _: ffi::lua_KContext,
    ) -> c_int {
        // SAFETY: as in `next`.
        unsafe { refilled(state) }
    }

    #[cfg(feature = "lua52")]
    unsafe extern "C-unwind" fn go_on(state: *mut lua_State) -> c_int {
        // SAFETY: as in `next`.
        unsafe { refilled(state) }
    }

    /// With the next block on the stack, or nil.
    unsafe fn refilled(state: *mut lua_State) -> c_int {
        // SAFETY: as in `next`.
        unsafe {
            if lua_type(state, -1) != LUA_TSTRING {
                return 1;
            }
            lua_pushvalue(state, -1);
            lua_replace(state, lua_upvalueindex(BLOCK));
            if !cut(state) {
                // The last line, which has no end.
                let block = bytes_at(state, -1);
                if !on_block(state, |lent| lent.hand_out(block, 0, block.len())) {
                    return refill(state);
                }
            }
            1
        }
    }

    /// Pushes the block's next line, without its `\n` or `\r\n`, and counts it, if there is one.
    unsafe fn cut(state: *mut lua_State) -> bool {
        // SAFETY: as in `next`; the block stays in its upvalue. Nothing is borrowed while the line
        // is pushed: memory may be collected for it, and a finalizer may read this connection.
        unsafe {
            let mut found = None;
            let block = bytes_at(state, lua_upvalueindex(BLOCK));
            on_block(state, |lent| {
                found = lent.next_line(block);
                found.is_some()
            });
            let Some((from, to, next)) = found else { return false };
            push_bytes(state, &block[from..to]);
            on_block(state, |lent| lent.hand_out(block, from, next))
        }
    }

    /// Calls `act` with the block that the connection has lent; false if it has lent none.
    unsafe fn on_block(state: *mut lua_State, act: impl FnOnce(&mut LineBlock) -> bool) -> bool {
        // SAFETY: as in `next`; `lines` has seen that the upvalue is a connection, which stays
        // there.
        unsafe {
            let slot = lua_touserdata(state, lua_upvalueindex(CONNECTION));
            let Ok(mut connection) = (*slot.cast::<UserdataCell<Connection>>()).try_borrow_mut()
            else {
                return false;
            };
            connection.as_mut().and_then(|connection| connection.lent.as_mut()).is_some_and(act)
        }
    }
}
