//! The tests of the allocator. They include its source, since cargo cannot link the module without
//! a Lua.

#[path = "../src/alloc.rs"]
mod alloc;

#[test]
fn calls_may_be_made() {
    alloc::prepare();
    assert!(alloc::refill());
}
