-- Forks at each point of a connection's life, plain and TLS, connected and accepted. One process
-- gives the connection up, by close, the collector or its end. The other one continues, and neither
-- it nor the peer may notice. Then a process that has waited in a loop forks workers, which wait in
-- loops of their own. None may miss its own events. Run by tests/faults/run.

local helper = require "spec.support.helper"
local tcp = require "tcp"

local timeout = 5
local getenv = os.getenv

local cases, wrong = 0, 0

local function complain(...)
  wrong = wrong + 1
  print(("forks: %s: %s"):format(...))
end

-- Forks. The child ends with the result of `act`; the parent continues at once.
local function fork(act, name)
  if getenv "fault:fork" ~= "0" then return end
  local ok, message = pcall(act)
  if not ok then print(("forks: %s: %s"):format(name, message)) end
  io.flush()
  os.exit(ok and 0 or 1, false)
end

-- The peer sends two answers at once, so that one waits in the buffer.
local conversation = [[
  heard = [c.recv_packet().decode()]
  c.send(packet(b"one") + packet(b"two"))
  heard.append(c.recv_packet().decode())
  return " ".join(heard + [c.ending()])
]]

-- The steps of a connection, in turn.
local steps = {
  function(conn) conn:write_packet "first" end,
  function(conn) assert(conn:read_packet() == "one") end,
  function(conn) assert(conn:read_packet() == "two") end,
  function(conn) conn:write_packet "second" end,
  function(conn) conn:close() end,
}
local from_buffer = 3

local function take_steps(conn, from, to)
  for i = from, to do steps[i](conn) end
end

-- The ways to give up the connection that `holder` has.
local ways = {
  close = function(holder) holder.conn:close() end,
  collect = function(holder)
    holder.conn = nil
    collectgarbage()
    collectgarbage()
  end,
  exit = function() os.exit(0, true) end,
}

local kinds = {
  { name = "TCP" },
  { name = "TLS 1.3", version = "1.3" },
  { name = "TLS 1.2", version = "1.2" },
}

-- Each returns a peer, and a function that opens the connection to it in another process.
local sides = {}

function sides.connected(kind)
  local peer = helper.listen(conversation, { tls = kind.version and "good", version = kind.version })
  return peer, function()
    if not kind.version then return tcp.connect("127.0.0.1", peer.port, timeout) end
    return tcp.connect_tls("127.0.0.1", peer.port, { timeout = timeout, ca_file = helper.pem "root" })
  end
end

function sides.accepted(kind)
  local tls = kind.version and { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
  local listener = tcp.listen("127.0.0.1", 0, { timeout = timeout, tls = tls or nil })
  local peer = helper.dial(listener:port(), conversation, { tls = kind.version and true, version = kind.version })
  return peer, function() return (listener:accept(timeout)) end, listener
end

-- Continues with the connection. A child uses it before the parent gives it up, since only the
-- process that has used it last sends close_notify. Reading buffered bytes does not count.
local function go_on(holder, done, is_child)
  local before = done
  if is_child then before = done == from_buffer - 1 and done + 2 or done + 1 end
  take_steps(holder.conn, done + 1, before)
  getenv "fault:tell"
  getenv "fault:hear"
  take_steps(holder.conn, before + 1, #steps)
end

local function leave(holder, way)
  getenv "fault:hear"
  way(holder)
  getenv "fault:tell"
end

local function case(side, kind, done, goes_on, how)
  local name = ("%s %s, after %d steps, %s leaves by %s"):format(kind.name, side, done,
    goes_on == "parent" and "the child" or "the parent", how)
  local peer, open, listener = sides[side](kind)
  fork(function()
    local holder = { conn = open() }
    take_steps(holder.conn, 1, done)
    local function part(of)
      if of == goes_on then go_on(holder, done, of == "child") else leave(holder, ways[how]) end
    end
    fork(function() part "child" end, name)
    part "parent"
  end, name)
  local statuses = getenv "fault:wait" .. " " .. getenv "fault:wait"
  cases = cases + 1
  if statuses ~= "0 0" then complain(name, "the processes ended with " .. statuses) end
  local ok, heard = pcall(peer.result, peer)
  if heard ~= "first second end" then complain(name, "the peer heard " .. tostring(ok and heard or heard)) end
  if listener then listener:close() end
  helper.finish()
end

local function each_point()
  for _, kind in ipairs(kinds) do
    for _, side in ipairs { "connected", "accepted" } do
      for done = 0, #steps - 2 do
        for _, goes_on in ipairs { "parent", "child" } do
          for _, how in ipairs { "close", "collect", "exit" } do case(side, kind, done, goes_on, how) end
        end
      end
    end
  end
end

-- Ten coroutines wait twenty times each, for answers that come a moment later.
local function wait_often(cqueues, port, times)
  local loop = cqueues.new()
  for _ = 1, 10 do
    loop:wrap(function()
      local conn = tcp.connect("127.0.0.1", port, 2)
      for _ = 1, times do
        conn:write_str "?"
        assert(conn:read(1) == "!")
      end
      conn:close()
    end)
  end
  assert(loop:loop())
end

local function workers()
  local cqueues = helper.library "cqueues"
  if not cqueues then return end
  tcp.use "cqueues"
  local port = helper.listen("while c.recv(1): time.sleep(0.01); c.send(b'!')").port
  wait_often(cqueues, port, 1)
  local count = 8
  for i = 1, count do
    fork(function() wait_often(cqueues, port, 20) end, "worker " .. i)
  end
  for i = 1, count do
    cases = cases + 1
    local status = getenv "fault:wait"
    if status ~= "0" then complain("a worker of " .. count, "ended with " .. status .. " as number " .. i) end
  end
  tcp.use(nil)
  helper.finish()
end

each_point()
workers()
print(("%d forks: %d wrong"):format(cases, wrong))
os.exit(wrong == 0 and cases > 0 and 0 or 1, true)
