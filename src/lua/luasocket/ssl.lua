-- LuaSec's modules: `ssl`, `ssl.core`, `ssl.context` and `ssl.x509`.

local native = ...
local context, session, x509 = native.part "context", native.part "session", native.part "x509"

local COPYRIGHT = "tcp.luasocket, in the shape of LuaSec 1.3"

local function set(...)
  local all = {}
  for i = 1, select("#", ...) do
    all[select(i, ...)] = true
  end
  return all
end

local ssl = {
  _VERSION = "1.3.2",
  _COPYRIGHT = COPYRIGHT,
  config = {
    algorithms = { ec = true },
    capabilities = { alpn = true, curves_list = true, ecdh_auto = true },
    curves = set("P-256", "P-384", "P-521", "prime256v1", "secp384r1", "secp521r1", "X25519", "X448"),
    options = context.options,
    protocols = set("tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3"),
  },
  loadcertificate = x509.load,
  newcontext = context.new,
  wrap = session.wrap,
}

-- The parts that LuaSec's own Lua files use, and nobody else.
local function left_out(name, functions)
  return setmetatable(functions, {
    __index = function(_, key)
      error(("tcp.luasocket has no %s.%s: use ssl.newcontext and ssl.wrap"):format(name, tostring(key)), 2)
    end,
  })
end

return {
  ssl = ssl,
  core = left_out("ssl.core", {
    SOCKET_INVALID = -1,
    copyright = function() return COPYRIGHT end,
    setmethod = function(name, method) session.methods[name] = method end,
    info = function(self, field) return self:info(field) end,
  }),
  context = left_out("ssl.context", {}),
  x509 = { load = x509.load },
}
