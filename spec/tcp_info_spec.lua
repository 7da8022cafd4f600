-- What the kernel knows of a connection (`info().tcp`), how long an answer took
-- (`info().timings.first_byte`), and what a failed connect has tried (`details.attempts`).

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

for _, over in ipairs(helper.kinds) do
  if over.name == "TCP" or over.name == "TLS" then describe("info().tcp over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("tells what the kernel does, in seconds and bytes", function()
      local conn = connect [[
        c.send(b"x" * 1000000)
        c.hold()
      ]]
      conn:send(("y"):rep(10000))
      conn:read(1000000)
      local info = conn:info().tcp
      if helper.output "uname" ~= "Linux\n" then return assert.is_nil(info) end
      assert.equal("established", info.state)
      for _, name in ipairs { "rtt", "rtt_variance", "min_rtt" } do
        assert.equal("number", type(info[name]), name)
        assert.is_true(info[name] > 0 and info[name] < 1, name)
      end
      assert.is_true(info.min_rtt <= info.rtt + 1e-6)
      for _, name in ipairs { "retransmits", "lost", "congestion_window", "mss", "path_mtu", "delivery_rate" } do
        assert.equal("number", type(info[name]), name)
        assert.equal(0, info[name] % 1, name)
      end
      assert.is_true(info.mss < info.path_mtu)
      assert.is_true(info.delivery_rate > 1000)
      local count = 0
      for _ in pairs(info) do count = count + 1 end
      assert.equal(10, count)
    end)

    it("follows the state", function()
      local conn, peer = connect [[
        c.wait()
        c.raw.shutdown(socket.SHUT_WR)
        c.hold()
      ]]
      peer:go()
      local late = helper.clock() + helper.timeout
      while conn:is_alive() and helper.clock() < late do tcp.poll({}, {}, 0.005) end
      assert.equal("close_wait", conn:info().tcp.state)
      local other, there = connect [[
        c.recv_all()
        c.wait()
      ]]
      other:shutdown()
      if over.name == "TCP" then
        tcp.poll({}, {}, 0.05)
        assert.equal("fin_wait_2", other:info().tcp.state)
      end
      there:go()
    end)

    it("is absent once the connection is closed, and all else stays", function()
      local conn = connect [[ c.send(c.recv_exactly(5)) ]]
      conn:send "hello"
      assert.equal("hello", conn:read(5))
      local before = conn:info()
      assert.is_table(before.tcp)
      conn:close()
      before.tcp = nil
      assert.same(before, conn:info())
      assert.equal("number", type(conn:info().timings.first_byte))
    end)

    it("is there for an accepted connection", function()
      local settings = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
      local listener = tcp.listen("127.0.0.1", 0, { tls = over.name == "TLS" and settings or nil })
      helper.dial(listener:port(), [[ c.hold() ]])
      local conn = helper.keep(listener:accept(helper.timeout))
      listener:close()
      assert.equal("established", conn:info().tcp.state)
    end)
  end) end

  describe("first_byte over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    local function first_byte(conn) return conn:info().timings.first_byte end

    it("is the time from the last write to the first byte behind it", function()
      local conn = connect [[
        c.send(b"greeting")
        for pause in 0.1, 0.02:
          c.recv_line()
          time.sleep(pause)
          c.drip(b"answer\n", 0.02)
        c.hold()
      ]]
      assert.is_nil(first_byte(conn))
      assert.equal("greeting", conn:read(8))
      assert.is_nil(first_byte(conn))
      conn:send "question"
      assert.is_nil(first_byte(conn))
      for _, pause in ipairs { 0.1, 0.02 } do
        local before = helper.clock()
        conn:send "\n"
        assert.is_nil(first_byte(conn))
        conn:read(1)
        local took = first_byte(conn)
        assert.is_true(took >= pause and took <= helper.clock() - before + 0.01, took)
        -- The rest of the answer comes later.
        conn:read_line()
        assert.equal(took, first_byte(conn))
      end
    end)

    it("is absent where the end of the stream is the answer", function()
      local conn = connect [[ c.recv_line() ]]
      conn:send "bye\n"
      assert.equal("", conn:read_str())
      assert.is_nil(first_byte(conn))
    end)
  end)
end

describe("info().tcp", function()
  after_each(helper.finish)

  -- What ss says of this connection, by name.
  local function ss(conn)
    local ports = { conn:info().sock.port, conn:info().peer.port }
    local said = helper.output(("ss -tinH 'sport = :%d and dport = :%d'"):format(ports[1], ports[2]))
    local rtt, variance = said:match " rtt:([%d.]+)/([%d.]+)"
    return {
      rtt = rtt and rtt / 1000, rtt_variance = variance and variance / 1000, mss = tonumber(said:match " mss:(%d+)"),
      path_mtu = tonumber(said:match " pmtu:(%d+)"), congestion_window = tonumber(said:match " cwnd:(%d+)"),
      min_rtt = said:match " minrtt:([%d.]+)" and said:match " minrtt:([%d.]+)" / 1000,
      delivery_rate = said:match " delivery_rate (%d+)bps" and said:match " delivery_rate (%d+)bps" / 8,
    }
  end

  it("agrees with ss", function()
    if helper.output "command -v ss" == "" then return pending "no ss here" end
    local conn = helper.connect [[
      c.send(c.recv_exactly(100000))
      c.hold()
    ]]
    conn:send(("x"):rep(100000))
    conn:read(100000)
    -- A delayed acknowledgement may come between the two.
    local agreed, theirs, ours
    for _ = 1, 5 do
      tcp.poll({}, {}, 0.1)
      theirs, ours = ss(conn), conn:info().tcp
      agreed = true
      for name, value in pairs(theirs) do
        -- ss rounds to microseconds, and to bits.
        agreed = agreed and math.abs(ours[name] - value) <= math.max(1.1e-6, name == "delivery_rate" and 8 or 0)
      end
      if agreed then break end
    end
    assert.is_true(agreed, ("rtt %s, ss %s"):format(ours.rtt, theirs.rtt))
    assert.is_number(theirs.rtt)
    assert.is_number(theirs.mss)
  end)

  it("counts what was sent again", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    if helper.output "command -v tc" == "" then return pending "no tc here" end
    local said, status = helper.run([[
      local tcp = require "tcp"
      local function run(command)
        local ok = os.execute(command)
        return ok == true or ok == 0
      end
      -- Losses at random, or where the kernel has none, those of a queue that is too short.
      assert(run "ip link set lo mtu 1500")
      assert(run "tc qdisc add dev lo root netem loss 10% 2>/dev/null" or
        run "tc qdisc add dev lo root tbf rate 4mbit burst 5k limit 6k")
      local listener = tcp.listen("127.0.0.1", 0)
      local conn = tcp.connect("127.0.0.1", listener:port(), { timeout = 10 })
      local other = listener:accept(10)
      assert(conn:info().tcp.retransmits < 5)
      other:set_timeout(10)
      local lost = 0
      for _ = 1, 20 do
        conn:send(("x"):rep(20000))
        lost = math.max(lost, conn:info().tcp.lost)
        assert(#other:read(20000) == 20000)
      end
      local info = conn:info().tcp
      print(info.retransmits > 5, info.path_mtu, info.retransmits >= lost)
      local shown = io.popen("ss -tinH sport = :" .. conn:info().sock.port):read "*a"
      io.write(tostring(tonumber(shown:match "retrans:%d+/(%d+)") - conn:info().tcp.retransmits <= 1))
    ]], helper.namespace { "127.0.0.1=localhost" })
    assert.equal(0, status, said)
    assert.equal("true\t1500\ttrue\ntrue", said)
  end)
end)

describe("what a failed connect has tried", function()
  after_each(helper.finish)

  it("is each address, what came of it, and how long that took", function()
    local port = helper.listen("", { listen = false }).port
    local _, details = helper.fails_safely("refused", "", safe.connect("127.0.0.1", port, helper.timeout))
    assert.equal(1, #details.attempts)
    assert.equal("127.0.0.1", details.attempts[1].ip)
    assert.equal("refused", details.attempts[1].code)
    assert.is_true(details.attempts[1].seconds >= 0 and details.attempts[1].seconds < 0.5)
    assert.is_nil(details.phase)
  end)

  it("has those that were under way when the time ran out", function()
    local port = helper.listen("", { full = true }).port
    local _, details = helper.fails_safely("timeout", "", safe.connect("127.0.0.1", port, 0.1))
    assert.equal("connect", details.phase)
    assert.equal(1, #details.attempts)
    assert.equal("timeout", details.attempts[1].code)
    assert.is_true(details.attempts[1].seconds >= 0.09 and details.attempts[1].seconds < 0.3)
  end)

  it("has all addresses of a name", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    local said, status = helper.run([[
      local tcp = require "tcp.safe"
      local helper = require "spec.support.helper"
      local port = helper.listen("", { full = true, host = "127.0.0.3" }).port
      local _, message, code, details = tcp.connect("three.example", port, 0.4)
      print(code, details.phase)
      for _, each in ipairs(details.attempts) do
        print(each.ip, each.code, each.seconds < 0.1, each.seconds > 0.3)
      end
      helper.finish()
    ]], helper.namespace { "127.0.0.2=three.example", "127.0.0.3=three.example", "::1=three.example" })
    assert.equal(0, status, said)
    local lines = {}
    for line in said:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("timeout\tconnect", lines[1])
    table.sort(lines)
    assert.same({
      "127.0.0.2\trefused\ttrue\tfalse", "127.0.0.3\ttimeout\tfalse\ttrue", "::1\trefused\ttrue\tfalse",
      "timeout\tconnect",
    }, lines)
  end)

  it("has the one that connected, where its handshake failed", function()
    local port = helper.listen("c.hold()", { tls = "good" }).port
    local _, details = helper.fails_safely("certificate", "", safe.connect_tls("127.0.0.1", port, helper.timeout))
    assert.equal(1, #details.attempts)
    assert.equal("certificate", details.attempts[1].code)
    assert.is_table(details.certificate)
    port = helper.listen("c.hold()").port
    _, details = helper.fails_safely("timeout", "", safe.connect_tls("127.0.0.1", port, 0.1))
    assert.same({ "127.0.0.1", "timeout", "tls" }, { details.attempts[1].ip, details.attempts[1].code, details.phase })
  end)

  it("is nothing where the name does not resolve", function()
    local _, details = helper.fails_safely("dns", "", safe.connect("a..invalid", 9, helper.timeout))
    assert.same({ attempts = {} }, details)
  end)

  it("has the local address that cannot be had", function()
    local port = helper.listen("").port
    local _, details = helper.fails_safely("address", "",
      safe.connect("127.0.0.1", port, { bind = "192.0.2.1", timeout = helper.timeout }))
    assert.equal("address", details.attempts[1].code)
  end)
end)

describe("too many open files", function()
  after_each(helper.finish)

  it("are told with the limit", function()
    local port = helper.listen("c.hold()").port
    local said, status = helper.run(([[
      local tcp = require "tcp.safe"
      local files = {}
      repeat
        local file = io.open "/dev/null"
        files[#files + 1] = file
      until not file
      local _, message, code = tcp.connect("127.0.0.1", %d, 3)
      io.write(code, " ", message:match "io: (.*)")
    ]]):format(port), "ulimit -n 50 &&")
    assert.same({ "io too many open files (the limit is 50, see ulimit -n)", 0 }, { said, status })
  end)
end)
