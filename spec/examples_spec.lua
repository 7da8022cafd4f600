-- The programs in examples/, each in a process of its own, against local peers. Those of `make
-- demo` run there (examples/demo.py).

local helper = require "spec.support.helper"

local function quoted(word)
  return "'" .. tostring(word):gsub("'", [['\'']]) .. "'"
end

local output = helper.output

-- The command that runs an example with this Lua; our CA is the system's.
local function command(name, ...)
  local words = { "env", "SSL_CERT_FILE=" .. helper.pem "root", "timeout", "-s", "KILL", "20",
    helper.interpreter(), "examples/" .. name .. ".lua", ... }
  for i, word in ipairs(words) do words[i] = quoted(word) end
  return table.concat(words, " ")
end

local ran = {}

-- What an example writes, and its exit status.
local function run(name, ...)
  ran[name] = true
  local said, status = output(command(name, ...) .. " 2>&1; echo \" $?\""):match "^(.*) (%d+)\n$"
  return said, tonumber(status)
end

describe("the example", function()
  after_each(helper.finish)

  describe("tcp_check", function()
    it("says that a service answers", function()
      local said, status = run("tcp_check", "localhost", helper.listen("c.hold()").port)
      assert.matches("^OK localhost:%d+ at .* | dns=%d%.%d+s connect=%d%.%d+s total=%d%.%d+s\n$", said)
      assert.equal(0, status)
    end)

    it("says that nobody listens", function()
      local said, status = run("tcp_check", "127.0.0.1", helper.listen("", { listen = false }).port)
      assert.matches("^CRITICAL refused: connect 127%.0%.0%.1:", said)
      assert.equal(2, status)
    end)

    it("says which phase took too long", function()
      local said, status = run("tcp_check", "127.0.0.1", helper.listen("", { full = true }).port, 0.1)
      assert.matches("^CRITICAL timeout %(connect%): ", said)
      assert.equal(2, status)
    end)

    it("says how it is called", function()
      local said, status = run("tcp_check", "localhost")
      assert.matches("^usage: ", said)
      assert.equal(3, status)
    end)
  end)

  describe("certificate_expiry", function()
    local function check(certificate, ...)
      return run("certificate_expiry", "localhost", helper.listen("c.hold()", { tls = certificate }).port, ...)
    end

    local data = " | days=%-?%d+;30:;7: connect=%d%.%d+s tls=%d%.%d+s\n$"

    it("is content with a good one", function()
      local said, status = check "good"
      assert.matches("^OK localhost: %d+ days left, until 2049%-12%-31, ", said)
      assert.matches(", issued by Specs Intermediate, id%-ecPublicKey 256 prime256v1, ecdsa%-with%-SHA256, "
        .. "TLSv1%.3 [xX]25519%w*" .. data, said)
      assert.equal(0, status)
    end)

    it("warns, and more than that", function()
      local said, status = check("good", 1000000)
      assert.matches("^WARNING localhost: ", said)
      assert.equal(1, status)
      said, status = check("good", 1000000, 1000000)
      assert.matches("^CRITICAL localhost: .* | days=%d+;1000000:;1000000: ", said)
      assert.equal(2, status)
    end)

    it("names the one that expires first", function()
      local said, status = check "old_issuer"
      assert.matches("^CRITICAL expired on Jun 30 .*; localhost: %-%d+ days left, "
        .. "until 2021%-06%-30 of CN=Old Intermediate, ", said)
      assert.equal(2, status)
    end)

    it("says STARTTLS, and verifies another name and CA", function()
      local peer = helper.listen [[
        c.send(b"220 mail\r\n")
        c.recv_line()
        c.send(b"250-mail\r\n250 STARTTLS\r\n")
        c.recv_line()
        c.send(b"220 go ahead\r\n")
        c.handshake("other_host")
        c.hold()
      ]]
      local said, status = run("certificate_expiry", "127.0.0.1", peer.port, "starttls=smtp", "name=www.other.example",
        "ca=" .. helper.pem "root")
      assert.matches("^OK localhost: ", said)
      assert.equal(0, status)
      said, status = run("certificate_expiry", "127.0.0.1", peer.port, "starttls=smtp", "ca=" .. helper.pem "root")
      assert.matches("^CRITICAL host name mismatch: .*; localhost: ", said)
      assert.equal(2, status)
    end)

    it("reads a file", function()
      local said, status = run("certificate_expiry", helper.pem "good", 40)
      assert.matches("^OK localhost: %d+ days left, until 2049%-12%-31, issued by Specs Intermediate, "
        .. "id%-ecPublicKey 256 prime256v1, ecdsa%-with%-SHA256 | days=%d+;40:;7:\n$", said)
      assert.equal(0, status)
      said, status = run("certificate_expiry", helper.pem "old_issuer")
      assert.matches("^CRITICAL localhost: %-%d+ days left, until 2021%-06%-30 of CN=Old Intermediate, ", said)
      assert.equal(2, status)
      local broken = os.tmpname()
      local file = assert(io.open(broken, "wb"))
      file:write(helper.contents(helper.pem "middle"), "-----BEGIN CERTIFICATE-----\nAA")
      file:close()
      said, status = run("certificate_expiry", broken)
      os.remove(broken)
      assert.matches("^CRITICAL certificate 2 cannot be read: .*; Specs Intermediate: %d+ days left", said)
      assert.equal(2, status)
      for name, why in pairs { ["/nowhere"] = "io: cannot read file", [helper.pem("good", "key")] = "tls: no PEM" } do
        said, status = run("certificate_expiry", name)
        assert.matches("^UNKNOWN certificates: " .. why, said)
        assert.equal(3, status)
      end
    end)

    it("says what is wrong with its call", function()
      local said, status = run("certificate_expiry", "localhost", 1, "starttls=telnet")
      assert.matches("^UNKNOWN bad argument #3 to 'connect_tls'", said)
      assert.equal(3, status)
    end)

    it("reads one that does not verify", function()
      local said, status = check "expired"
      assert.matches("^CRITICAL expired on Jun 30 .*; localhost: %-%d+ days left, until 2021%-06%-30", said)
      assert.equal(2, status)
      said, status = check "self_signed"
      assert.matches("^CRITICAL self%-signed certificate", said)
      assert.equal(2, status)
    end)

    it("says that there is none", function()
      local said, status = run("certificate_expiry", "127.0.0.1", helper.listen("", { listen = false }).port)
      assert.matches("^UNKNOWN connect_tls 127%.0%.0%.1:%d+: refused: ", said)
      assert.equal(3, status)
    end)
  end)

  describe("https_get", function()
    local function get(answer)
      local peer = helper.listen(([[
        request = b""
        while not request.endswith(b"\r\n\r\n"): request += c.recv_exactly(1)
        c.send(%s)
        return request
      ]]):format(helper.bytes(answer)), { tls = "good" })
      local said, status = run("https_get", "localhost", "/a/path", peer.port)
      assert.matches("^GET /a/path HTTP/1%.1\r\nHost: localhost\r\n", peer:result())
      return said, status
    end

    it("reads a body of known length", function()
      local said, status = get "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more"
      assert.equal("HTTP/1.1 200 OK\nhello", said)
      assert.equal(0, status)
    end)

    it("reads a body in chunks", function()
      local said, status = get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n")
      assert.equal("HTTP/1.1 200 OK\nhello world", said)
      assert.equal(0, status)
    end)

    it("reads a body until the end", function()
      local said, status = get "HTTP/1.1 404 Not Found\r\nServer: a\r\n\r\nnot here"
      assert.equal("HTTP/1.1 404 Not Found\nnot here", said)
      assert.equal(1, status)
    end)
  end)

  describe("smtp_starttls", function()
    it("looks at a server that offers TLS", function()
      local python = helper.python_with "aiosmtpd"
      if not python then return pending "there is no aiosmtpd here" end
      local server = helper.program(("%s -m aiosmtpd -n -l 127.0.0.1:{port} --tlscert %s --tlskey %s"):format(
        python, helper.pem "good", helper.pem("good", "key")))
      local said, status = run("smtp_starttls", "localhost", server.port)
      assert.matches("^localhost: TLSv1%.3, TLS_[%w_]+, certificate good until 2049%-12%-31\n$", said)
      assert.equal(0, status)
    end)

    it("looks at one that does not", function()
      local peer = helper.listen [[
        c.send(b"220 plain\r\n")
        c.recv_line()
        c.send(b"250-plain\r\n250 8BITMIME\r\n")
      ]]
      local said, status = run("smtp_starttls", "127.0.0.1", peer.port)
      assert.equal("127.0.0.1 offers no TLS\n", said)
      assert.equal(2, status)
    end)
  end)

  it("redis talks to a Redis server", function()
    if output "command -v redis-server" == "" then
      helper.excuse "a Redis server"
      return pending "there is no redis-server here"
    end
    local port = helper.program("redis-server --port {port} --bind 127.0.0.1 --save '' --appendonly no --dir /tmp").port
    local function redis(...) return (run("redis", "127.0.0.1", port, ...)) end
    assert.equal("PONG\n", redis "PING")
    assert.equal("OK\n", redis("SET", "greeting", "olá\r\nmundo"))
    assert.equal("olá\r\nmundo\n", redis("GET", "greeting"))
    assert.equal("nil\n", redis("GET", "nothing"))
    assert.equal("-1\n", redis("DECR", "count"))
    assert.equal("olá\r\nmundo\n(nil)\n-1\n", redis("MGET", "greeting", "nothing", "count"))
    local said, status = run("redis", "127.0.0.1", port, "NONSENSE")
    assert.matches("ERR unknown command", said)
    assert.equal(1, status)
  end)

  it("postgres logs in by SCRAM, bound to the certificate", function()
    ran.postgres = true
    for _, name in ipairs { "openssl.hmac", "mime" } do
      local library, missing = helper.library(name)
      if not library then return pending(missing) end
    end
    local server = helper.postgres()
    if not server then return pending "there is no PostgreSQL server here" end
    local function ask(user, password, query)
      local said, status = output(("PGPASSWORD=%s %s 2>&1; echo \" $?\""):format(password,
        command("postgres", "localhost", server.port, user, "postgres", query))):match "^(.*) (%d+)\n$"
      return said, tonumber(status)
    end
    -- This user is asked for nothing, the other one for a password.
    assert.equal("", (ask("specs", "none", "create role scram login password 'pencil'")))
    local said, status = ask("scram", "pencil", "select current_user from generate_series(1, 2)")
    assert.equal("scram\nscram\n", said)
    assert.equal(0, status)
    said, status = ask("scram", "pen", "select 1")
    assert.matches("password authentication failed for user \"scram\"", said)
    assert.equal(1, status)
    said = ask("scram", "pencil", "select nothing")
    assert.matches("column \"nothing\" does not exist", said)
  end)

  it("packet_client talks to packet_server", function()
    ran.packet_server = true
    local server = helper.program(command("packet_server", 0), { ready = "^listening on port ([0-9]+)" })
    assert.equal("6.5\n", (run("packet_client", "127.0.0.1", server.port, 1, 2, 3.5)))
    assert.equal("0\n", (run("packet_client", "127.0.0.1", server.port)))

    -- Neither nonsense nor a client that goes away disturbs the others.
    local conn = helper.keep(require("tcp").connect("127.0.0.1", server.port, helper.timeout))
    conn:write_packet "{"
    assert.matches("line 1 column 2", conn:read_json_packet().error)
    conn:write_packet "7"
    assert.equal("", conn:read_str())
    assert.equal("3\n", (run("packet_client", "127.0.0.1", server.port, 3, "stop")))
  end)

  describe("check_many", function()
    ran.check_many = true

    -- What it writes about these lines, without the progress, and its exit status.
    local function check(lines, at_once)
      local path = os.tmpname()
      local file = assert(io.open(path, "w"))
      file:write(table.concat(lines, "\n"), "\n")
      file:close()
      local said, status = output(("CA_FILE=%s %s <%s 2>/dev/null; echo \" $?\""):format(
        helper.pem "root", command("check_many", at_once), path)):match "^(.*) (%d+)\n$"
      os.remove(path)
      return said, tonumber(status)
    end

    local ping = [[
      assert json.loads(c.recv_packet()) == {"action": "ping"}
      c.send_packet({"status": "%s"})
      c.hold()
    ]]

    it("is content if all are well", function()
      local said, status = check {
        "127.0.0.1 " .. helper.listen("c.hold()").port,
        "# a comment",
        "localhost " .. helper.listen("c.hold()", { tls = "good" }).port .. " tls",
        "localhost " .. helper.listen(ping:format "ok", { tls = "good" }).port .. " tls ping",
      }
      assert.matches("^OK %- 3 hosts: 3 ok, 0 warnings, 0 critical\n", said)
      assert.matches("\nOK       127%.0%.0%.1:%d+ +%d+ ms\n", said)
      assert.matches("\nOK       localhost:%d+ +%d+ ms, certificate for %d+ days\n", said)
      assert.equal(0, status)
    end)

    it("tells the worst of them, and each", function()
      local said, status = check({ "127.0.0.1 " .. helper.listen(ping:format "tired").port .. " ping" }, 1)
      assert.matches("^WARNING %- 1 hosts.*status tired", said)
      assert.equal(1, status)
      said, status = check {
        "127.0.0.1 " .. helper.listen("", { listen = false }).port,
        "localhost " .. helper.listen("c.hold()", { tls = "expired" }).port .. " tls",
        "127.0.0.1 " .. helper.listen("c.recv_packet()").port .. " ping",
        "127.0.0.1 " .. helper.listen("c.hold()").port,
      }
      assert.matches("^CRITICAL %- 4 hosts: 1 ok, 0 warnings, 3 critical\n", said)
      assert.matches("refused: .*certificate: expired on .*closed: end of stream", said)
      assert.equal(2, status)
    end)

    it("checks them at once", function()
      local slow, lines = helper.listen [[
        c.recv_packet()
        time.sleep(0.3)
        c.send_packet({"status": "ok"})
        c.hold()
      ]], {}
      for i = 1, 60 do lines[i] = "127.0.0.1 " .. slow.port .. " ping" end
      local before = helper.clock()
      local _, status = check(lines)
      assert.equal(0, status)
      assert.is_true(helper.clock() - before < 60 * 0.3 / 3)
    end)

    it("knows nothing of no hosts", function()
      for _, lines in ipairs { {}, { "", "  # nobody" } } do
        local said, status = check(lines)
        assert.equal("UNKNOWN - no hosts on stdin\n", said)
        assert.equal(3, status)
      end
    end)

    it("leaves no line out", function()
      local good = "127.0.0.1 " .. helper.listen("c.hold()").port
      for _, bad in ipairs { "localhost", "localhost http", "localhost 0", "localhost 65536", "localhost 80 tsl",
        "localhost 80,tls" } do
        local said, status = check { good, bad }
        assert.equal("UNKNOWN - not HOST PORT [tls] [ping]: " .. bad .. "\n", said)
        assert.equal(3, status)
      end
      local said, status = check { good, good .. " # twice" }
      assert.matches("^OK %- 2 hosts: 2 ok", said)
      assert.equal(0, status)
      for _, at_once in ipairs { "0", "many" } do
        said, status = check({ good }, at_once)
        assert.matches("^UNKNOWN %- usage: ", said)
        assert.equal(3, status)
      end
    end)

    it("takes any answer to a ping", function()
      for _, answer in ipairs { "null", "false", "[]", [["ok"]] } do
        local port = helper.listen(("c.recv_packet(); c.send_packet(b'%s'); c.hold()"):format(answer)).port
        local said, status = check { "127.0.0.1 " .. port .. " ping" }
        assert.matches("^WARNING %- 1 hosts", said)
        assert.equal(1, status)
      end
    end)
  end)

  describe("erlang_peer", function()
    local function talk(port)
      local said, status = run("erlang_peer", "127.0.0.1", port, "stressed", "olá")
      local words = ("stressed\tdesserts\nolá\t%s\nbytes in an empty packet:\t0\n"):format(("olá"):reverse())
      assert.equal(words, said)
      assert.equal(0, status)
    end

    it("talks to Erlang", function()
      if output "command -v escript" == "" then
        helper.excuse "Erlang"
        return pending "there is no Erlang here"
      end
      talk(helper.program("escript examples/erlang_peer.escript", { ready = "^port ([0-9]+)" }).port)
    end)

    it("talks to a peer with the same framing", function()
      talk(helper.listen([[
        try:
          while True: c.send_packet(c.recv_packet()[::-1])
        except EOFError: pass
      ]]).port)
    end)
  end)
end)

describe("the examples", function()
  it("are all run, here or in the demo", function()
    local demo, missing = helper.contents "examples/demo.py", {}
    for name in output("ls examples/*.lua"):gmatch "examples/([%w_]+)%.lua" do
      if not ran[name] and not demo:find('"' .. name .. ".lua", 1, true) then missing[#missing + 1] = name end
    end
    assert.same({}, missing)
  end)

  it("are all described", function()
    local page, missing = helper.contents "docs/examples.md", {}
    for name in output("ls examples/*.lua"):gmatch "examples/([%w_]+%.lua)" do
      if not page:find("\n| [`" .. name, 1, true) then missing[#missing + 1] = name end
    end
    assert.same({}, missing)
  end)

  it("have 15 to 40 lines, but for the three that do the most", function()
    for name in output("ls examples/*.lua"):gmatch "[^\n]+" do
      local _, lines = helper.contents(name):gsub("\n", "")
      local most = name:find "certificate_expiry" and 60 or name:find "postgres" and 80 or 40
      assert(lines >= 15 and lines <= most or name:find "check_many", name .. " has " .. lines)
    end
  end)

  it("end with the status that a failure has", function()
    local _, status = run("https_get", "127.0.0.1", "/", helper.listen("", { listen = false }).port)
    assert.equal(1, status)
  end)
end)
