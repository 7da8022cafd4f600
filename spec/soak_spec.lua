-- Many packets and many connections: memory and descriptors stay as they are. `make quick` leaves
-- them out.

local helper = require "spec.support.helper"
local tcp = require "tcp"

if helper.is_quick then return pending "a long life is tried by `make test`" end

local function collect()
  for _ = 1, 3 do collectgarbage() end
end

-- Runs `act(times)` four times and more, until a round has left memory as it was: allocators
-- settle, leaks do not. Sockets must not grow at all.
local function flat(times, act)
  local function measure()
    collect()
    return collectgarbage "count" * 1024, helper.memory "VmRSS", helper.sockets()
  end
  act(times)
  local lua, process, sockets = measure()
  for round = 2, 12 do
    act(times)
    local lua_before, process_before = lua, process
    local sockets_now
    lua, process, sockets_now = measure()
    assert.equal(sockets, sockets_now)
    if round >= 4 and lua - lua_before < 10000 and process - process_before < 200000 then return end
  end
  error("memory grows with every round", 0)
end

for _, over in ipairs(helper.kinds) do
  describe("a long life over " .. over.name, function()
    after_each(helper.finish)

    it("is 20,000 packets there and back", function()
      local conn = over.connect [[
        while True:
          data = c.recv()
          if not data: break
          c.send(data)
      ]]
      local packet = { comando = "atualizar", id = 0, valores = { 10, 20, 30 }, nome = "Conceição" }
      local total = 0
      flat(5000, function(times)
        for _ = 1, times / 20 do
          for i = 1, 20 do
            packet.id = total + i
            conn:write_json_packet(packet)
          end
          for i = 1, 20 do
            local answer = conn:read_json_packet()
            if answer.id ~= total + i or answer.nome ~= packet.nome then assert.same(packet, answer) end
          end
          total = total + 20
        end
      end)
      assert.is_true(total >= 20000)
    end)

    it("is 400 connections, opened and closed or forgotten", function()
      local peer = helper.listen([[ c.send_packet([1, 2, 3]) ]], { tls = over.name == "TLS" and "good" or nil })
      local options = { timeout = helper.timeout }
      if over.name == "TLS" then options.ca_file = helper.pem "root" end
      local connect = over.name == "TLS" and tcp.connect_tls or tcp.connect
      flat(100, function(times)
        for i = 1, times do
          local conn = connect("127.0.0.1", peer.port, options)
          assert(#conn:read_json_packet() == 3)
          if i % 2 == 0 then conn:close() end
        end
        connect("127.0.0.1", peer.port, options):close()
      end)
    end)

    it("is 8,000 failures", function()
      local conn = over.connect [[
        while True: c.send(packet(b"nope") * 1000)
        c.hold()
      ]]
      flat(1000, function(times)
        for _ = 1, times do
          if pcall(conn.read_json_packet, conn) or pcall(conn.write_json_packet, conn, print) then
            error "no failure"
          end
        end
      end)
    end)
  end)
end

describe("a long life", function()
  after_each(helper.finish)

  it("is 800 connects that fail", function()
    local port = helper.listen("", { listen = false }).port
    flat(200, function(times)
      for _ = 1, times do
        if pcall(tcp.connect, "127.0.0.1", port, helper.timeout) then error "no failure" end
      end
    end)
  end)

  it("is 200 connects that time out", function()
    local port = helper.listen("", { full = true }).port
    flat(50, function(times)
      for _ = 1, times do
        if pcall(tcp.connect, "127.0.0.1", port, 0.001) then error "no failure" end
      end
    end)
  end)

  it("is 200 certificates that are refused", function()
    local port = helper.listen("", { tls = "expired" }).port
    local options = { timeout = helper.timeout, ca_file = helper.pem "root" }
    flat(50, function(times)
      for _ = 1, times do
        if pcall(tcp.connect_tls, "127.0.0.1", port, options) then error "no failure" end
      end
    end)
  end)
end)
