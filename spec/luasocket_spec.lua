-- `tcp.luasocket` as a module: how it takes LuaSocket's place, and what it has besides sockets.

local helper = require "spec.support.helper"
local faces = require "spec.support.faces"(it, pending)

-- Runs a script in a new process; gives what it writes.
local function run(script)
  return (helper.run(script))
end

describe("install", function()
  it("has require give this module for LuaSocket and LuaSec", function()
    assert.equal("true true true true true true", run [[
      local face = require("tcp.luasocket")
      io.write(tostring(face.install() == face), " ")
      io.write(tostring(require "socket" == face), " ")
      io.write(tostring(require "socket.core" == face), " ")
      io.write(tostring(require "ssl" == face.ssl), " ")
      io.write(tostring(require "ssl.x509".load == face.ssl.loadcertificate), " ")
      face.install()
      io.write(tostring(type(require "ssl.core") == "table" and type(require "ssl.context") == "table"))
    ]])
  end)

  it("says which of them is loaded already", function()
    for _, name in ipairs { "socket", "socket.core", "ssl", "ssl.core", "ssl.context", "ssl.x509" } do
      local said = run(([[
        package.loaded[%q] = {}
        io.write((select(2, pcall(require("tcp.luasocket").install))))
      ]]):format(name))
      assert.matches(("'%s' is loaded already: call install() before"):format(name), said, 1, true)
    end
  end)

  it("is found by the all-in-one loader, and compiled when it is asked for", function()
    assert.equal("nil table nil", run [[
      local tcp = require "tcp"
      io.write(type(package.loaded["tcp.luasocket"]), " ")
      io.write(type(require "tcp.luasocket"), " ")
      io.write(type(package.loaded["socket"]))
    ]])
  end)

  it("leaves the last connection of tcp.send alone", function()
    local peer = helper.listen [[ c.hold() ]]
    local _, why = require "tcp.safe".recv()
    local client = faces.socket.connect("127.0.0.1", peer.port)
    assert.equal(why, (select(2, require "tcp.safe".recv())))
    client:close()
    helper.finish()
  end)
end)

describe("the module", function()
  after_each(helper.finish)

  it("has all that LuaSocket has", function()
    if not faces.real then
      return pending(faces.why)
    end
    for name, value in pairs(faces.real) do
      assert.equal(type(value), type(faces.socket[name]), name)
    end
    for name in pairs(faces.real.dns) do
      assert.equal("function", type(faces.socket.dns[name]), name)
    end
    local theirs, ours = faces.real.tcp(), faces.socket.tcp()
    for name, value in pairs(getmetatable(theirs).__index) do
      assert.equal(type(value) == "function" and "function" or "nil",
        type(value) == "function" and type(ours[name]) or "nil", name)
    end
  end)

  faces.same("has exceptions", function(socket, _, record)
    local finalized = 0
    local try = socket.newtry(function() finalized = finalized + 1 end)
    local protected = socket.protect(function(...)
      return try(...)
    end)
    record(protected(1, 2, nil))
    record(protected(nil, "why", "more"))
    record(protected(false, "why"))
    record(protected(nil))
    record(protected(nil, { "table" }))
    record(finalized)
    record(pcall(socket.protect(function() error("other", 0) end)))
    record(pcall(socket.protect(function() error({ 1 }, 0) end)))
    record(socket.protect(function() return socket.try(nil, "inner") end)())
    record(socket.protect(function()
      return "outer", socket.protect(function() return socket.try(nil, "inner") end)()
    end)())
    record(type(select(2, pcall(socket.try, nil, "raised"))))
    record(getmetatable(select(2, pcall(socket.try, nil, "raised"))))
    record(socket.try(1, nil, 3))
    record(socket.skip(1, "a", "b", "c"))
    record(socket.skip(3, "a"))
  end)

  faces.same("has the clock", function(socket, _, record)
    record(math.abs(socket.gettime() - os.time()) < 2)
    local before = socket.gettime()
    record(socket.sleep(0.05))
    local took = socket.gettime() - before
    record(took >= 0.045 and took < 0.5)
    record(socket.sleep(0))
    record(socket.sleep(-1))
    record((pcall(socket.sleep)))
    record((pcall(socket.sleep, {})))
  end)

  faces.same("has sources and sinks", function(socket, _, record)
    local peer = helper.listen [[ c.send(b"0123456789" * 500); return c.recv_all().decode() ]]
    local client = helper.keep(socket.connect("127.0.0.1", peer.port))
    local source = socket.source("by-length", client, 2500)
    record(#source())
    record(#source())
    record(source())
    record(source.getfd() == client:getfd(), source.dirty())
    local sink = socket.sink("keep-open", client)
    record(sink "hello")
    record(sink())
    record(client:send " there")
    client:shutdown "send"
    source = socket.source("until-closed", client)
    record(#source())
    record(#source())
    record(source())
    record(source())
    record(peer:result())
    peer = helper.listen [[ return c.recv_all().decode() ]]
    client = helper.keep(socket.connect("127.0.0.1", peer.port))
    sink = socket.sink("close-when-done", client)
    record(sink "all")
    record(sink())
    record(peer:result())
    record(client:getfd())
    record((pcall(socket.source, "no such source", client)))
    record((pcall(socket.sink, client)))
  end)

  faces.same("looks names up", function(socket, _, record)
    record(socket.dns.toip "127.0.0.1")
    record((socket.dns.toip "localhost"))
    record(type(select(2, socket.dns.toip "localhost")))
    record(socket.dns.getaddrinfo "127.0.0.1")
    record(socket.dns.getaddrinfo "::1")
    record(#socket.dns.getaddrinfo "localhost" > 0)
    record((socket.dns.toip "no such host"))
    record(socket.dns.getaddrinfo "no such host")
    record(socket.dns.gethostname())
    record((pcall(socket.dns.toip)))
    record((pcall(socket.dns.getnameinfo)))
    record(socket.dns.tohostname "127.0.0.1")
    record(socket.dns.getnameinfo "127.0.0.1")
  end)

  it("has LuaSocket's UDP where that is installed", function()
    local ok, made = pcall(faces.socket.udp)
    if faces.real then
      assert.is_true(ok)
      assert.matches("udp{unconnected}", tostring(made), 1, true)
      made:close()
    else
      assert.is_false(ok)
      assert.matches("LuaSocket is not installed: tcp.luasocket has TCP and TLS alone", made, 1, true)
    end
  end)

  it("serves LuaSocket's http, smtp and ltn12", function()
    if not faces.real then
      return pending(faces.why)
    end
    local peer = helper.listen [[
      head = b""
      while b"\r\n\r\n" not in head:
        head += c.recv()
      c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n")
      return head.decode().split("\r\n")[0]
    ]]
    assert.equal("200 hello there", run(([[
      require("tcp.luasocket").install()
      local body, code = require "socket.http".request "http://127.0.0.1:%d/path"
      io.write(tostring(code), " ", tostring(body))
    ]]):format(peer.port)))
    assert.equal("GET /path HTTP/1.1", peer:result())
  end)
end)

describe("nothing is left behind", function()
  after_each(helper.finish)

  it("where sockets are closed, or dropped", function()
    local socket = faces.socket
    local peer = helper.listen [[ c.recv_all() ]]
    collectgarbage()
    collectgarbage()
    local before = helper.sockets()
    for i = 1, 20 do
      local client = socket.tcp()
      client:settimeout(i % 2 == 0 and 0 or nil)
      client:connect("127.0.0.1", peer.port)
      if i % 3 == 0 then
        client:close()
      end
      local server = socket.bind("127.0.0.1", 0)
      if i % 2 == 0 then
        server:close()
      end
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, helper.sockets())
  end)
end)
