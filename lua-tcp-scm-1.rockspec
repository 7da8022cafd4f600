rockspec_format = "3.0"
package = "lua-tcp"
version = "scm-1"

-- There is no public home yet; the homepage is filled in with it. `luarocks make` in a clone builds what is there, and fetches nothing.
source = { url = "git+file://." }

description = {
  summary = "TCP and TLS connections: strings, JSON and length-prefixed JSON packets",
  detailed = [[
Connections with verified TLS, one total timeout for each call, and reads that consume nothing when
they fail. Written in Rust: building needs cargo, a C compiler, pkg-config and OpenSSL's headers.]],
  homepage = "https://tcp.example/",
  license = "MIT",
  labels = { "network", "socket", "tls", "json" },
}

dependencies = { "lua >= 5.1, < 5.6" }

-- OPENSSL_DIR in the environment, for cargo, and as a variable, for LuaRocks, says where it is elsewhere.
external_dependencies = { OPENSSL = { header = "openssl/ssl.h" } }

build = {
  type = "make",
  copy_directories = { "docs", "examples", "licenses", "types" },
  -- The Makefile asks $(LUA) what it is: LuaRocks hands over no version.
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LUA = "$(LUA)",
    LIB_EXTENSION = "$(LIB_EXTENSION)",
  },
  install_variables = {
    LUA = "$(LUA)",
    LIBDIR = "$(LIBDIR)",
    LIB_EXTENSION = "$(LIB_EXTENSION)",
  },
}

-- `luarocks test` runs this with its Lua, and this runs `make spec` for that Lua.
test = { type = "command", script = "scripts/luarocks_test.lua" }
