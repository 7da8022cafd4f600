//! Linker flags that the loadable module needs, wherever cargo is started from.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system == "macos" {
        // Lua's own symbols come from the host program.
        println!("cargo:rustc-cdylib-link-arg=-undefined");
        println!("cargo:rustc-cdylib-link-arg=dynamic_lookup");
    } else if system != "windows" {
        // `lua_close` unmaps modules; a resolver thread may still be inside this one.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
