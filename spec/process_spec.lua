-- The process stays the script's: signals, descriptors, children.

local helper = require "spec.support.helper"

local run = helper.run_well

-- In a child: its own process id, and a connection to `port`.
local prelude = [[
  local pid = io.open("/proc/self/stat"):read "*n"
  local function status(what)
    return io.open("/proc/self/status"):read("*a"):match(what .. ":%%s*(%%x+)")
  end
  local tcp = require "tcp"
  local conn = tcp.connect("127.0.0.1", %d, { timeout = 20, connect_timeout = 3 })
]]

describe("a process", function()
  after_each(helper.finish)

  describe("that is interrupted (Ctrl-C)", function()
    -- The interpreter's own handler must be there: standalone programs set it, hosts may not.
    -- os.execute itself ignores the signal while it waits, so it comes from behind.
    local handled
    local function handles_interrupts()
      if handled == nil then
        handled = helper.run [[
          local pid = io.open("/proc/self/stat"):read "*n"
          local ok, message = pcall(function()
            os.execute("(sleep 0.1; kill -INT " .. pid .. ") &")
            local before = os.clock()
            repeat until os.clock() - before > 1
          end)
          io.write(tostring(message))
        ]]:find "interrupted!" ~= nil
      end
      return handled
    end

    for _, case in ipairs {
      { "reads", [[ conn:read_str() ]] },
      { "reads a packet", [[ conn:read_json_packet() ]] },
      { "receives", [[ conn:recv() ]] },
      { "writes", [[ conn:send(("x"):rep(3e7)) ]] },
      { "connects", [[ tcp.connect("127.0.0.1", full, 20) ]] },
      { "shakes hands", [[ tcp.connect_tls("127.0.0.1", silent, 20) ]] },
    } do
      it("ends its wait at once where it " .. case[1], function()
        if not handles_interrupts() then return pending "this interpreter has no handler" end
        local silent = helper.listen [[ c.hold() ]]
        local full = helper.listen("", { full = true })
        local before = helper.clock()
        local said = run((prelude .. [[
          local silent, full = %d, %d
          local ok, message = pcall(function()
            os.execute("(sleep 0.2; kill -INT " .. pid .. ") &")
            %s
          end)
          io.write(tostring(ok), " ", tostring(message))
        ]]):format(silent.port, silent.port, full.port, case[2]))
        assert.matches("^false .*interrupted!", said)
        assert.is_true(helper.clock() - before < 10, "it went on waiting")
      end)
    end

    it("ends its wait at once, whenever around the beginning of the wait the signal comes", function()
      if not handles_interrupts() then return pending "this interpreter has no handler" end
      local peer = helper.listen [[ c.hold() ]]
      -- A process each, since an interpreter lets its second Ctrl-C kill it.
      for tenths = 180, 240, 6 do
        local began = helper.clock()
        local said = run((prelude .. [[
          local ok, message
          local before = os.clock()
          ok, message = pcall(function()
            os.execute("(sleep 0.02; kill -INT " .. pid .. ") &")
            while os.clock() - before < %d / 10000 do end
            conn:recv()
          end)
          io.write(tostring(ok), " ", tostring(message))
        ]]):format(peer.port, tenths))
        assert.matches("^false .*interrupted!", said)
        assert.is_true(helper.clock() - began < 10, "it went on waiting")
      end
    end)

    if type(jit) == "table" then
      it("ends its wait in a coroutine, too", function()
        if not handles_interrupts() then return pending "this interpreter has no handler" end
        local peer = helper.listen [[ c.hold() ]]
        local before = helper.clock()
        local said = run((prelude .. [[
          local reader = coroutine.create(function()
            os.execute("(sleep 0.2; kill -INT " .. pid .. ") &")
            return conn:recv()
          end)
          io.write(tostring(select(2, coroutine.resume(reader))))
        ]]):format(peer.port))
        assert.matches("interrupted!", said)
        assert.is_true(helper.clock() - before < 10, "it went on waiting")
      end)
    end

    it("may go on with its connection, having lost nothing", function()
      if not handles_interrupts() then return pending "this interpreter has no handler" end
      local peer = helper.listen [[
        c.send(b"\0\0\0\x05[1")
        c.recv_exactly(2)
        c.send(b",2]")
      ]]
      assert.equal("2", run((prelude .. [[
        local ok = pcall(function()
          os.execute("(sleep 0.2; kill -INT " .. pid .. ") &")
          conn:read_json_packet()
        end)
        assert(not ok)
        conn:send("go")
        io.write(#conn:read_json_packet())
      ]]):format(peer.port)))
    end)
  end)

  it("keeps its signals' dispositions", function()
    local peer = helper.listen [[ c.close() ]]
    assert.equal("same same same", run(([[
      local function state()
        -- Signals 1 to 28; the C library takes two above 31 for its threads.
        local text, all = io.open("/proc/self/status"):read "*a", ""
        for _, what in ipairs { "SigBlk", "SigIgn", "SigCgt" } do
          all = all .. text:match(what .. ":%%s*%%x+(%%x%%x%%x%%x%%x%%x%%x)\n") .. " "
        end
        return all
      end
      local before = state()
      local function compare() io.write(state() == before and "same" or "changed") end
      local tcp = require "tcp"
      compare()
      io.write " "
      local conn = tcp.connect("localhost", %d, 3)
      for _ = 1, 100 do
        if not pcall(conn.send, conn, ("x"):rep(10000)) then break end
      end
      compare()
      io.write " "
      pcall(tcp.connect_tls, "localhost", %d, 3)
      compare()
    ]]):format(peer.port, peer.port), "env --default-signal=PIPE"))
  end)

  it("gives its children none of its connections", function()
    local peer = helper.listen [[ c.hold() ]]
    assert.equal("0\n", run((prelude .. [[
      local other = tcp.connect("localhost", %d, 3)
      io.stdout:write(io.popen("ls -l /proc/self/fd | grep -c socket:"):read "*a")
      assert(conn:is_open() and other:is_open())
    ]]):format(peer.port, peer.port)))
  end)

  it("may have more than 1024 descriptors", function()
    local plain = helper.listen [[ c.send_packet(json.loads(c.recv_packet())) ]]
    local secret = helper.listen([[ c.send_packet(json.loads(c.recv_packet())) ]], { tls = "good" })
    assert.equal("fine", run(([[
      local files = {}
      for i = 1, 1100 do files[i] = assert(io.open "/dev/null") end
      local tcp = require "tcp"
      local conns = {
        tcp.connect("localhost", %d, 3), tcp.connect_tls("localhost", %d, { timeout = 3, ca_file = %q }),
      }
      for _, conn in ipairs(conns) do
        conn:write_json_packet { 1, 2, 3 }
        assert(#conn:read_json_packet() == 3)
      end
      io.write "fine"
    ]]):format(plain.port, secret.port, helper.pem "root"), "ulimit -n 4096 &&"))
  end)

  it("says in words that it has no descriptor left", function()
    local peer = helper.listen [[ c.hold() ]]
    local said = run(([[
      local tcp = require "tcp.safe"
      pcall(tcp.connect, "localhost", %d, 3):close()
      local files = {}
      repeat files[#files + 1] = io.open "/dev/null" until #files == 0 or not io.open "/dev/null"
      local value, message, code = tcp.connect("127.0.0.1", %d, 3)
      io.write(tostring(value), " ", tostring(code), " ", tostring(message))
    ]]):gsub("pcall%(tcp.connect, (.-)%):close%(%)", "tcp.connect(%1):close()"):format(peer.port, peer.port),
      "ulimit -n 60 &&")
    assert.matches("^nil io connect 127%.0%.0%.1:%d+: io: .*open files", said)
  end)

  it("says so, too, where the last descriptors go to the resolver, at its first name and later", function()
    local peer = helper.listen [[ c.hold() ]]
    for _, warm in ipairs { "", [[ assert(tcp.connect("localhost", port, 3)):close() ]] } do
      assert.equal("fine", run(([[
        local port = %d
        local tcp = require "tcp.safe"
        %s
        local files = {}
        local file = io.open "/dev/null"
        while file do
          files[#files + 1] = file
          file = io.open "/dev/null"
        end
        local failed, connected = 0, 0
        for free = 1, 12 do
          files[#files]:close()
          files[#files] = nil
          local conn, message, code = tcp.connect("localhost", port, 3)
          if conn then
            connected = connected + 1
            conn:close()
          else
            assert(code == "io" and message:find "io: too many open files", free .. ": " .. message)
            failed = failed + 1
          end
        end
        assert(failed > 0 and connected > 0)
        io.write "fine"
      ]]):format(peer.port, warm), "ulimit -n 60 &&"))
    end
  end)

  it("has its connections' bytes once, also when a child forks off", function()
    local peer = helper.listen [[ return c.recv_all() ]]
    run((prelude .. [[
      conn:send("before ")
      os.execute("true")
      conn:send("after")
    ]]):format(peer.port))
    assert.equal("before after", peer:result())
  end)
end)
