rockspec_format = "3.0"
package = "tcp"
version = "0.1.0-1"

-- The address is that of the first public repository, and is filled in with it: the version is not tagged yet.
source = { url = "git+https://tcp.example/tcp.git", tag = "v0.1.0" }

description = {
  summary = "TCP and TLS connections: strings, JSON and length-prefixed JSON packets",
  detailed = [[
Connections with verified TLS, one total timeout for each call, and reads that consume nothing when
they fail. Written in Rust: building needs cargo, a C compiler, pkg-config and OpenSSL's headers.]],
  license = "MIT",
  labels = { "network", "socket", "tls", "json" },
}

dependencies = { "lua >= 5.1, < 5.6" }

build = {
  type = "make",
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
