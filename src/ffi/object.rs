//! The objects that scripts hold, as userdata. One that the collector has finalized is empty; a
//! finalizer that runs later may still reach it. Uses `ffi`.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::{AnyUserData, LightUserData, Lua, Table, ffi};

use super::*;

/// How many objects were finalized, in all Lua states. While it stays the same, none is freed.
static FINALIZED: AtomicUsize = AtomicUsize::new(0);

pub fn count_finalized() -> usize {
    FINALIZED.load(Ordering::Relaxed)
}

/// What a userdata holds: nothing once it is finalized.
pub type UserdataCell<T> = RefCell<Option<T>>;

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
    /// A new kind, whose metatable stays in the registry.
    pub fn new(lua: &Lua) -> mlua::Result<Self> {
        let metatable = lua.create_table()?;
        let kind = Self { metatable: metatable.to_pointer(), holds: PhantomData };
        let pointer = LightUserData(kind.metatable.cast_mut());
        // SAFETY: nothing is captured; the pointer is the function's upvalue, by which it knows its
        // own.
        let collect: mlua::Function =
            unsafe { lua.exec_raw(pointer, |state| lua_pushcclosure(state, collect::<T>, 1)) }?;
        metatable.raw_set("__gc", collect)?;
        metatable.raw_set("__metatable", false)?;
        // SAFETY: nothing is captured; key and value are the arguments.
        unsafe {
            lua.exec_raw::<()>((pointer, metatable), |state| lua_rawset(state, LUA_REGISTRYINDEX))
        }?;
        Ok(kind)
    }

    pub fn metatable(self, lua: &Lua) -> mlua::Result<Table> {
        // SAFETY: only a pointer is captured.
        unsafe { lua.exec_raw((), |state| self.push_metatable(state)) }
    }

    /// # Safety
    /// `state` is of the state that this kind is of, with a free slot.
    unsafe fn push_metatable(self, state: *mut lua_State) {
        // SAFETY: the caller's. The registry has it since `new`.
        unsafe {
            lua_pushlightuserdata(state, self.metatable.cast_mut());
            lua_rawget(state, LUA_REGISTRYINDEX);
        }
    }

    /// Pushes an empty userdata. Raises if there is no memory.
    ///
    /// # Safety
    /// As for `push_metatable`, with two free slots; the userdata stays on the stack as long as the
    /// reference lives.
    pub unsafe fn push_empty<'a>(self, state: *mut lua_State) -> &'a UserdataCell<T> {
        // What Lua aligns each block to.
        const { assert!(align_of::<UserdataCell<T>>() <= align_of::<f64>()) };
        // SAFETY: the caller's. The block is a `UserdataCell` before it gets the metatable of one.
        unsafe {
            let block =
                ffi::lua_newuserdata(state, size_of::<UserdataCell<T>>()).cast::<UserdataCell<T>>();
            block.write(RefCell::new(None));
            self.push_metatable(state);
            lua_setmetatable(state, -2);
            &*block
        }
    }

    /// A userdata that holds `object`.
    pub fn create(self, lua: &Lua, object: T) -> mlua::Result<AnyUserData> {
        let mut slot = None;
        // SAFETY: only a kind and a reference to the slot are captured. The slot is filled while
        // the userdata lives.
        let userdata = unsafe { lua.exec_raw((), |state| slot = Some(self.push_empty(state))) }?;
        if let Some(slot) = slot {
            slot.replace(Some(object));
        }
        Ok(userdata)
    }

    /// What the value at `index` holds, if it is a userdata of this kind. A script can give our
    /// metatable to another userdata with Lua's debug library, but not our size to it by accident.
    ///
    /// # Safety
    /// As for `push_metatable`; the value stays on the stack as long as the reference lives.
    pub unsafe fn at<'a>(self, state: *mut lua_State, index: c_int) -> Option<&'a UserdataCell<T>> {
        // SAFETY: the caller's. A userdata with this metatable and size is of `push_empty`.
        unsafe {
            // A light userdata has no length.
            let block = lua_touserdata(state, index);
            if block.is_null() || lua_getmetatable(state, index) == 0 {
                return None;
            }
            let is_ours = lua_topointer(state, -1) == self.metatable;
            lua_pop(state, 1);
            let is_ours = is_ours && raw_len(state, index) == size_of::<UserdataCell<T>>();
            is_ours.then(|| &*block.cast::<UserdataCell<T>>())
        }
    }

    /// The kind whose metatable the calling C function has in an upvalue.
    ///
    /// # Safety
    /// In a C function that was made with `LightUserData` of that metatable there, of the same `T`.
    pub unsafe fn from_upvalue(state: *mut lua_State, upvalue: c_int) -> Self {
        // SAFETY: the caller's.
        let metatable = unsafe { lua_touserdata(state, lua_upvalueindex(upvalue)) };
        Self { metatable, holds: PhantomData }
    }

    /// For an upvalue of a C function.
    pub fn to_value(self) -> LightUserData {
        LightUserData(self.metatable.cast_mut())
    }
}

/// `__gc`: drops the object. A script may call it by hand, with any value.
unsafe extern "C-unwind" fn collect<T: 'static>(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this; `Kind::new` has made the upvalue.
    let slot = unsafe {
        lua_settop(state, 1);
        Kind::<T>::from_upvalue(state, 1).at(state, 1)
    };
    FINALIZED.fetch_add(1, Ordering::Relaxed);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if let Some(mut object) = slot.and_then(|slot| slot.try_borrow_mut().ok()) {
            *object = None;
        }
    }));
    0
}
