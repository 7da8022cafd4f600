-- The module's own code runs on every Lua from 5.1 to 5.5, and so do the specs.
std = "max"
max_line_length = 120
exclude_files = { "target", ".build", "lua_modules" }

files["spec"] = {
  std = "+busted",
  ignore = { "512" }, -- a loop that is left at once: what iterators must take
}

-- The examples are kept word for word: global functions, and a connection that is never named again.
files["examples"] = {
  allow_defined_top = true,
  globals = { "connect_tls" },
  read_globals = { "connect", "send", "recv" },
  ignore = { "211/conn", "211/receber_mensagens", "211/enviar_mensagens" },
}

-- Declarations for editors: nothing in them is used.
files["types"] = { ignore = { "212", "241" } }
