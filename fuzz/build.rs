//! Links Lua 5.4, with the checks of its own API on, into the targets. The module leaves Lua's
//! names to its host; they are all kept, whoever asks for them first.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let lua = lua_src::Build::new().debug(true).opt_level("2").build(lua_src::Lua54);
    for name in lua.libs() {
        let library = lua.lib_dir().join(format!("lib{name}.a"));
        let flags =
            ["-Wl,--whole-archive", &library.to_string_lossy(), "-Wl,--no-whole-archive", "-lm"];
        flags.iter().for_each(|flag| println!("cargo:rustc-link-arg-bins={flag}"));
    }
}
