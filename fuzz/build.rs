//! Links Lua 5.4 into the targets, with its API checks on. The module uses its host's Lua, so all
//! of Lua's symbols are kept.

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
