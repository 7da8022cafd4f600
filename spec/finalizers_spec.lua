-- Finalizers that use a connection from which an item is being read: the collector runs them where
-- memory is taken for that item. Each test has a process of its own, which is small.

local helper = require "spec.support.helper"

-- The numbers from 1 on come in lines of five bytes. `readers` are the ways to read one of them.
local SETUP = helper.finalizing .. [[
  local COUNT = 400
  local tcp = require "tcp"
  if _VERSION == "Lua 5.5" then
    collectgarbage("param", "pause", 1)
    collectgarbage("param", "stepmul", 1000)
  else
    collectgarbage("setpause", 1)
    collectgarbage("setstepmul", 1000)
  end

  -- Calls `act` whenever the collector finds a new piece of garbage, until `stop` is called.
  local function at_each_collection(act)
    local is_over = false
    local function arm()
      finalized(function()
        if not is_over then
          act()
          arm()
        end
      end)
    end
    arm()
    return function() is_over = true end
  end

  local readers = {
    ["read_line"] = function(conn) return conn:read_line() end,
    ["read_line with a limit"] = function(conn) return conn:read_line(100) end,
    ["read_line with its end"] = function(conn) return conn:read_line(100, "keep") end,
    ["read"] = function(conn) return conn:read(5) end,
    ["recv"] = function(conn) return conn:recv(5) end,
    ["tcp.recv"] = function() return tcp.recv(5) end,
    ["read_until"] = function(conn) return conn:read_until "\n" end,
    ["read_match"] = function(conn) return conn:read_match "(%d+)\n" end,
    ["lines"] = function(conn, lines) return (lines or conn:lines())() end,
  }

  local function new_pair(count)
    local listener = tcp.listen("127.0.0.1", 0)
    local conn = tcp.connect("127.0.0.1", listener:port(), 1)
    local peer = listener:accept(1)
    listener:close()
    for i = 1, count do peer:send(("%04d\n"):format(i)) end
    return conn, peer
  end
]]

describe("a finalizer that runs while an item is read", function()
  for _, name in ipairs {
    "read_line", "read_line with a limit", "read_line with its end", "read", "recv", "tcp.recv", "read_until",
    "read_match", "lines",
  } do
    it(("by %s may read, and each item comes once"):format(name), function()
      helper.run_well(SETUP .. ([[
        local read, runs = readers[%q], 0
        for inner_name, inner_read in pairs(readers) do
          local conn, peer = new_pair(COUNT)
          local numbers, is_reading = {}, false
          local function add(item)
            local number = tonumber(item)
            numbers[#numbers + 1] = number
          end
          local stop = at_each_collection(function()
            -- In Lua 5.1 a finalizer may run within another one.
            if is_reading or #numbers > COUNT - 50 then return end
            is_reading = true
            local ok, item = pcall(inner_read, conn)
            is_reading = false
            if ok then
              runs = runs + 1
              add(item)
            end
          end)
          local lines = %q == "lines" and conn:lines()
          while #numbers < COUNT do
            add((read(conn, lines)))
            local _ = { ("x"):rep(1000) }
          end
          stop()
          -- A finalizer may run between a read and the next line here.
          table.sort(numbers)
          for i = 1, COUNT do
            assert(numbers[i] == i, ("%%s: %%s in place of %%d"):format(inner_name, tostring(numbers[i]), i))
          end
          conn:close()
          peer:close()
        end
        assert(runs > 0 or %q == "read_match")
      ]]):format(name, name, name))
    end)

    it(("by %s may close the connection"):format(name), function()
      helper.run_well(SETUP .. ([[
        local read = readers[%q]
        for _ = 1, 50 do
          local conn, peer = new_pair(100)
          local lines = %q == "lines" and conn:lines()
          local stop = at_each_collection(function() pcall(conn.close, conn) end)
          for i = 1, 100 do
            local ok, item = pcall(read, conn, lines)
            if not ok then
              assert(tostring(item):find "closed", item)
              break
            end
            assert(tonumber(item) == i, item)
          end
          stop()
          peer:close()
        end
      ]]):format(name, name, name))
    end)
  end
end)
