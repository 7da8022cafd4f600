-- Memory that the system refuses: the call fails with Lua's own error, nothing is lost, and the
-- process lives.

local helper = require "spec.support.helper"

-- Behind it the process has 8 MiB, and `huge` cannot be copied once.
local SCARCE = [[
  local tcp, safe = require "tcp", require "tcp.safe"
  local listener = tcp.listen("127.0.0.1", 0)
  local port = listener:port()
  local conn = tcp.connect("127.0.0.1", port, { max_packet = 2 ^ 30, max_buffer = 2 ^ 30 })
  local limited = tcp.connect("127.0.0.1", port)
  local peer = listener:accept()
  local huge = '"' .. ("x"):rep(48 * 2 ^ 20) .. '"'
  -- All that runs with little memory has run before.
  pcall(tcp.connect_tls, "127.0.0.1", port, { ca = "x" })
  pcall(tcp.connect, "localhost", 1)
  local function show(...)
    local ok, message = pcall(...)
    print(ok or tostring(message))
  end
  -- Starts while there is memory for another process.
  local limiter = io.popen("while read bytes; do prlimit --pid $PPID --as=$bytes:; done", "w")
  local function soft_limit()
    local file = io.open "/proc/self/limits"
    local limits = file and file:read "*a" or ""
    if file then file:close() end
    return limits:match "Max address space%s+(%S+)"
  end
  local function limit(room)
    collectgarbage()
    collectgarbage()
    local bytes = "unlimited"
    if room then
      local file = assert(io.open "/proc/self/status")
      bytes = ("%.0f"):format(file:read "*a":match "VmSize:%s*(%d+) kB" * 1024 + room)
      file:close()
    end
    limiter:write(bytes, "\n")
    limiter:flush()
    repeat until soft_limit() == bytes
  end
  limit(8 * 2 ^ 20)
]]

-- What the script prints for each of these calls, with little memory and then with enough.
local function lines(code)
  local printed = {}
  local output, status = helper.run(SCARCE .. code .. "\nlimit()\nconn:send 'alive'\nprint(peer:read(5))")
  assert.equal(0, status, output)
  for line in output:gmatch "[^\n]+" do printed[#printed + 1] = line end
  assert.equal("alive", table.remove(printed))
  return printed
end

local NO_MEMORY = "^not enough memory$"

describe("where memory is refused", function()
  if not helper.output("prlimit --version 2>&1"):find "util%-linux" then
    helper.excuse "prlimit"
    return pending "prlimit is not here"
  end

  local cases = {
    { "write_packet fails", "show(conn.write_packet, conn, huge)", NO_MEMORY },
    { "send fails", "show(conn.send, conn, huge)", NO_MEMORY },
    { "send of two strings fails", "show(conn.send, conn, 'x', huge)", NO_MEMORY },
    { "write_json fails", "show(conn.write_json, conn, huge)", NO_MEMORY },
    { "write_json_packet fails", "show(conn.write_json_packet, conn, { huge })", NO_MEMORY },
    { "a packet over the limit is too large", "show(limited.write_packet, limited, huge)", "max_packet" },
    { "a delimiter of any length fails", "show(conn.read_until, conn, huge)", NO_MEMORY },
    { "json.decode fails", "show(tcp.json.decode, huge)", NO_MEMORY },
    { "json.encode fails", "show(tcp.json.encode, huge)", NO_MEMORY },
    { "a host of any length is no name", "show(tcp.connect, huge, 1)", "dns: not a name, they have 253" },
    { "a name of any length is no name", "show(tcp.resolve, huge)", "dns: not a name, they have 253" },
    { "a listener's host of any length is no name", "show(tcp.listen, huge, 0)", "dns: not a name, they have 253" },
    { "an unknown option of any length is one", "show(tcp.connect, '127.0.0.1', port, { [huge] = 1 })",
      "unknown option" },
  }
  for _, option in ipairs { "ca", "cert", "key", "session", "key_password", "crl" } do
    cases[#cases + 1] = { "option " .. option .. " fails",
      ("show(tcp.connect_tls, '127.0.0.1', port, { %s = huge })"):format(option), NO_MEMORY }
  end
  for option, words in pairs {
    alpn = "names of 1 to 255 bytes", pin_sha256 = "the SHA%-256 of a public key", bind = "an IP address",
    family = "'inet' or 'inet6' expected", min_version = "'1.0' or", server_name = "a host name or an IP address",
    ca_file = "a path of up to", cert_file = "a path of up to", key_file = "a path of up to",
    ca_dir = "a path of up to", crl_file = "a path of up to",
    ciphers = "OpenSSL's names", ciphersuites = "OpenSSL's names", groups = "OpenSSL's names",
    signature_algorithms = "OpenSSL's names", ocsp = "'report' expected",
  } do
    cases[#cases + 1] = { "option " .. option .. " is refused",
      ("show(tcp.connect_tls, '127.0.0.1', port, { %s = huge })"):format(option), words }
  end

  local results
  for index, case in ipairs(cases) do
    it(case[1] .. ", and the connection works afterwards", function()
      if not results then
        local code = {}
        for i, each in ipairs(cases) do code[i] = each[2] end
        results = lines(table.concat(code, "\n"))
      end
      assert.matches(case[3], results[index])
    end)
  end

  it("a stream that could not be gathered has every byte", function()
    local printed = lines [[
      limit()
      -- Numbered, so that a hole shows.
      local fresh = tcp.listen("127.0.0.1", 0, { timeout = 25 })
      local sender = io.popen((os.getenv "PYTHON" or "python3") .. [=[ -c '
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
    s.sendall(b"".join(b"%063d\n" % n for n in range(2 ** 18)))' ]=] .. fresh:port())
      local source = fresh:accept()
      assert(tonumber(source:read_line()) == 0)
      limit(6 * 2 ^ 20)
      show(source.read_str, source)
      show(source.read_str, source)
      limit()
      local expected = 1
      for line in source:lines() do
        assert(tonumber(line) == expected, line)
        expected = expected + 1
      end
      sender:close()
      print(expected == 2 ^ 18)
    ]]
    assert.same({ "not enough memory", "not enough memory", "true" }, printed)
  end)
end)

describe("a connection of whose next message one byte has come", function()
  after_each(helper.finish)

  it("gives the memory of the last one back", function()
    local code = ("size = %d\nc.send(struct.pack('>I', size) + bytes(size) + b'\\0')\nc.hold()"):format(8 * 2 ^ 20)
    local peer = helper.listen(code)
    local said, status = helper.run(([[
      local tcp = require "tcp"
      local function rss()
        collectgarbage()
        collectgarbage()
        for line in io.lines "/proc/self/status" do
          local size = line:match "^VmRSS:%%s*(%%d+) kB"
          if size then return size / 1024 end
        end
      end
      local conns = {}
      local function read()
        local conn = tcp.connect("127.0.0.1", %d, { max_packet = 2 ^ 24, timeout = 5 })
        conns[#conns + 1] = conn
        assert(#conn:read_packet() == 2 ^ 23)
        -- The byte comes with what stood before it, or by itself.
        conn:set_timeout(0.01)
        if conn:pending() == 0 then pcall(conn.read, conn, 2) end
        assert(conn:pending() == 1)
      end
      read()
      read()
      local before = rss()
      for _ = 1, 10 do read() end
      print(rss() - before < 40)
    ]]):format(peer.port))
    assert.same({ "true\n", 0 }, { said, status })
  end)
end)
