-- `tcp.luasocket` in coroutines of each loop: what LuaSocket would do one after the other goes on
-- at once.

local helper = require "spec.support.helper"
local faces = require "spec.support.faces"(it, pending)
local loops = require "spec.support.loops"

local unpack = table.unpack or unpack -- luacheck: ignore 143

local socket = faces.socket

local function connect(peer)
  return helper.keep(assert(socket.connect("127.0.0.1", peer.port)))
end

-- The place is found once the value is there: another coroutine may add one meanwhile.
local function add(list, value)
  list[#list + 1] = value
end

for _, loop in ipairs(loops) do
  describe("in " .. loop.name, function()
    after_each(helper.finish)

    local function it_in_loop(title, body)
      it(title, function()
        if not loop.found then
          return pending(loop.reason)
        end
        body()
      end)
    end

    it_in_loop("ten clients wait at once", function()
      local peer = helper.listen [[
        line = c.recv_line()
        time.sleep(0.2)
        c.send(b"you said " + line + b"\n")
      ]]
      local bodies, lines = {}, {}
      for i = 1, 10 do
        bodies[i] = function()
          local client = connect(peer)
          client:send(("number %d\n"):format(i))
          lines[i] = client:receive()
        end
      end
      local before = helper.clock()
      loop.within(unpack(bodies))
      assert(helper.clock() - before < 1.2, "one after the other")
      for i = 1, 10 do
        assert.equal(("you said number %d"):format(i), lines[i])
      end
    end)

    it_in_loop("timeouts, partial results and a timeout of 0 are as ever", function()
      local peer = helper.listen [[
        c.send(b"partial")
        c.hold()
      ]]
      local results = {}
      loop.within(function()
        local client = connect(peer)
        client:settimeout(0.1)
        results[1] = faces.pack(client:receive())
        results[2] = faces.pack(client:receive(5))
        client:settimeout(0)
        results[3] = faces.pack(client:receive())
        results[4] = faces.pack(client:send "x")
        results[5] = faces.pack(client:close())
        results[6] = faces.pack(client:receive())
      end)
      assert.same({
        { nil, "timeout", "partial", n = 3 }, { nil, "timeout", "", n = 3 },
        { nil, "timeout", "", n = 3 }, { 1, nil, nil, n = 3 }, { 1, n = 1 },
        { nil, "closed", "", n = 3 },
      }, results)
    end)

    it_in_loop("a server and its clients, and select between them", function()
      local said = {}
      local server = helper.keep(socket.bind("127.0.0.1", 0))
      local _, port = server:getsockname()
      loop.within(function()
        for _ = 1, 3 do
          local client = helper.keep(server:accept())
          add(said, client:receive())
          client:send "answer\n"
          client:close()
        end
      end, function()
        for i = 1, 3 do
          local client = helper.keep(socket.tcp())
          client:settimeout(i == 2 and 0 or nil)
          local ok = client:connect("127.0.0.1", port)
          if not ok then
            local _, writable = socket.select(nil, { client }, 3)
            assert(writable[1] == client)
            ok = client:connect("127.0.0.1", port)
          end
          assert(ok == 1, "not connected")
          client:send(i .. "\n")
          assert(socket.select({ client }, nil, 3)[1] == client)
          client:settimeout(3)
          add(said, client:receive())
          add(said, select(2, client:receive()))
        end
      end)
      table.sort(said)
      assert.same({ "1", "2", "3", "answer", "answer", "answer", "closed", "closed", "closed" }, said)
    end)

    it_in_loop("handshakes wait for each other, in blocking mode and in steps", function()
      local ssl = socket.ssl
      local server = helper.keep(socket.bind("127.0.0.1", 0))
      local _, port = server:getsockname()
      local heard = {}
      local function serve()
        local conn = helper.keep(ssl.wrap(helper.keep(server:accept()), { mode = "server", protocol = "any",
          certificate = helper.pem "good", key = helper.pem("good", "key"), verify = "none" }))
        assert(conn:dohandshake())
        add(heard, conn:receive())
        conn:send "answer\n"
      end
      local function ask(seconds)
        local conn = helper.keep(ssl.wrap(helper.keep(socket.connect("127.0.0.1", port)), { mode = "client",
          protocol = "any", verify = "peer", cafile = helper.pem "root" }))
        conn:sni "localhost"
        conn:settimeout(seconds)
        local ok, why = conn:dohandshake()
        while not ok do
          assert(why == "wantread" or why == "wantwrite", why)
          local reads = why == "wantread"
          socket.select(reads and { conn } or nil, not reads and { conn } or nil, 3)
          ok, why = conn:dohandshake()
        end
        conn:settimeout(3)
        conn:send "question\n"
        add(heard, conn:receive())
      end
      loop.within(serve, serve, function() ask() end, function() ask(0) end)
      table.sort(heard)
      assert.same({ "answer", "answer", "question", "question" }, heard)
    end)

    it_in_loop("sleeps and looks names up beside others", function()
      local order = {}
      loop.within(function()
        socket.sleep(0.1)
        order[#order + 1] = "slept"
      end, function()
        assert(socket.dns.toip "localhost")
        order[#order + 1] = "found"
      end)
      assert.same({ "found", "slept" }, order)
    end)

    it_in_loop("200 redis clients", function()
      if helper.output "command -v redis-server" == "" then
        return pending "there is no redis-server"
      end
      local server = helper.program("redis-server --port {port} --bind 127.0.0.1 --save ''")
      local done, bodies = 0, {}
      for i = 1, 200 do
        bodies[i] = function()
          local client = helper.keep(assert(socket.connect("127.0.0.1", server.port)))
          for j = 1, 5 do
            local key, value = ("key:%d:%d"):format(i, j), ("value %d\r\n"):format(j)
            client:send(("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n"):format(#key, key, #value, value))
            assert(client:receive() == "+OK")
            client:send(("*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n"):format(#key, key))
            local size = tonumber(client:receive():match "^%$(%d+)$")
            assert(client:receive(size) == value and client:receive() == "")
          end
          done = done + 1
        end
      end
      loop.within(unpack(bodies))
      assert.equal(200, done)
    end)
  end)
end

describe("a loop that waits in this module's select", function()
  after_each(helper.finish)

  -- As copas does: its sockets and the descriptor of this module's poller in one call.
  it("has the connections of its coroutines there, too", function()
    local peer = helper.listen [[ c.send(b"you said " + c.recv_line() + b"\n") ]]
    local said = helper.run(([[
      require("tcp.luasocket").install()
      local socket, ready, waiting, sleeping = require "socket", {}, {}, {}
      local copas = { _VERSION = "Copas 4.0.0", running = true }
      function copas.addthread(body)
        local thread = coroutine.create(body)
        ready[#ready + 1] = thread
        return thread
      end
      function copas.sleep(seconds)
        sleeping[coroutine.running()] = seconds < 0 and math.huge or socket.gettime() + seconds
        coroutine.yield()
      end
      function copas.wakeup(thread)
        if sleeping[thread] then
          sleeping[thread] = nil
          ready[#ready + 1] = thread
        end
      end
      function copas.receive(sock)
        local data, why = sock:receive()
        while why == "timeout" do
          waiting[sock] = coroutine.running()
          coroutine.yield()
          data, why = sock:receive()
        end
        return data, why
      end
      package.loaded.copas = copas
      require "tcp".use "copas"
      local left = 3
      for i = 1, 3 do
        copas.addthread(function()
          local client = assert(socket.connect("127.0.0.1", %d))
          client:settimeout(3)
          client:send(i .. "\n")
          io.write(client:receive(), ";")
          left = left - 1
        end)
      end
      for _ = 1, 1000 do
        while ready[1] do
          assert(coroutine.resume(table.remove(ready, 1)))
        end
        if left == 0 then break end
        local socks, now = {}, socket.gettime()
        for sock in pairs(waiting) do socks[#socks + 1] = sock end
        for _, sock in ipairs((socket.select(socks, nil, 0.01))) do
          ready[#ready + 1], waiting[sock] = waiting[sock], nil
        end
        for thread, at in pairs(sleeping) do
          if at <= now then copas.wakeup(thread) end
        end
      end
    ]]):format(peer.port))
    for i = 1, 3 do
      assert.matches("you said " .. i .. ";", said, 1, true)
    end
  end)
end)

describe("a connect that two tasks wait for", function()
  after_each(helper.finish)

  it("is had by both", function()
    local tcp = require "tcp"
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local sent, line
    local before = helper.clock()
    tcp.run(function()
      local client = helper.keep(socket.tcp())
      client:settimeout(0)
      client:connect("localhost", port)
      client:settimeout(3)
      tcp.spawn(function() sent = client:send "hello\n" end)
      tcp.spawn(function() line = client:receive() end)
      local accepted = helper.keep(server:accept())
      assert.equal("hello", (accepted:receive()))
      accepted:send "back\n"
    end)
    assert.same({ 6, "back" }, { sent, line })
    assert.is_true(helper.clock() - before < 1.5)
  end)
end)

describe("a task that is ended", function()
  after_each(helper.finish)

  it("is cancelled where it waits", function()
    if not loops.has_yielding_pcall then
      return pending "this Lua cannot yield across pcall"
    end
    local tcp = require "tcp"
    local peer = helper.listen [[ c.hold() ]]
    local results = {}
    local ok, why = pcall(tcp.run, function()
      tcp.spawn(function()
        local client = connect(peer)
        results.receive = { pcall(client.receive, client) }
      end)
      tcp.spawn(function()
        local listener = helper.keep(socket.bind("127.0.0.1", 0))
        results.accept = { pcall(listener.accept, listener) }
      end)
      tcp.sleep(0.1)
      error("the end", 0)
    end)
    assert.is_false(ok)
    assert.equal("the end", why)
    assert.is_false(results.receive[1])
    assert.matches("cancelled", tostring(results.receive[2]), 1, true)
    assert.is_false(results.accept[1])
  end)
end)
