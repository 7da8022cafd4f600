rockspec_format = "3.0"
package = "lua-tcp"
version = "0.1.0-1"

-- What `make dist` makes, crates included. The addresses are those of the first public home, and are filled in with
-- it: the version is not released yet.
source = { url = "https://tcp.example/lua-tcp-0.1.0.tar.gz", dir = "lua-tcp-0.1.0" }

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
