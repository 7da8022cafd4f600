//! The objects that scripts hold, as userdata of our own: mlua's cannot be reached from a C function. One that
//! the collector has finalized is empty, and stays so whoever still comes across it. Uses `raw`.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::{AnyUserData, Function, LightUserData, Lua, Table, Value, ffi};

use super::*;

/// What a userdata holds: nothing once it is finalized.
pub type Slot<T> = RefCell<Option<T>>;

/// The userdata of one Lua state that hold a `T`: those with this metatable.
pub struct Kind<T> {
    metatable: *const c_void,
    holds: PhantomData<fn() -> T>,
}

impl<T> Clone for Kind<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Kind<T> {}

impl<T: 'static> Kind<T> {
    /// The state's own, made for the first that asks.
    pub fn of(lua: &Lua) -> mlua::Result<Self> {
        if let Some(kind) = lua.app_data_ref::<Self>() {
            return Ok(*kind);
        }
        let metatable = lua.create_table()?;
        // SAFETY: nothing is captured.
        let collect: Function =
            unsafe { lua.exec_raw((), |state| lua_pushcclosure(state, collect::<T>, 0)) }?;
        metatable.raw_set("__gc", collect)?;
        metatable.raw_set("__metatable", false)?;
        let kind = Self { metatable: metatable.to_pointer(), holds: PhantomData };
        // SAFETY: only a pointer is captured; the metatable is the function's argument.
        unsafe {
            lua.exec_raw::<()>(metatable, |state| {
                lua_pushlightuserdata(state, kind.metatable.cast_mut());
                lua_insert(state, 1);
                lua_rawset(state, LUA_REGISTRYINDEX);
            })
        }?;
        lua.set_app_data(kind);
        Ok(kind)
    }

    pub fn metatable(self, lua: &Lua) -> mlua::Result<Table> {
        // SAFETY: only a pointer is captured.
        unsafe { lua.exec_raw((), |state| self.push_metatable(state)) }
    }

    /// # Safety
    /// `state` is of the state that this kind is of, with a free slot.
    unsafe fn push_metatable(self, state: *mut lua_State) {
        // SAFETY: the caller's. The registry has it since `of`.
        unsafe {
            lua_pushlightuserdata(state, self.metatable.cast_mut());
            lua_rawget(state, LUA_REGISTRYINDEX);
        }
    }

    /// A userdata that holds `object`.
    pub fn create(self, lua: &Lua, object: T) -> mlua::Result<AnyUserData> {
        // SAFETY: nothing is captured but `self`.
        let userdata = unsafe {
            lua.exec_raw((), |state| {
                self.push_empty(state);
            })
        }?;
        let slot = self.get(lua, &userdata)?;
        slot.expect("made above").replace(Some(object));
        Ok(userdata)
    }

    /// Pushes a userdata whose slot is still to be filled.
    ///
    /// # Safety
    /// As for `push_metatable`, with two free slots; the userdata stays on the stack as long as the reference lives.
    pub unsafe fn push_empty<'a>(self, state: *mut lua_State) -> &'a Slot<T> {
        // What Lua aligns each block to.
        const { assert!(align_of::<Slot<T>>() <= align_of::<f64>()) };
        // SAFETY: the caller's. The block is a `Slot` before it gets the metatable that says so.
        unsafe {
            let block = ffi::lua_newuserdata(state, size_of::<Slot<T>>()).cast::<Slot<T>>();
            block.write(RefCell::new(None));
            self.push_metatable(state);
            lua_setmetatable(state, -2);
            &*block
        }
    }

    /// For an upvalue of a C function.
    pub fn to_value(self) -> Value {
        Value::LightUserData(LightUserData(self.metatable.cast_mut()))
    }

    /// # Safety
    /// `pointer` is `to_value`'s, of the same `T`.
    pub unsafe fn from_pointer(pointer: *const c_void) -> Self {
        Self { metatable: pointer, holds: PhantomData }
    }

    /// What `userdata` holds, if it is of this kind.
    pub fn get<'a>(
        self,
        lua: &Lua,
        userdata: &'a AnyUserData,
    ) -> mlua::Result<Option<&'a Slot<T>>> {
        let mut slot = None;
        // SAFETY: only `Copy` values are captured. The slot lives as long as the userdata, to which the
        // reference is bound.
        unsafe { lua.exec_raw::<()>(userdata, |state| slot = self.at(state, 1)) }?;
        Ok(slot)
    }

    /// What the value at `index` holds, if it is a userdata of this kind.
    ///
    /// # Safety
    /// As for `push_metatable`; the value stays on the stack as long as the reference lives.
    pub unsafe fn at<'a>(self, state: *mut lua_State, index: c_int) -> Option<&'a Slot<T>> {
        // SAFETY: the caller's. A userdata with this metatable is of `push_empty`.
        unsafe {
            let block = lua_touserdata(state, index);
            if block.is_null() || lua_getmetatable(state, index) == 0 {
                return None;
            }
            let is_ours = lua_topointer(state, -1) == self.metatable;
            lua_pop(state, 1);
            is_ours.then(|| &*block.cast::<Slot<T>>())
        }
    }
}

/// `__gc`: the object goes, the empty slot needs no more.
unsafe extern "C-unwind" fn collect<T>(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with what `push_empty` made; scripts cannot reach it.
    let slot = unsafe { &*lua_touserdata(state, 1).cast::<Slot<T>>() };
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if let Ok(mut object) = slot.try_borrow_mut() {
            *object = None;
        }
    }));
    0
}
