-- What the specs share: peers that do not use the module (serve.py), checks of failures, a clock,
-- and child processes of the Lua under test.
--
-- The peers of a test live until `after_each(helper.finish)`. That also closes the connections that
-- the test opened, and raises the errors of a peer's own code. The peers' process ends with this
-- one.

local assert = require "luassert"

local helper = {}

-- A timeout for all that a test does not measure itself, in seconds.
helper.timeout = 3

helper.certificates = ".build/spec/certificates"

-- Whether what takes long is left out, for `make quick`.
helper.is_quick = os.getenv "TCP_SPEC_QUICK" == "1"

-- Returns these cases; where `helper.is_quick`, the first and each third after it.
function helper.some(cases)
  if not helper.is_quick then return cases end
  local some = {}
  for i = 1, #cases, 3 do some[#some + 1] = cases[i] end
  return some
end

local python = os.getenv "PYTHON" or "python3"
helper.python = python

function helper.contents(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local unpack = table.unpack or unpack -- luacheck: ignore 143
local load = loadstring or load -- luacheck: ignore 113 143

-- Returns the bytes as a Python literal, for a peer's code.
function helper.bytes(text)
  return "b'" .. text:gsub(".", function(c) return ("\\x%02x"):format(c:byte()) end) .. "'"
end

-- The process of the peers ------------------------------------------------------------------------

-- The process is kept in Lua's registry: busted loads this file again for each spec file, and one
-- process is enough.
local registry = debug.getregistry()
local key = "peers of the specs"

local function json(value)
  if type(value) == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  elseif type(value) == "table" then
    local members = {}
    for k, v in pairs(value) do
      members[#members + 1] = json(k) .. ":" .. json(v)
    end
    return "{" .. table.concat(members, ",") .. "}"
  end
  return tostring(value)
end

local function start()
  local fifo = os.tmpname()
  os.remove(fifo)
  local answers = assert(io.popen(("sh spec/support/make_ca.sh %s && mkfifo -m 600 %s && exec %s %s %s %s")
    :format(helper.certificates, fifo, python, "spec/support/serve.py", fifo, helper.certificates), "r"))
  assert.equal("ready", answers:read "*l")
  -- The FIFO is open for reading, too, so that it never blocks and never raises SIGPIPE.
  local requests = assert(io.open(fifo, "r+"))
  registry[key] = { answers = answers, requests = requests }
end

-- Returns the file of a certificate (see make_ca.sh), or of its key if `kind` is "key". The process
-- of the peers makes the files when it starts, if they do not exist.
function helper.pem(name, kind)
  if not registry[key] then start() end
  return ("%s/%s.%s"):format(helper.certificates, name, kind or "pem")
end

-- Sends a request to the process of the peers, and returns its answer.
local function ask(...)
  if not registry[key] then start() end
  local process, parts = registry[key], {}
  for i = 1, select("#", ...) do
    parts[i] = json((select(i, ...)))
  end
  process.requests:write("[", table.concat(parts, ","), "]\n")
  process.requests:flush()
  local answer = process.answers:read "*l"
  if not answer then
    registry[key] = nil
    error("the process of the peers is gone", 0)
  end
  local ok, value = assert(load(answer))()
  if not ok then error(value, 0) end
  return value
end

-- Peers -------------------------------------------------------------------------------------------

local peer_methods = {}
local peer_mt = { __index = peer_methods }

-- Returns the result of the peer's code on its first (or nth) connection, once that has ended;
-- raises the error of that code.
function peer_methods:result(n)
  return ask("result", self.index, n or 1)
end

-- Lets `c.wait()` of the peer's code return, `times` times.
function peer_methods:go(times)
  ask("go", self.index, times or 1)
end

-- Returns the number of connections so far.
function peer_methods:count()
  return ask("count", self.index)
end

-- Returns the other end's address on the first (or nth) connection, as the peer sees it: {ip,
-- port}.
function peer_methods:sees(n)
  return ask("address", self.index, n or 1)
end

local function new_peer(kind, code, options)
  -- The spec that has the code is the caller's caller, or one level further on.
  local place = debug.getinfo(3, "Sl")
  if place.short_src:find("support/helper.lua", 1, true) then place = debug.getinfo(4, "Sl") end
  local made = ask(kind, code, place.short_src, place.currentline, options)
  return setmetatable({ index = made[1], port = made[2] }, peer_mt)
end

-- A listening peer whose behaviour is `code` (Python; see serve.py). Options: `host`, `port`, `tls`
-- (the name of its certificate) with `version`, `ciphers`, `alpn`, `client_ca`, `drip`;
-- `listen = false` (refuses), `full = true` (the kernel does not answer), and
-- `delay` (until then, in seconds). With `path` it listens at a Unix socket.
function helper.listen(code, options)
  local peer = new_peer("listen", code, options or {})
  return peer
end

-- A peer that connects to this port, or to the option `path`, `times` times. Options: `host`,
-- `times`, `tls = true` (it trusts the specs' CA) with `server_name`, `certificate`, `version`,
-- `ciphers`, `alpn`.
function helper.dial(port, code, options)
  local all = { port = port }
  for k, v in pairs(options or {}) do all[k] = v end
  local peer = new_peer("dial", code, all)
  return peer
end

-- Starts a server that is a program of its own, by a shell command in which `{port}` stands for its
-- port. It is ready when that port is open. With the option `ready`, a regular expression, it is
-- ready when it has written a line that matches; a group in it is the port.
function helper.program(command, options)
  local peer = new_peer("program", command, options or {})
  return peer
end

-- Returns a seeded generator of whole numbers 1..n, the same on every Lua.
function helper.generator(seed)
  return function(n)
    seed = seed * 16807 % 2147483647
    return seed % n + 1
  end
end

-- Starts openssl s_server with this certificate and further options. It sends back each line
-- reversed.
function helper.s_server(certificate, options)
  local chain = io.open(helper.pem(certificate, "chain"))
  if chain then chain:close() end
  chain = chain and "-cert_chain " .. helper.pem(certificate, "chain") or ""
  local command = ("openssl s_server -rev -accept 127.0.0.1:0 -cert %s %s -key %s %s"):format(
    helper.pem(certificate), chain, helper.pem(certificate, "key"), options or "")
  return (helper.program(command, { ready = "^ACCEPT .*:([0-9]+)" }))
end

-- Connections -------------------------------------------------------------------------------------

local opened = {}

-- Closes a connection at the end of the test; returns its arguments.
function helper.keep(connection, ...)
  if connection then opened[#opened + 1] = connection end
  return connection, ...
end

-- Returns the options of a call, with the specs' timeout unless another is given. A short one is
-- for the calls that follow: connecting may take longer on a busy machine.
local function with_defaults(options, defaults)
  if type(options) == "number" then options = { timeout = options } end
  local all = { connect_timeout = defaults.timeout }
  for k, v in pairs(defaults) do all[k] = v end
  for k, v in pairs(options or {}) do all[k] = v end
  return all
end

-- Returns options of TLS with the specs' CA and timeout, and more; `ca_file = false` removes the
-- CA.
function helper.trusting(...)
  local all = { ca_file = helper.pem "root", timeout = helper.timeout }
  for i = 1, select("#", ...) do
    for name, value in pairs((select(i, ...)) or {}) do all[name] = value end
  end
  if not all.ca_file then all.ca_file = nil end
  return all
end

-- Copies a certificate of the specs to these files.
function helper.put_certificate(name, certificate_path, key_path)
  for path, kind in pairs { [certificate_path] = "pem", [key_path] = "key" } do
    local file = assert(io.open(path, "wb"))
    file:write(helper.contents(helper.pem(name, kind)))
    file:close()
  end
end

-- Connects to a new peer; returns the connection and the peer. `module` is by default `tcp`.
function helper.connect(code, options, listener, module)
  local peer = helper.listen(code, listener)
  local host = listener and listener.host or "127.0.0.1"
  options = with_defaults(options, { timeout = helper.timeout })
  return helper.keep((module or require "tcp").connect(host, peer.port, options)), peer
end

-- A handshake of a listener with these options of TLS and a client with those: what the client is
-- told where it fails, and what the listener's end is.
function helper.refusals(server, client)
  local tcp, safe = require "tcp", require "tcp.safe"
  local listener = helper.keep(safe.listen("127.0.0.1", 0, { tls = server }))
  local ours, theirs
  tcp.run(function()
    tcp.spawn(function()
      local conn = listener:accept(helper.timeout)
      theirs = select(2, conn:read_str(helper.timeout))
      conn:close()
    end)
    client.timeout = helper.timeout
    ours = select(2, safe.connect_tls("localhost", listener:port(), client))
  end)
  return ours, theirs
end

-- The same over TLS. The peer has the certificate `good` unless `listener.tls` names another.
function helper.connect_tls(code, options, listener, module)
  listener = with_defaults(listener, { tls = "good" })
  local peer = helper.listen(code, listener)
  options = with_defaults(options, { timeout = helper.timeout })
  if not (options.ca or options.ca_dir) then options.ca_file = options.ca_file or helper.pem "root" end
  local host = listener.host or "127.0.0.1"
  return helper.keep((module or require "tcp").connect_tls(host, peer.port, options)), peer
end

-- A path where nothing is, for a Unix socket.
function helper.unix_path()
  local path = os.tmpname()
  os.remove(path)
  return path .. ".sock"
end

-- The same over a Unix socket.
function helper.connect_unix(code, options, listener, module)
  listener = with_defaults(listener, { path = helper.unix_path() })
  local peer = helper.listen(code, listener)
  options = with_defaults(options, { timeout = helper.timeout })
  return helper.keep((module or require "tcp").connect_unix(listener.path, options)), peer
end

-- Has the peer's `c.reset()` reset: over a Unix socket it does so where it leaves bytes unread.
function helper.prepare_reset(over, conn)
  if over.is_unix then conn:send "unread" end
end

-- What holds for one kind of connection is specified for all. `label`: whom its messages name, as a
-- pattern.
helper.kinds = {
  { name = "TCP", connect = helper.connect, class = "tcp.Connection", label = "127%.0%.0%.1:%d+" },
  { name = "TLS", connect = helper.connect_tls, class = "tcp.TlsConnection", label = "127%.0%.0%.1:%d+" },
  { name = "a Unix socket", connect = helper.connect_unix, class = "tcp.Connection", is_unix = true,
    label = "unix:/%S+" },
}

-- Ends the peers of a test, for `after_each`.
function helper.finish()
  local connections = opened
  opened = {}
  for _, connection in ipairs(connections) do connection:close() end
  if registry[key] then ask "end" end
end

-- Ends the process of the peers now, and not with this one. It starts again when it is needed.
function helper.stop()
  local process = registry[key]
  registry[key] = nil
  if not process then return end
  process.requests:close()
  process.answers:close()
end

-- Failures ----------------------------------------------------------------------------------------

-- Returns what `fn` throws, without its position. It must be a plain string that begins with a
-- position inside `fn` itself, the caller of the failing function.
local function thrown(fn)
  local ok, message = pcall(fn)
  assert(not ok, "nothing was thrown")
  assert.equal("string", type(message))
  local place = debug.getinfo(fn, "S")
  local source, line, rest = message:match "^(%S-):(%d+): (.*)$"
  assert(source == place.short_src, "not at the caller's position: " .. message)
  line = tonumber(line)
  assert(line >= place.linedefined and line <= place.lastlinedefined,
    "not at the caller's line: " .. message)
  return rest
end

-- Checks that a message is `<operation> <peer>: <code>: <detail>`, and that it matches.
local function check_message(message, code, pattern)
  assert.equal("string", type(message))
  local head, given = message:match "^([%l_]+ ?%S*): (%l[%l_]*): ."
  assert(head, "not `<operation> <peer>: <code>: <detail>`: " .. message)
  assert(given == code, ("%s expected: %s"):format(code, message))
  -- Patterns that hold for each kind of connection are written for TCP.
  if head:find " unix:" then pattern = (pattern or ""):gsub("127%%%.0%%%.0%%%.1:%%d%+", "unix:%%S+") end
  assert(message:find(pattern or ""), ("%q expected: %s"):format(pattern or "", message))
  assert(not message:find "[\r\n]", "more than one line: " .. message)
end

-- `fn` must throw a failure of this code whose text (without position) matches; returns that text.
-- `fn` must make the failing call itself, and not as a tail call.
function helper.fails(code, pattern, fn)
  local message = thrown(fn)
  check_message(message, code, pattern)
  return message
end

-- The same for the results of a call of `tcp.safe`: nil, message, code[, details]; returns message
-- and details.
function helper.fails_safely(code, pattern, value, message, given, details)
  assert.is_nil(value)
  check_message(message, code, pattern)
  assert.equal(code, given)
  return message, details
end

-- `fn` must throw an argument error in the words of Lua's own library.
function helper.misuse(expected, fn)
  -- Lua says `no value` if an argument is missing, and cannot always tell it from nil.
  local message = thrown(fn):gsub("got no value", "got nil")
  assert.equal(expected, message)
end

-- Time --------------------------------------------------------------------------------------------

local has_system, system = pcall(require, "system")
local grain = has_system and 0 or 0.01

-- The file is kept open: some specs read the clock when no descriptor is free.
local uptime = not has_system and assert(io.open "/proc/uptime")
if uptime then uptime:setvbuf "no" end

-- Returns the seconds of a monotonic clock.
function helper.clock()
  if has_system then return system.monotime() end
  uptime:seek "set"
  return tonumber(uptime:read():match "^%S+")
end

-- `act` must take `seconds`: never less, and at most 50 ms more. A busy machine is late at times,
-- and a fault always, so there are many tries. `prepare` (not measured) returns the arguments of
-- `act`.
function helper.takes(seconds, prepare, act)
  local late
  for _ = 1, 20 do
    local prepared = { prepare() }
    local before = helper.clock()
    act(unpack(prepared))
    local took = helper.clock() - before
    assert(took >= seconds - grain, ("%.3f s early"):format(seconds - took))
    late = took - seconds
    if late <= 0.05 + grain then return end
  end
  assert(false, ("%.3f s late"):format(late))
end

-- `act` must not wait for input that does not come: it must take less than half of the specs'
-- timeout. Returns its results.
function helper.at_once(act, what)
  local before = helper.clock()
  local result = act()
  local took = helper.clock() - before
  assert(took < helper.timeout / 2, ("%.3f s: %s"):format(took, what or "not at once"))
  return result
end

-- This process, and others ------------------------------------------------------------------------

-- Returns the output of a shell command.
local function output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end
helper.output = output

-- Returns why a library is missing, in one line.
local function reason(name, message)
  if message:find "module '[%w_.]+' not found" then return ("no %s for this Lua"):format(name) end
  return ("%s: %s"):format(name, message:match "[^\r\n]*")
end

-- Returns a library, or nil and the reason if this Lua has none or cannot load it.
function helper.library(name)
  local ok, result = pcall(require, name)
  if ok then return result end
  return nil, reason(name, tostring(result))
end

-- The same for the library of an event loop, which `tcp.use` may refuse, too. Another process tries
-- it, so that the loop in use here stays.
function helper.loop(name)
  if helper.is_quick and name ~= "cqueues" then return nil, name .. " is left out of `make quick`" end
  local said = helper.run(("io.write(tostring(select(2, pcall(require('tcp').use, %q))))"):format(name))
  if said ~= "nil" then return nil, reason(name, said) end
  return helper.library(name)
end

local interpreter = output "readlink /proc/$PPID/exe":gsub("\n", "")

-- Returns the program of the Lua under test.
function helper.interpreter()
  return interpreter
end

-- Returns a Python that has this module, or nil.
function helper.python_with(module)
  for _, each in ipairs { python, "python3", "/usr/bin/python3" } do
    if output(("%s -c 'import %s' 2>&1 && echo there"):format(each, module)) == "there\n" then return each end
  end
  helper.excuse(module .. " for Python")
end

-- Returns the number of open sockets of this process.
function helper.sockets()
  return tonumber(output "ls -l /proc/$PPID/fd 2>/dev/null | grep -c socket:")
end

-- Returns a line of /proc/self/status, in bytes: VmRSS, VmSize.
function helper.memory(what)
  return tonumber(helper.contents("/proc/self/status"):match(what .. ":%s*(%d+) kB")) * 1024
end

-- Runs Lua source in a new process of the Lua under test. `before` is shell text before the command
-- (variables, `unshare`...). `preload` is a result of `helper.preload`, for sh or another `shell`.
-- Returns the output, with stderr's, and the status.
function helper.run(code, before, preload, shell)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(("package.path = %q package.cpath = %q "):format(package.path, package.cpath), code)
  file:close()
  local command = ("%s timeout -s KILL 30 %s %s %s 2>&1; echo \" $?\""):format(
    before or "", preload or "", helper.interpreter(), path)
  local text = output(shell and ("%s -c '%s'"):format(shell, command) or command)
  os.remove(path)
  local said, status = text:match "^(.*) (%d+)\n$"
  return said, tonumber(status)
end

-- The same for a process that must succeed: returns its output.
function helper.run_well(...)
  local said, status = helper.run(...)
  assert.equal(0, status, said)
  return said
end

-- The library that is made of a C file in spec/support/.
local function compiled(name)
  local library, source = (".build/spec/%s.so"):format(name), ("spec/support/%s.c"):format(name)
  output(("mkdir -p .build/spec; test %s -nt %s || { cc -shared -fPIC -o %s.$PPID %s && mv %s.$PPID %s; }")
    :format(library, source, library, source, library, library))
  return library
end

-- Lua source that gives a process `fork` and `wait` (see fork.c).
function helper.forking()
  local library = compiled "fork"
  return ("local fork, wait = assert(package.loadlib(%q, 'spec_fork')), package.loadlib(%q, 'spec_wait')\n")
    :format(library, library)
end

-- Lua source that gives a process `finalized(act)`: an object whose finalizer calls `act`.
helper.finalizing = [[
  local function finalized(act)
    if not newproxy then return setmetatable({}, { __gc = act }) end
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = act
    return proxy
  end
]]

-- Returns a function that gives the value of a socket's option (see sockopt.c).
function helper.sockopt()
  return assert(package.loadlib(compiled "sockopt", "spec_sockopt"))
end

-- Whether this machine allows a network namespace of our own.
function helper.has_namespaces()
  local possible = output "unshare -rnm true 2>&1 && echo yes" == "yes\n"
  if not possible then helper.excuse "network namespaces" end
  return possible
end

-- Compiles a C file whose functions replace those of the C library, in a process that `helper.run`
-- starts (see tests/faults/fault.c). Returns nil if it cannot be compiled.
function helper.preload(source)
  local library = ".build/spec/" .. source:match "(%w+)%.c$" .. ".so"
  local compile = ("mkdir -p .build/spec && cc -shared -fPIC -o %s %s -ldl"):format(library, source)
  if output(compile .. " 2>/dev/null && echo yes") == "yes\n" then
    return "env LD_PRELOAD=$PWD/" .. library
  end
  helper.excuse("a C compiler, for " .. source)
end

-- Leaves a test out if something is missing; in CI that is a failure.
function helper.excuse(what)
  assert(os.getenv "CI" ~= "true", "CI needs " .. what)
end

-- Starts a PostgreSQL server, with its Unix sockets in the folder `sockets` if that is given.
-- Returns nil where there is none to start.
function helper.postgres(sockets)
  if output "ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null; command -v postgres" == "" then
    helper.excuse "a PostgreSQL server"
    return nil
  end
  return helper.program(("sh spec/support/postgres.sh {port} %s %s %s"):format(
    helper.pem "good", helper.pem("good", "key"), sockets or ""), { ready = "ready to accept connections" })
end

-- Returns shell text to put before a command, which runs it in a network namespace. Only these
-- names resolve there: a list of "address=name" (see namespace.py).
function helper.namespace(hosts)
  return ("unshare -rnm %s spec/support/namespace.py %s"):format(python, table.concat(hosts, ","))
end

return helper
