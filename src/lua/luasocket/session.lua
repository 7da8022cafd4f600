-- Connections of LuaSec: TLS on a connected socket. The handshake is made by `dohandshake`, and may
-- be made in steps.

local native = ...
local safe, face = native.safe, native.face
local object, words, steps = native.part "object", native.part "words", native.part "steps"
local client, context, x509 = object.client, native.part "context", native.part "x509"
local cipher, dialing, holder_of = native.part "cipher", native.part "dialing", native.part "names".holder_of

local huge = math.huge
local methods = {}
local metatable = { __index = methods, __name = "SSL:Connection" }
function metatable.__tostring(self)
  return "SSL connection: " .. object.address(self) .. (self.is_closed and " (closed)" or "")
end

local session = {}

-- The fields of an object: `plain`, the connection that the handshake is made on; `conn`, what it
-- has become; `broken`, why there is no such; `name`, what `sni` was given; `settings`, those of
-- its context.

function session.wrap(sock, cfg)
  local its = cfg
  if not context.is(cfg) then
    local why
    its, why = context.new(cfg)
    if not its then
      return nil, why
    end
  end
  local given = sock
  -- What stands for a socket has its descriptor.
  if not object.class(sock) then
    sock = holder_of(sock) or error("bad argument #1 to 'wrap' (a socket of tcp.luasocket expected)", 2)
  end
  if sock.dialing then
    dialing.step(sock)
  end
  local conn = object.class(sock) == "client" and sock.conn
  if not conn and not sock.dialing then
    return nil, sock.failure and dialing.take_failure(sock) or "closed"
  end
  local self = setmetatable({ block = -1, total = -1, seconds = huge, made = safe.now(), number = -1.0,
    settings = its.settings, mode = its.mode, goes_on = its.goes_on, wanting = true }, metatable)
  if conn then
    self:adopt(conn)
  end
  self.dialing = sock.dialing
  sock.conn, sock.polled, sock.dialing = nil, nil, nil
  if given ~= sock and given.setfd then
    given:setfd(-1)
  end
  return self
end

-- Takes the connection that the handshake is to be made on.
function methods.adopt(self, conn)
  self.plain = conn
  self.number = conn:is_open() and conn:fd() + 0.0 or -1.0
end

-- The handshake -----------------------------------------------------------------------------------

-- The contexts of a server by the names that clients ask for; `is_strict`: no other name will do.
local function set_contexts(self, contexts, is_strict)
  local all, names = {}, {}
  for name, its in pairs(contexts) do
    local own = its.settings
    names[name] =
      { cert_file = own.cert_file, key_file = own.key_file, key_password = own.key_password }
  end
  for key, value in pairs(self.settings) do
    all[key] = value
  end
  all.names, all.side = names, "server"
  if is_strict then
    all.cert_file, all.key_file, all.key_password = nil, nil, nil
  end
  local ok, _, why = face.check_tls(nil, all)
  if not ok then
    error("sni: " .. tostring(why), 3)
  end
  self.settings = all
end

-- Names the server that is expected, or the contexts of a server.
function methods.sni(self, name, is_strict)
  if self.mode == "server" then
    if type(name) ~= "table" then
      object.expected(1, "sni", "table", name)
    end
    set_contexts(self, name, is_strict)
    return
  end
  self.name = tostring(object.check_text(name, 1, "sni"))
end

local function settings(self)
  local all = {}
  for key, value in pairs(self.settings) do
    all[key] = value
  end
  if self.mode == "client" then
    all.server_name = self.name or false
    if all.verify and self.name and not native.verifies_names() then
      all.verify = "chain"
    end
  end
  return all
end

local function begin(self)
  face.patience(nil, self.plain, huge)
  return steps.new(native.connection.start_tls, self.plain, settings(self))
end

-- What OpenSSL says of a failure, which is the end of this module's words for it.
local function reason(message, code)
  if code == "tls" then
    return words.detail(message, code)
  end
  return words.of(message, code)
end

function methods.dohandshake(self)
  if self.is_closed then
    return false, "closed"
  elseif self.conn then
    return true
  elseif self.broken then
    return false, self.broken
  end
  local deadline = safe.now() + object.patience(self)
  local is_connected = not self.dialing or dialing.go_on(self, deadline)
  if is_connected == nil then
    return false, "wantwrite"
  elseif not is_connected then
    self.broken = dialing.take_failure(self)
    return false, self.broken
  end
  self.steps = self.steps or begin(self)
  local ok, value, code = steps.drive(self.steps, deadline)
  if ok then
    self.conn, self.polled, self.plain, self.steps = value, value, nil, nil
    object.apply_timeout(self)
    return true
  elseif ok == nil then
    return false, self.steps.writes and "wantwrite" or "wantread"
  end
  self.broken, self.is_dead, self.steps = reason(value, code), true, nil
  return false, self.broken
end

function methods.want(self)
  if self.dialing then
    return "write"
  elseif self.steps then
    return self.steps.writes and "write" or "read"
  end
  return self.last or "nothing"
end

-- As a socket -------------------------------------------------------------------------------------

-- Keeps what the last call has waited for, for `want`.
local function note(self, ...)
  local _, why = ...
  self.last = why == "wantread" and "read" or why == "wantwrite" and "write" or "nothing"
  return ...
end

function methods.receive(self, pattern, prefix)
  if not self.conn then
    return nil, "closed", prefix or ""
  end
  return note(self, client.receive(self, pattern, prefix))
end

function methods.send(self, data, from, to)
  if not self.conn then
    return nil, "closed", (tonumber(from) or 1) - 1.0
  end
  return note(self, client.send(self, data, from, to))
end

methods.getstats, methods.setstats = client.getstats, client.setstats
methods.settimeout = object.any.settimeout

function methods.close(self)
  dialing.cancel(self)
  if self.steps then
    steps.cancel(self.steps)
    self.steps = nil
  end
  local its = self.conn or self.plain
  if its then
    its:close()
  end
  self.is_closed = true
end

function methods.getfd(self)
  if self.is_closed then
    return -1.0
  elseif self.conn then
    return self.conn:is_open() and self.conn:fd() + 0.0 or -1.0
  end
  return self.broken and -1.0 or self.dialing and self.dialing.fd or self.number
end

function methods.dirty(self)
  return self.conn ~= nil and self.conn:is_open() and self.conn:dirty() or false
end

-- What TLS knows ----------------------------------------------------------------------------------

-- What `info()` has of a handshake; nil where there was none yet.
local function facts(self)
  return self.conn and not self.is_closed and self.conn:info().tls or nil
end

function methods.getpeercertificate(self, index)
  local tls = facts(self)
  if not tls then
    return nil, "closed"
  end
  index = tonumber(index or 1) or object.expected(1, "getpeercertificate", "number", index)
  if index < 1 then
    return nil, "invalid certificate index"
  end
  local found = tls.chain and tls.chain[index]
  return found and x509.load(found.pem) or nil
end

function methods.getpeerchain(self)
  local tls = facts(self)
  if not tls then
    return nil, "closed"
  end
  local all = {}
  for i, each in ipairs(tls.chain or {}) do
    all[i] = x509.load(each.pem)
  end
  return all
end

-- The certificates of this end, from its file.
local function local_chain(self)
  local path = self.settings.cert_file
  local file = path and io.open(path, "rb")
  if not file then
    return {}
  end
  local text = file:read "*a"
  file:close()
  return x509.load_all(text)
end

function methods.getlocalcertificate(self, index)
  if not facts(self) then
    return nil, "closed"
  elseif index and index < 1 then
    return nil, "invalid certificate index"
  end
  return local_chain(self)[index or 1]
end

function methods.getlocalchain(self)
  if not facts(self) then
    return nil, "closed"
  end
  local all = local_chain(self)
  -- A client's begins with the issuer of its certificate, as LuaSec has it.
  if self.mode == "client" then
    table.remove(all, 1)
  end
  return all
end

function methods.getpeerverification(self)
  local tls = facts(self)
  if not tls then
    return false, "closed"
  end
  local why = tls.verify_error
  -- LuaSec verifies no name.
  if why == nil or why:find "^host name mismatch" then
    return true
  end
  local word = cipher.verify_words(tls.verify_code, why)
  -- With "lsec_continue" there is a list for each depth.
  return false, self.goes_on and { [(tls.verify_depth or 0) + 1] = { word } } or word
end

function methods.getalpn(self)
  local tls = facts(self)
  return tls and tls.alpn or nil
end

function methods.getsniname(self)
  if self.mode == "client" then
    return self.name
  end
  local tls = facts(self)
  return tls and tls.server_name or nil
end

function methods.info(self, field)
  local tls = facts(self)
  local all = tls and cipher.describe(tls.cipher, tls.version)
  if not all then
    return nil
  elseif field then
    return all[field]
  end
  return all
end

-- Keying material for a label (RFC 5705), with a context or without.
function methods.exportkeyingmaterial(self, label, size, secret)
  if not facts(self) then
    return nil, "closed"
  end
  object.check_text(label, 1, "exportkeyingmaterial")
  size = tonumber(size) or object.expected(2, "exportkeyingmaterial", "number", size)
  if secret ~= nil then
    secret = tostring(object.check_text(secret, 3, "exportkeyingmaterial"))
  end
  local ok, bytes = face.keying_material(nil, self.conn, tostring(label), size, secret)
  if not ok then
    return nil, "error exporting keying material"
  end
  return bytes
end

for _, name in ipairs { "getfinished", "getpeerfinished", "setdane", "settlsa" } do
  methods[name] = function()
    error(name .. ": tcp.luasocket has no such method", 2)
  end
end

session.methods = methods
return session
