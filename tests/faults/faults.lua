-- Makes each call of each system call fail in turn, with each possible error. Meanwhile scenarios
-- use all of the module against peers in Python. The result must be right, or have a code of the
-- table below. If a call is only interrupted, early or short, it must be right. Descriptors must
-- not leak, received bytes can still be read, and no call outlasts its timeout. Run by
-- tests/faults/run; arguments are the names of scenarios (all).

local helper = require "spec.support.helper"
local tcp = require "tcp.safe"

local found_uv, uv = pcall(require, "luv")
-- PUC Lua 5.1 cannot yield across pcall, and scenarios fail by raising.
local yields_across_pcall = coroutine.wrap(function() return pcall(coroutine.yield, true) end)() == true
local usual_timeout = 3
local timeout = usual_timeout
local getenv = os.getenv

-- The errors of each call, and the codes that they may lead to. With "same", the result must be the
-- same as without the error.
local same = {}
local io_only, closed = { io = true }, { closed = true }
-- One of two addresses does not answer. If the other is lost, the connect waits for the first.
local noway = { timeout = true, unreachable = true, refused = true, address = true, io = true }
-- A failure of a race's first socket is an error; without the second one, the first continues.
local no_other = { io = true, timeout = true }
local EINTR, EBADF, EAGAIN, ENOMEM, EACCES, EINVAL, ENFILE, EMFILE, ENOSPC, EPIPE = 4, 9, 11, 12, 13, 22, 23, 24, 28, 32
local EPROTO, EAFNOSUPPORT, EADDRINUSE, ENETUNREACH, ECONNABORTED, ECONNRESET = 71, 97, 98, 101, 103, 104
local ENOBUFS, ENOTCONN, ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH = 105, 107, 110, 111, 113

local faults = {
  recv = { short = same, [EINTR] = same, [EAGAIN] = same, [ECONNRESET] = closed, [ETIMEDOUT] = closed,
    [ENOBUFS] = io_only, [ENOMEM] = io_only },
  send = { short = same, [EINTR] = same, [EAGAIN] = same, [ECONNRESET] = closed, [EPIPE] = closed,
    [ENOBUFS] = io_only, [ENOMEM] = io_only },
  poll = { [EINTR] = same, [ENOMEM] = io_only },
  accept4 = { [EINTR] = same, [EAGAIN] = same, [ECONNABORTED] = same, [EMFILE] = io_only, [ENFILE] = io_only,
    [ENOBUFS] = io_only, [ENOMEM] = io_only, [EPROTO] = io_only },
  bind = { [EADDRINUSE] = { address = true }, [EACCES] = { address = true }, [ENOMEM] = { address = true, io = true } },
  connect = { [ECONNREFUSED] = { refused = true, timeout = true }, [ENETUNREACH] = noway, [EHOSTUNREACH] = noway,
    [ETIMEDOUT] = noway, [EACCES] = noway, [EAGAIN] = noway, [ENOBUFS] = noway, [EINTR] = noway },
  epoll_create1 = { [EMFILE] = io_only, [ENFILE] = io_only, [ENOMEM] = io_only },
  epoll_ctl = { [ENOMEM] = io_only, [ENOSPC] = io_only },
  epoll_wait = { [EINTR] = same, [EBADF] = io_only },
  fcntl = { [EINVAL] = io_only, [EMFILE] = io_only },
  -- From 1000 on: EAI_AGAIN, EAI_FAIL, EAI_NONAME, EAI_MEMORY.
  getaddrinfo = { [1003] = { dns = true }, [1004] = { dns = true }, [1002] = { dns = true }, [1010] = { dns = true },
    [EMFILE] = { dns = true, io = true } },
  getpeername = { [ENOTCONN] = same, [ENOBUFS] = noway },
  getsockname = { [ENOBUFS] = io_only },
  getsockopt = { [ENOBUFS] = noway },
  open64 = { [EMFILE] = io_only, [ENFILE] = io_only, [EACCES] = { io = true, argument = true } },
  listen = { [EADDRINUSE] = { address = true } },
  pipe2 = { [EMFILE] = io_only, [ENFILE] = io_only },
  pthread_create = { [EAGAIN] = io_only },
  setsockopt = { [ENOMEM] = io_only, [ENOBUFS] = io_only },
  shutdown = { [ENOTCONN] = closed, [ENOBUFS] = io_only },
  socket = { [EMFILE] = no_other, [ENFILE] = no_other, [ENOBUFS] = no_other, [ENOMEM] = no_other,
    [EAFNOSUPPORT] = { unreachable = true, io = true, timeout = true } },
}
-- Calls that are always short.
local always = { { "recv", "short" }, { "send", "short" } }

-- The objects that a scenario opens, closed at its end in any case.
local opened = {}

local function open(object, message, code)
  if not object then error({ message = message, code = code }, 0) end
  opened[#opened + 1] = object
  return object
end

-- Returns the value of a successful call; a failure ends the scenario.
local function try(value, message, code)
  if value == nil then error({ message = message, code = code }, 0) end
  return value
end

local function close_all()
  local all = opened
  opened = {}
  for _, object in ipairs(all) do object:close() end
  all = nil -- luacheck: ignore 311
  collectgarbage()
  collectgarbage()
end

-- Uses everything that writes, then everything that reads. The peer returns the bytes in a packet.
local both_ways = [[
  got = c.recv_all()
  c.send(b"a line\r\nuntil;;four{\"a\": [1, 2]} ")
  c.send_packet({"b": [True, None]})
  c.send_packet(b"raw")
  c.send_packet(b"skipped" * 3000)
  c.send_packet(got)
  c.send(b"x" * 30000)
]]
local function use_all(conn)
  try(conn:write_str("one", 2, "three"))
  try(conn:write_json { "four" })
  try(conn:write_packet(("five"):rep(30000)))
  try(conn:write_json_packet { six = 6 })
  try(conn:flush())
  try(conn:shutdown())
  local parts = { try(conn:read_line()), try(conn:read_until ";;"), try(conn:read(4)) }
  parts[#parts + 1] = try(conn:read_json()).a[2]
  try(conn:read(1))
  parts[#parts + 1] = tostring(try(conn:read_json_packet()).b[1])
  parts[#parts + 1] = try(conn:read_packet())
  parts[#parts + 1] = try(conn:skip_packet())
  parts[#parts + 1] = try(conn:read_packet())
  parts[#parts + 1] = try(conn:recv(10)) .. try(conn:read_str())
  local info = try(conn:info())
  parts[#parts + 1] = info.bytes_written .. " " .. info.bytes_read
  return table.concat(parts, "|")
end

-- A stream in small pieces. After a failure, the rest of the received bytes can still be read.
local stream = ("0123456789abcdef"):rep(200)
local pieces = ("for i in range(0, 3200, 320): c.send(%s[i:i + 320])"):format(helper.bytes(stream))
local function keep_all(conn)
  local parts = {}
  local part, message, code = conn:read(37)
  while part do
    parts[#parts + 1] = part
    part, message, code = conn:read(37)
  end
  if code == "closed" or code == "io" then
    part = conn:recv(50)
    while part and part ~= "" do
      parts[#parts + 1] = part
      part = conn:recv(50)
    end
  end
  local got = table.concat(parts)
  local info = conn:info()
  assert(got == stream:sub(1, #got), "another stream")
  assert(#got == info.bytes_read, ("%d of %d bytes lost"):format(info.bytes_read - #got, info.bytes_read))
  if #got < #stream then error({ message = message, code = code }, 0) end
  return got
end

-- A connection that repeats calls that failed for want of memory. Queued bytes are only flushed.
local function patient(conn)
  return setmetatable({}, { __index = function(_, name)
    return function(_, ...)
      local value, message, code = conn[name](conn, ...)
      while value == nil and code == "io" do
        if name:find "^write" or name == "send" then
          value, message, code = conn:flush()
        else
          value, message, code = conn[name](conn, ...)
        end
      end
      return value, message, code
    end
  end })
end

local new_name = helper.pem "root"
local trusting = { timeout = timeout, ca_file = helper.pem "root" }
local socket_options = { timeout = timeout, bind = "127.0.0.1", keepalive = { idle = 3, interval = 3, count = 3 } }

local function pem(name, kind)
  return { cert_file = helper.pem(name), key_file = helper.pem(name, kind or "key") }
end

local function listen_with_tls(is_patient)
  return function()
    local listener = open(tcp.listen("127.0.0.1", 0, { timeout = timeout, tls = pem "good" }))
    getenv "fault:pause"
    local peer = helper.dial(listener:port(), "c.send(b'hello\\n')\nreturn c.recv_all()", { tls = true })
    getenv "fault:go on"
    local served = open(listener:accept(timeout))
    if is_patient then served = patient(served) end
    local said = try(served:read_line())
    try(served:send "good bye")
    try(served:shutdown())
    getenv "fault:pause"
    local fine, heard = pcall(peer.result, peer)
    getenv "fault:go on"
    return said .. (fine and heard or "(the peer heard nothing)")
  end
end

-- Of this process alone: others run beside it.
local unix_path = helper.unix_path()

-- Peers behind a dialogue of spec/support/dialogues.py: their port.
local function behind(dialogue, code, options)
  local margin = code:match "^ *"
  return helper.listen(("%simport dialogues\n%sdialogues.%s\n%s"):format(margin, margin, dialogue, code), options).port
end

local connect_proxy = "connect_proxy(c.send, c.recv_exactly)"
local socks_proxy = "socks_proxy(c.send, c.recv_exactly)"
local hello_over_tls = "c.handshake('good')\nc.send(b'hello')"

-- What ends the connection to a proxy while it is asked is the proxy's.
local proxied = { closed = true, proxy = true }
local through_proxy = {
  recv = { [ECONNRESET] = proxied, [ETIMEDOUT] = proxied },
  send = { [ECONNRESET] = proxied, [EPIPE] = proxied },
}
local to_proxy = { "recv", "send", "poll", "connect", "fcntl", "getpeername", "getsockname", "getsockopt", "socket" }

local function by_proxy(name, scheme, dialogue, options)
  local host = scheme == "https" and "localhost" or "127.0.0.1"
  return { name = name, only = to_proxy, codes = through_proxy,
    peers = function() return behind(dialogue, both_ways, options) end,
    run = function(port)
      local url = ("%s://user:password@%s:%d"):format(scheme, host, port)
      return use_all(open(tcp.connect("127.0.0.1", 9, {
        timeout = timeout, proxy = { url = url, tls = scheme == "https" and { ca_file = trusting.ca_file } or nil },
      })))
    end }
end

local source = { version = 1, source = { "192.0.2.7", 56324 }, destination = { "198.51.100.1", 443 } }

-- Framings, and the header of their packets, if they have one.
local framings = {
  { 2 }, { "varint" }, { "netstring" }, { { delimiter = "\r\n.\r\n" } },
  { { length_size = 3, length_offset = 3, prefix = "AB" }, "x" },
}

-- Packets of each framing, there and back, and what else reads dialogues.
local function use_framings(conn)
  for _, framing in ipairs(framings) do
    try(conn:set_options { framing = framing[1] })
    try(conn:write_packet(("body"):rep(3000), framing[2]))
    try(conn:write_json_packet({ six = 6 }, framing[2]))
    try(conn:write_packet("skipped", framing[2]))
  end
  try(conn:send("250-first\r\n250 last\r\n", ("skip"):rep(3000), "the end"))
  try(conn:shutdown())
  local parts = {}
  for _, framing in ipairs(framings) do
    try(conn:set_options { framing = framing[1] })
    parts[#parts + 1] = #try(conn:read_packet())
    parts[#parts + 1] = try(conn:read_json_packet "/six")
    parts[#parts + 1] = try(conn:skip_packet())
  end
  parts[#parts + 1] = try(conn:read_match("^(250)%-[^\r\n]*\r\n", { reject = "^5" }))
  parts[#parts + 1] = try(conn:read_match "^250 ([^\r\n]*)\r\n")
  try(conn:skip(12000))
  parts[#parts + 1] = try(conn:peek(7))
  parts[#parts + 1] = try(conn:read_str())
  return table.concat(parts, "|")
end

-- `peers` returns the arguments of `run`; it is called again after many connections.
local scenarios = {
  { name = "resolve", run = function() return table.concat(try(tcp.resolve("localhost", timeout)), " ") end },
  { name = "plain",
    peers = function() return helper.listen(both_ways).port end,
    run = function(port) return use_all(open(tcp.connect("localhost", port, socket_options))) end },
  { name = "tls",
    peers = function() return helper.listen(both_ways, { tls = "good" }).port end,
    run = function(port) return use_all(open(tcp.connect_tls("localhost", port, trusting))) end },
  { name = "tls 1.2",
    peers = function() return helper.listen(both_ways, { tls = "good", version = "1.2" }).port end,
    run = function(port) return use_all(open(tcp.connect_tls("127.0.0.1", port, trusting))) end },
  -- A file with a new name is not in the cache.
  { name = "tls, a new ca_file", only = { "open64" },
    peers = function() return helper.listen("c.send(b'hello')", { tls = "good" }).port end,
    run = function(port)
      new_name = "./" .. new_name
      return try(open(tcp.connect_tls("127.0.0.1", port, { timeout = timeout, ca_file = new_name })):read_str())
    end },
  { name = "stream",
    peers = function() return helper.listen(pieces).port end,
    run = function(port) return keep_all(open(tcp.connect("127.0.0.1", port, timeout))) end },
  { name = "stream over tls",
    peers = function() return helper.listen(pieces, { tls = "good" }).port end,
    run = function(port) return keep_all(open(tcp.connect_tls("127.0.0.1", port, trusting))) end },
  { name = "start_tls",
    peers = function()
      return helper.listen([[
        c.send(b"ready\n")
        c.recv_line()
        c.handshake("good")
        c.send(b"secret\n")
      ]]).port
    end,
    run = function(port)
      local conn = open(tcp.connect("127.0.0.1", port, timeout))
      local line = try(conn:read_line())
      try(conn:send "STARTTLS\n")
      conn = open(conn:start_tls { ca_file = trusting.ca_file, server_name = "localhost" })
      return line .. try(conn:read_line())
    end },
  { name = "listen",
    run = function()
      local listener = open(tcp.listen("localhost", 0, { timeout = timeout, keepalive = true, reuse_port = true }))
      local client = open(tcp.connect("127.0.0.1", listener:port(), timeout))
      local readable = try(tcp.poll({ listener }, {}, timeout))
      local served = open(listener:accept(timeout))
      try(client:send "hello\n")
      local readable_too, writable, code = tcp.poll({ listener, served }, { client }, timeout)
      try(readable_too, writable, code)
      try(client:set_keepalive { idle = 5 })
      try(client:set_nodelay(false))
      local said = try(served:read_line())
      try(served:shutdown())
      return ("%d %d %s %s"):format(#readable, #writable, said, try(client:read_str()))
    end },
  -- Its connects are tried again, and its bind says what is not permitted.
  { name = "unix",
    codes = {
      bind = { [EACCES] = io_only },
      connect = { [ECONNREFUSED] = { refused = true }, [ENETUNREACH] = { unreachable = true, io = true },
        [EHOSTUNREACH] = { unreachable = true, io = true }, [ETIMEDOUT] = { closed = true, io = true },
        [EACCES] = io_only, [EAGAIN] = { address = true }, [ENOBUFS] = io_only, [EINTR] = io_only },
      getpeername = { [ENOTCONN] = same, [ENOBUFS] = same },
      getsockopt = { [ENOBUFS] = same },
      getsockname = { [ENOBUFS] = io_only },
      listen = { [EADDRINUSE] = { address = true, io = true } },
      open64 = { [EMFILE] = io_only, [ENFILE] = io_only, [EACCES] = io_only },
      socket = { [EMFILE] = io_only, [ENFILE] = io_only, [ENOBUFS] = io_only, [ENOMEM] = io_only,
        [EAFNOSUPPORT] = io_only },
    },
    run = function()
      local path = unix_path
      local options = { timeout = timeout, mode = "0600", unlink = true }
      local listener = open(tcp.listen_unix(path, options))
      local client = open(tcp.connect_unix(path, timeout))
      local served = open(listener:accept(timeout))
      try(client:send "hello\n")
      local said = try(served:read_line())
      try(served:shutdown())
      said = said .. try(client:read_str()) .. tostring(client:info().peer.path)
      listener:close()
      return said .. tostring(os.rename(path, path))
    end },
  { name = "listen with tls", slow = true, run = listen_with_tls(false) },
  { name = "patient", only = { "recv", "send" }, passing = same,
    peers = function() return helper.listen(both_ways).port end,
    run = function(port) return use_all(patient(open(tcp.connect("127.0.0.1", port, timeout)))) end },
  { name = "patient, tls", only = { "recv", "send" }, passing = same,
    peers = function() return helper.listen(both_ways, { tls = "good" }).port end,
    run = function(port)
      getenv "fault:pause"
      local conn = open(tcp.connect_tls("127.0.0.1", port, trusting))
      getenv "fault:go on"
      return use_all(patient(conn))
    end },
  { name = "patient, accepted", only = { "recv", "send" }, passing = same, run = listen_with_tls(true) },
  by_proxy("connect proxy", "http", connect_proxy),
  by_proxy("socks proxy", "socks5h", socks_proxy),
  by_proxy("https proxy", "https", connect_proxy, { tls = "good" }),
  { name = "tls by proxy", only = to_proxy, codes = through_proxy,
    peers = function() return behind(connect_proxy, hello_over_tls) end,
    run = function(port)
      return try(open(tcp.connect_tls("localhost", 9, {
        timeout = timeout, ca_file = trusting.ca_file, proxy = "http://127.0.0.1:" .. port })):read_str())
    end },
  { name = "proxy header", only = to_proxy,
    peers = function()
      return helper.listen("  assert c.recv_line().endswith(b' 56324 443\\r\\n')\n" .. both_ways).port
    end,
    run = function(port)
      return use_all(open(tcp.connect("127.0.0.1", port, { timeout = timeout, proxy_protocol = source })))
    end },
  { name = "behind a header", only = { "recv", "send", "poll", "accept4", "getpeername", "getsockname" },
    codes = through_proxy,
    run = function()
      local listener = open(tcp.listen("127.0.0.1", 0, { timeout = timeout, proxy_protocol = true }))
      local client = open(tcp.connect("127.0.0.1", listener:port(), { timeout = timeout, proxy_protocol = source }))
      try(client:send "hello\n")
      local served = open(listener:accept(timeout))
      local said = try(served:read_line()) .. served:info().peer.ip
      try(served:send "good bye")
      try(served:shutdown())
      return said .. try(client:read_str())
    end },
  { name = "framings", only = { "recv", "send", "poll" },
    peers = function() return helper.listen("c.send(c.recv_all())").port end,
    run = function(port) return use_framings(open(tcp.connect("127.0.0.1", port, timeout))) end },
  { name = "framings by Unix", only = { "recv", "send", "poll" },
    peers = function()
      local path = helper.unix_path()
      helper.listen("c.send(c.recv_all())", { path = path })
      return path
    end,
    run = function(path) return use_framings(open(tcp.connect_unix(path, timeout))) end },
  { name = "copy_to", only = { "recv", "send", "poll" },
    peers = function()
      local from = helper.listen "for _ in range(30): c.send(b'0123456789' * 100)"
      return { from.port, helper.listen("c.send(b'%d' % len(c.recv_all()))").port }
    end,
    run = function(ports)
      local from = open(tcp.connect("127.0.0.1", ports[1], timeout))
      local into = open(tcp.connect("127.0.0.1", ports[2], timeout))
      local copied = try(from:copy_to(into))
      try(into:shutdown())
      return copied .. " " .. try(into:read_str())
    end },
  { name = "map", only = { "recv", "send", "poll", "connect", "epoll_ctl", "epoll_wait", "getsockopt", "socket" },
    peers = function() return helper.listen("c.send(c.recv_line())").port end,
    run = function(port)
      local all, errors = tcp.map({ "one", "two", "three" }, function(word)
        local conn = open(tcp.connect("127.0.0.1", port, timeout))
        try(conn:send(word, "\n"))
        return try(conn:read_line())
      end)
      for i = 1, 3 do
        if errors[i] then error(errors[i], 0) end
      end
      return table.concat(all, " ")
    end },
  -- The first address does not answer, so that two connects wait behind one descriptor.
  { name = "race", slow = true, scarce = no_other,
    only = { "epoll_create1", "epoll_ctl", "epoll_wait", "socket", "connect", "getsockopt", "getpeername" },
    peers = function()
      local port = helper.listen "c.send(b'first')".port
      helper.listen("", { host = "127.0.0.2", port = port, full = true })
      return port
    end,
    run = function(port)
      getenv "fault:race two.test"
      local conn = open(tcp.connect("two.test", port, { timeout = timeout, connect_timeout = 0.6 }))
      return try(conn:read(5))
    end },
  -- A coroutine, whose waits go through the poller.
  { name = "loop", found = found_uv and yields_across_pcall,
    only = { "recv", "send", "epoll_ctl", "epoll_wait", "getsockopt" },
    peers = function() return helper.listen(both_ways).port end,
    run = function(port)
      tcp.use "luv"
      local ok, result
      coroutine.wrap(function()
        ok, result = pcall(function() return use_all(open(tcp.connect("127.0.0.1", port, timeout))) end)
      end)()
      uv.run()
      tcp.use(nil)
      if not ok then error(result, 0) end
      return result
    end },
}

-- What ten protocols say before TLS.
for _, name in ipairs { "smtp", "lmtp", "imap", "pop3", "ftp", "sieve", "ldap", "postgres", "mysql", "xmpp" } do
  scenarios[#scenarios + 1] = { name = "starttls " .. name, only = { "recv", "send" },
    peers = function()
      return behind(("starttls('%s', c.send, c.recv_exactly)"):format(name), hello_over_tls)
    end,
    run = function(port)
      return try(open(tcp.connect_tls("localhost", port, {
        timeout = timeout, ca_file = trusting.ca_file, starttls = name })):read_str())
    end }
end

-- Running -----------------------------------------------------------------------------------------

local function sorted(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

-- Runs a scenario with the fault `arm`. Returns whether it succeeded, its result or failure, and
-- the counts.
local function run(scenario, given, arm)
  assert(getenv("fault:arm " .. arm) == "yes")
  local before = helper.clock()
  local ok, result = pcall(scenario.run, given)
  local took = helper.clock() - before
  local counts = {}
  for name, count in getenv "fault:stop":gmatch "(%S+)=(%d+)" do counts[name] = tonumber(count) end
  close_all()
  return ok, result, counts, took
end

local cases, codes, wrong = 0, {}, 0

local function complain(scenario, call, nth, how, text)
  wrong = wrong + 1
  print(("%s: %s, call %d fails with %s: %s"):format(scenario.name, call, nth, tostring(how), text))
end

-- Makes the nth call of `call` fail; returns false if there is no such call.
local function case(scenario, given, expected, call, nth, how, allowed)
  local descriptors = getenv "fault:fds"
  local ok, result, counts, took = run(scenario, given, ("%s %d %s"):format(call, nth, tostring(how)))
  if counts.hits == 0 and nth > 0 then return false end
  cases = cases + 1
  if took > 3 * timeout then complain(scenario, call, nth, how, ("took %.1f s"):format(took)) end
  -- A resolver thread that was left behind closes its pipe when it ends.
  local late = helper.clock() + 2
  while getenv "fault:fds" ~= descriptors and helper.clock() < late do end
  if getenv "fault:fds" ~= descriptors then
    complain(scenario, call, nth, how, ("descriptors: %s, then %s"):format(descriptors, getenv "fault:fds"))
  end
  if ok then
    if result ~= expected then complain(scenario, call, nth, how, "another result") end
  elseif type(result) ~= "table" then
    complain(scenario, call, nth, how, tostring(result))
  else
    local code = tostring(result.code)
    codes[code] = (codes[code] or 0) + 1
    if not allowed[code] then complain(scenario, call, nth, how, tostring(result.message)) end
  end
  return true
end

-- Starts new peers: their threads and connections are kept until they end.
local function fresh(scenario)
  helper.finish()
  return scenario.peers and scenario.peers()
end

-- A call for each byte takes long on a busy machine.
local function set_timeout(seconds)
  timeout, trusting.timeout, socket_options.timeout = seconds, seconds, seconds
end

-- From the nth descriptor on there are none for a while; afterwards all must be as before.
local function run_out_of_descriptors(scenario, expected)
  local nth, given = -1, fresh(scenario)
  repeat
    nth = nth + 1
    local has_hit = case(scenario, given, expected, "descriptors", nth, EMFILE, scenario.scarce or io_only)
    local ok, result = run(scenario, given, "- 0 0")
    if not ok or result ~= expected then
      complain(scenario, "descriptors", nth, EMFILE, "afterwards: " .. tostring(ok or result.message or result))
    end
  until not has_hit
end

local function sweep(scenario)
  local given = fresh(scenario)
  for _ = 1, 2 do assert(run(scenario, given, "- 0 0")) end
  local _, expected = run(scenario, given, "- 0 0")
  local begun, first = helper.clock(), cases
  for _, call in ipairs(scenario.only or sorted(faults)) do
    given = fresh(scenario)
    for _, how in ipairs(sorted(faults[call])) do
      -- Many calls are alike: beyond the first dozen, only some are tested.
      local nth, step = 1, 1
      local passes = scenario.passing and (how == ENOBUFS or how == ENOMEM)
      local own = scenario.codes and scenario.codes[call]
      local allowed = passes and scenario.passing or own and own[how] or faults[call][how]
      while case(scenario, given, expected, call, nth, how, allowed) do
        if nth >= 12 then step = step * 2 end
        nth = nth + step
      end
    end
  end
  run_out_of_descriptors(scenario, expected)
  set_timeout(10 * usual_timeout)
  for _, each in ipairs(scenario.passing and {} or always) do
    given = fresh(scenario)
    case(scenario, given, expected, each[1], 0, each[2], same)
  end
  set_timeout(usual_timeout)
  helper.finish()
  print(("%-16s %5d faults in %5.1f s"):format(scenario.name, cases - first, helper.clock() - begun))
  io.flush()
end

helper.pem "root" -- the peers' process must not be under the filter
assert(getenv "fault:install" == "yes", "no fault injection here: " .. tostring(getenv "fault:install"))

-- A thread is started only once: after its first lookup it waits for the next name.
local first = { name = "first name", run = function() return try(tcp.resolve("localhost", timeout))[1] end }
assert(case(first, nil, "127.0.0.1", "pthread_create", 1, EAGAIN, faults.pthread_create[EAGAIN]))

-- The system's store of CAs is also read only once, if that succeeds.
local store = { name = "first use of the system's CA store", run = function(port)
  return try(open(tcp.connect_tls("localhost", port, timeout)):read_str())
end }
local port, nth = helper.listen("c.send(b'hello')", { tls = "good" }).port, -1
repeat nth = nth + 1 until not case(store, port, "hello", "descriptors", nth, EMFILE, io_only)
helper.finish()

local chosen = {}
for _, name in ipairs(arg) do chosen[name] = true end
for _, scenario in ipairs(scenarios) do
  if scenario.found ~= false and (not next(chosen) or chosen[scenario.name]) then sweep(scenario) end
end

local words = {}
for _, code in ipairs(sorted(codes)) do words[#words + 1] = ("%s %d"):format(code, codes[code]) end
print(("%d faults: %d wrong; codes: %s"):format(cases, wrong, table.concat(words, ", ")))
os.exit(wrong == 0 and cases > 0 and 0 or 1, true)
