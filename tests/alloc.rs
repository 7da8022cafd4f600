//! The allocator, whose tests are its own: cargo cannot link the module's, which wants a Lua.

#[path = "../src/alloc.rs"]
mod alloc;

#[test]
fn calls_may_be_made() {
    alloc::prepare();
    assert!(alloc::refill());
}
