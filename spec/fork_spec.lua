-- A child of fork (a worker of a prefork server, a daemon): what it has of the module is its own,
-- and its parent's is left alone.

local helper = require "spec.support.helper"

-- Runs Lua source that may fork, in a fresh process which must end well; gives its output. It sees
-- tcp, helper, `fork(fn)`, which runs `fn` in a child, and `join()`, which wants one to end well.
local function run(code)
  local said, status = helper.run(helper.forking() .. [[
    local tcp, helper = require "tcp", require "spec.support.helper"
    local begin = fork
    local function fork(fn)
      local id = begin()
      if id ~= 0 then return id end
      local ok, message = pcall(fn)
      if not ok then io.stderr:write(tostring(message), "\n") end
      os.exit(ok and 0 or 1)
    end
    local function join()
      local status = wait()
      assert(status == 0, "a child ended with " .. status)
    end
  ]] .. code)
  assert.equal(0, status, said)
  return said
end

local ECHO = [[
  while True:
    data = c.recv(100)
    if not data: break
    c.send(data)
]]

describe("a child of fork", function()
  after_each(helper.finish)

  for _, name in ipairs { "cqueues", "luv" } do
    it("waits in its own loop of " .. name .. ", and neither takes the other's events", function()
      local found, why = helper.loop(name)
      if not found then return pending(why) end
      local peer = helper.listen(ECHO)
      run(([[
        local loop, port = require("spec.support.loops").%s, %d
        tcp.use(loop.use)
        local function work(times)
          local function talk()
            local conn = tcp.connect("127.0.0.1", port, 5)
            for i = 1, times do
              conn:send(("%%8d"):format(i))
              local before = helper.clock()
              assert(conn:read(8) == ("%%8d"):format(i))
              assert(helper.clock() - before < 2, "a wait went on to its timeout")
            end
            conn:close()
          end
          loop.run(talk, talk, talk, talk)
        end
        work(3)
        local children = {}
        for i = 1, 3 do children[i] = fork(function() work(100) end) end
        work(100)
        for i = 1, 3 do join(children[i]) end
      ]]):format(name, peer.port))
    end)
  end

  it("goes on with a connection that its parent waited for before", function()
    local found, why = helper.loop "cqueues"
    if not found then return pending(why) end
    local peer = helper.listen(ECHO)
    run(([[
      local cqueues = require "cqueues"
      tcp.use "cqueues"
      local conn
      local function talk(times)
        return function()
          for i = 1, times do
            conn:send(("%%8d"):format(i))
            assert(conn:read(8) == ("%%8d"):format(i))
          end
        end
      end
      local loop = cqueues.new()
      loop:wrap(function()
        conn = tcp.connect("127.0.0.1", %d, 3)
        talk(3)()
      end)
      assert(loop:loop())
      join(fork(function()
        local own = cqueues.new()
        own:wrap(talk(20))
        assert(own:loop())
        conn:close()
      end))
      loop:wrap(talk(20))
      assert(loop:loop())
    ]]):format(peer.port))
  end)

  it("resolves names", function()
    assert.equal("127.0.0.1127.0.0.1", run [[
      local function look()
        for _, address in ipairs(tcp.resolve("localhost", 3)) do
          if address == "127.0.0.1" then io.write(address) end
        end
        io.stdout:flush()
      end
      look()
      join(fork(look))
    ]])
  end)

  it("that keeps a connection which its parent has closed leaves the next one of that number alone", function()
    local found, why = helper.loop "luv"
    if not found then return pending(why) end
    -- The end of the first comes while the second is waited for.
    local first = helper.listen [[
      c.send(b"x")
      time.sleep(1)
    ]]
    local second = helper.listen [[
      c.send(b"x")
      c.hold()
    ]]
    local said = run(([[
      local uv = require "luv"
      tcp.use "luv"
      local safe = require "tcp.safe"
      coroutine.wrap(function()
        local conn = safe.connect("127.0.0.1", %d, 3)
        conn:read(1)
        local number = conn:fd()
        conn:set_timeout(0.05)
        assert(select(3, conn:recv()) == "timeout")
        fork(function() os.execute "sleep 2" end)
        conn:close()
        conn = safe.connect("127.0.0.1", %d, 3)
        assert(conn:fd() == number)
        conn:read(1)
        conn:set_timeout(1.5)
        local before = os.clock()
        assert(select(3, conn:recv()) == "timeout")
        io.write(("%%.2f"):format(os.clock() - before))
      end)()
      uv.run()
    ]]):format(first.port, second.port))
    assert.is_true(tonumber(said) < 0.2, said)
  end)
end)
