-- What `receive` and `send` of `tcp.luasocket` give, beside LuaSocket itself in the same process.

local helper = require "spec.support.helper"
local faces = require "spec.support.faces"(it, pending)

local function connect(socket, code, options)
  local peer = helper.listen(code, options)
  local client = assert(socket.connect("127.0.0.1", peer.port))
  return helper.keep(client), peer
end

describe("receive", function()
  after_each(helper.finish)

  for name, bytes in pairs {
    ["lines"] = "one\ntwo\r\n\r\n\n last\n",
    ["carriage returns anywhere"] = "a\rb\r\r\nc\r\n\r\r\n",
    ["a last line without its end"] = "one\nunfinish\red",
    ["zero bytes and high bytes"] = "\0\255\0\n\128\r\n",
    ["nothing"] = "",
  } do
    faces.same("gives " .. name, function(socket, _, record)
      local client = connect(socket, ("c.send(%s)"):format(helper.bytes(bytes)))
      for _ = 1, 6 do
        record(client:receive())
      end
      record(client:receive "*l")
      record(client:receive("*l", "prefix"))
    end)
  end

  faces.same("gives so many bytes, and what there is at the end", function(socket, _, record)
    local client = connect(socket, [[ c.send(b"0123456789abcdef") ]])
    record(client:receive(4))
    record(client:receive(0))
    record(client:receive "3")
    record(client:receive(2.7))
    record(client:receive(4, "ab"))
    record(client:receive(2, "abc"))
    record(client:receive(2, "ab"))
    record(client:receive(100))
    record(client:receive(1))
    record(client:receive(0))
    record(client:receive(5, "x"))
  end)

  faces.same("gives all up to the end", function(socket, _, record)
    local client = connect(socket, [[ c.send(b"one\r\ntwo" * 10000) ]])
    record(client:receive(5))
    record(client:receive "*a")
    record(client:receive "*a")
    record(client:receive("*a", "prefix"))
    client = connect(socket, [[ c.send(b"more") ]])
    record(client:receive("*a", "prefix"))
    client = connect(socket, [[ pass ]])
    record(client:receive("*a", "prefix"))
  end)

  faces.same("takes the words that LuaSocket takes", function(socket, _, record)
    local client = connect(socket, [[ c.send(b"line\nall") ]])
    record(client:receive "*line")
    record(client:receive "*all")
    for _, pattern in ipairs { "l", "*n", "", -1, "-1", true, {} } do
      record((pcall(client.receive, client, pattern)))
    end
    record(pcall(function() client:receive "*x" end))
  end)

  faces.same("gives what has come by its timeout, which is gone then", function(socket, _, record)
    local client, peer = connect(socket, [[
      c.send(b"par\rtial")
      c.wait()
      c.send(b"12")
      c.wait()
      c.send(b"rest\n")
      c.hold()
    ]])
    client:settimeout(0.15)
    record(client:receive())
    record(client:receive())
    record(client:receive(3, "x"))
    peer:go()
    record(client:receive(5))
    record(client:receive "*a")
    peer:go()
    record(client:receive("*l", "12"))
    record(client:receive(0))
  end)

  faces.same("does not wait with a timeout of 0", function(socket, _, record)
    local client, peer = connect(socket, [[
      c.wait()
      c.send(b"now\nthen")
      c.hold()
    ]])
    client:settimeout(0)
    record(client:receive())
    record(client:receive(10))
    record(client:receive "*a")
    peer:go()
    record(#socket.select({ client }, nil, 3))
    record(client:receive())
    record(client:receive(10))
    record(client:receive(1))
  end)

  faces.same("tells a reset as closed", function(socket, _, record)
    local client = connect(socket, [[
      c.send(b"some")
      c.recv_exactly(1)
      c.reset()
    ]])
    record(client:receive(4))
    client:send "x"
    record(client:receive(4))
    record(client:receive "*a")
    record(client:receive())
  end)

  faces.same("ends a whole call by its timeout, however the bytes drip", function(socket, _, record)
    for _, mode in ipairs { "b", "t" } do
      local client = connect(socket, [[
        for _ in range(12):
          c.drip(b"x")
          time.sleep(0.05)
        c.send(b"\n")
        c.hold()
      ]])
      client:settimeout(0.25, mode)
      local before = socket.gettime()
      local line, why, partial = client:receive()
      record(line, why, #partial > 0 and #partial < 12)
      record(socket.gettime() - before < 0.45)
    end
  end)
end)

describe("send", function()
  after_each(helper.finish)

  faces.same("gives the index of the last byte", function(socket, _, record)
    local client, peer = connect(socket, [[ return c.recv_all() ]])
    record(client:send "hello")
    record(client:send("hello", 2))
    record(client:send("hello", 2, 4))
    record(client:send("hello", -2))
    record(client:send("hello", -4, -2))
    record(client:send("hello", 4, 2))
    record(client:send("hello", 9))
    record(client:send("hello", 0, 99))
    record(client:send "")
    record(client:send(42))
    record((pcall(client.send, client)))
    record((pcall(client.send, client, {})))
    client:close()
    record(peer:result())
    record(client:send "x")
    record(client:send("xyz", 2))
  end)

  faces.same("sends much, and is told what arrived", function(socket, _, record)
    local client, peer = connect(socket, [[ return len(c.recv_all()) ]])
    record(client:send(("x"):rep(3000000)))
    client:shutdown "send"
    record(client:send "more")
    record(peer:result())
  end)

  it("forgets what its timeout leaves, so that the caller can send it again", function()
    local data = ("0123456789\n"):rep(3000000)
    for _, seconds in ipairs { 0, 0.1 } do
      local client, peer = connect(faces.socket, [[
        c.wait()
        return len(c.recv_all())
      ]])
      client:settimeout(seconds)
      local sent, why, last = client:send(data)
      assert.is_nil(sent)
      assert.equal("timeout", why)
      assert.is_true(last > 0 and last < #data)
      assert.equal(0, client.conn:queued())
      peer:go()
      client:settimeout(3)
      assert.equal(#data, (client:send(data, last + 1)))
      client:shutdown "send"
      assert.equal(#data, peer:result())
      helper.finish()
    end
  end)

  faces.same("a peer that is gone is closed", function(socket, _, record)
    local client = connect(socket, [[
      c.recv_exactly(1)
      c.reset()
    ]])
    client:send "x"
    client:receive(1)
    record(client:send "x")
    record(client:send("x", 1))
  end)
end)

describe("the rest of a client", function()
  after_each(helper.finish)

  faces.same("counts, and can be told otherwise", function(socket, _, record)
    local client = connect(socket, [[
      c.recv_exactly(5)
      c.send(b"0123456789")
      c.hold()
    ]])
    client:send "hello"
    client:receive(4)
    local received, sent, age = client:getstats()
    record(received, sent, age >= 0 and age < 3)
    record(client:setstats(100, 200, 50))
    client:receive(1)
    received, sent, age = client:getstats()
    record(received, sent, age >= 50 and age < 53)
  end)

  faces.same("can be shut down, in one direction or both", function(socket, _, record)
    for _, how in ipairs { "send", "receive", "both" } do
      local client = connect(socket, [[
        c.send(b"some")
        c.hold()
      ]])
      socket.select({ client }, nil, 3)
      record(client:shutdown(how))
      client:settimeout(0.1)
      record(client:receive(2))
      record(client:receive(10))
      record(client:receive(10))
    end
    local client = connect(socket, [[ c.hold() ]])
    record(client:shutdown())
    record((pcall(client.shutdown, client, "neither")))
  end)

  faces.same("is closed for good", function(socket, _, record)
    local client = connect(socket, [[ c.hold() ]])
    record(client:close())
    record(client:close())
    record(client:receive())
    record(client:receive(3, "abc"))
    record(client:receive(4, "abc"))
    record(client:send "x")
    record(client:getfd())
    record(client:getpeername())
    record(client:getsockname())
    record(client:dirty())
    record(client:settimeout(1))
  end)

  faces.same("has timeouts of both kinds", function(socket, _, record)
    local client = socket.tcp()
    record(client:gettimeout())
    record(client:settimeout(1))
    record(client:settimeout(2, "t"))
    record(client:settimeout(3, "r"))
    record(client:gettimeout())
    record(client:settimeout(nil))
    record(client:settimeout(-5, "total"))
    record(client:gettimeout())
    record((pcall(client.settimeout, client, 1, "x")))
    record((pcall(client.settimeout, client, {})))
  end)
end)
