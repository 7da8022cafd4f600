-- client.lua PEER PORT COUNT [CA_FILE]: makes COUNT checks at once. Each connects, exchanges a
-- packet of 300 bytes and closes. With CA_FILE each connects over TLS, verifies the certificate,
-- reads when it expires, and closes. Prints wall seconds, CPU seconds, and the most memory that the
-- process took, in bytes for each check.

local peer, port, count, ca_file = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4]
local body = ("x"):rep(300)
local header = string.char(0, 0, 1, 44)

local function memory(what)
  local file = assert(io.open "/proc/self/status")
  local size = file:read("*a"):match(what .. ":%s*(%d+) kB")
  file:close()
  return size * 1024
end

-- What the module does, in whatever loop.
local function check(tcp)
  if ca_file then
    local conn = tcp.connect_tls("localhost", port, { timeout = 60, ca_file = ca_file, family = "inet" })
    assert(conn:info().tls.certificate.not_after > os.time())
    return conn:close()
  end
  local conn = tcp.connect("127.0.0.1", port, 60)
  conn:write_packet(body)
  assert(conn:read_packet() == body)
  conn:close()
end

local peers = {}

function peers.tcp()
  local tcp, items = require "tcp", {}
  for i = 1, count do items[i] = i end
  return function()
    local _, errors = tcp.map(items, function() check(tcp) end, { concurrency = count })
    assert(not next(errors), select(2, next(errors)))
  end
end

peers["tcp+cqueues"] = function()
  local cqueues, tcp = require "cqueues", require "tcp"
  tcp.use "cqueues"
  return function()
    local loop = cqueues.new()
    for _ = 1, count do loop:wrap(check, tcp) end
    assert(loop:loop())
  end
end

peers["tcp+luv"] = function()
  local uv, tcp = require "luv", require "tcp"
  tcp.use "luv"
  return function()
    for _ = 1, count do coroutine.wrap(check)(tcp) end
    uv.run()
  end
end

function peers.cqueues()
  local cqueues, socket = require "cqueues", require "cqueues.socket"
  local context
  if ca_file then
    local store = require("openssl.x509.store").new()
    store:add(ca_file)
    context = require("openssl.ssl.context").new("TLS", false)
    context:setStore(store)
    context:setVerify(require("openssl.ssl.context").VERIFY_PEER)
  end
  local function own()
    local connection = socket.connect { host = "127.0.0.1", port = port, nodelay = true, sendname = "localhost" }
    connection:setmode("bn", "bn")
    assert(connection:connect(60))
    if ca_file then
      assert(connection:starttls(context, 60))
      local certificate = connection:checktls():getPeerCertificate()
      assert(select(2, certificate:getLifetime()) > os.time())
    else
      assert(connection:xwrite(header .. body, "bn", 60))
      assert(connection:xread(4, "b", 60) == header)
      assert(connection:xread(#body, "b", 60) == body)
    end
    connection:close()
  end
  return function()
    local loop = cqueues.new()
    for _ = 1, count do loop:wrap(own) end
    assert(loop:loop())
  end
end

function peers.luv()
  local uv, done = require "luv", 0
  local function own()
    local connection, buffer = uv.new_tcp(), ""
    connection:nodelay(true)
    connection:connect("127.0.0.1", port, function(failure)
      assert(not failure, failure)
      connection:write(header .. body)
      connection:read_start(function(broken, chunk)
        assert(not broken and chunk, broken)
        buffer = buffer .. chunk
        if #buffer == 304 then
          assert(buffer == header .. body)
          done = done + 1
          connection:close()
        end
      end)
    end)
  end
  return function()
    for _ = 1, count do own() end
    uv.run()
    assert(done == count)
  end
end

local act = peers[peer]()
collectgarbage()
local now = require("cqueues").monotime
local base, began, cpu = memory "VmRSS", now(), os.clock()
act()
print(("%.6f %.6f %.0f"):format(now() - began, os.clock() - cpu, (memory "VmHWM" - base) / count))
