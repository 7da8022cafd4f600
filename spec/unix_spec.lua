-- Unix domain sockets: what they have and TCP has not. That a connection over one reads, writes,
-- waits and fails as every other does, the specs of `helper.kinds` say.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local output = helper.output
local is_root = output "id -u" == "0\n"

-- What `ls` and `stat` say of a file; nil where nothing is.
local function stat(path, format)
  local said = output(("stat -c '%s' '%s' 2>/dev/null"):format(format or "%F", path)):gsub("\n$", "")
  return said ~= "" and said or nil
end

-- A folder of the test's own.
local folders = {}
local function folder()
  local path = helper.unix_path():gsub("%.sock$", "")
  assert.equal("", output(("mkdir -m 755 '%s' 2>&1"):format(path)))
  folders[#folders + 1] = path
  return path
end

local function finish()
  helper.finish()
  for _, path in ipairs(folders) do output(("rm -rf '%s'"):format(path)) end
  folders = {}
end

local function listen(path, options, module)
  return helper.keep((module or tcp).listen_unix(path, options))
end

local function connect(path, options, module)
  return helper.keep((module or tcp).connect_unix(path, options or helper.timeout))
end

-- A client and what the listener makes of it.
local function pair(listener, path)
  local client = connect(path)
  return client, helper.keep(listener:accept(helper.timeout))
end

-- What this code says in a process that has become another user's.
local function run_as_nobody(code, ...)
  local said = helper.run_well(helper.forking() .. [[
    local tcp = require "tcp.safe"
    assert(package.loadlib(".build/spec/fork.so", "spec_become_nobody"))()
  ]] .. code:format(...))
  return said
end

-- Has a process of Python leave a socket's file behind at which nobody listens.
local function leave_stale(path)
  output(("%s -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()' '%s'")
    :format(helper.python, path))
  assert.equal("socket", stat(path))
end

describe("connect_unix", function()
  after_each(finish)

  it("talks with a peer at a path, and at an abstract name", function()
    for _, path in ipairs { helper.unix_path(), "@" .. helper.unix_path() } do
      local peer = helper.listen([[
        c.send(b"hello\n")
        return c.recv_all()
      ]], { path = path })
      for _, module in ipairs { tcp, safe } do
        local conn = connect(path, nil, module)
        assert.equal("hello", conn:read_line())
        conn:write_json_packet { 1 }
        conn:shutdown()
        assert.equal("\0\0\0\3[1]", peer:result(module == tcp and 1 or 2))
      end
      helper.finish()
    end
  end)

  it("tells who is there, and at which path", function()
    for _, path in ipairs { helper.unix_path(), "@" .. helper.unix_path() } do
      helper.listen([[ c.hold() ]], { path = path })
      local conn = connect(path)
      local info = conn:info()
      assert.is_nil(info.host)
      assert.same({}, info.sock)
      assert.equal(path, info.peer.path)
      -- The peer is a process of this one's user.
      assert.equal(tonumber((output "id -u")), info.peer.uid)
      assert.equal(tonumber((output "id -g")), info.peer.gid)
      assert.matches("serve%.py", helper.contents(("/proc/%d/cmdline"):format(info.peer.pid)))
      assert.equal(0, info.timings.dns)
      assert.is_true(info.timings.connect >= 0)
      assert.equal("tcp.Connection: unix:" .. path, tostring(conn))
      conn:close()
      assert.same(info, conn:info())
      assert.equal("tcp.Connection: unix:" .. path .. " (closed)", tostring(conn))
      helper.finish()
    end
  end)

  it("is refused where there is no file, and where nobody listens", function()
    local path = helper.unix_path()
    helper.fails("refused", "^connect_unix unix:/%S+: refused: no such file or directory$", function()
      tcp.connect_unix(path)
    end)
    helper.fails_safely("refused", "", safe.connect_unix(path))
    helper.fails("refused", "no such file", function() tcp.connect_unix(path .. "/there/is/none") end)
    helper.fails("refused", "connection refused$", function() tcp.connect_unix("@" .. path) end)
    leave_stale(path)
    helper.fails("refused", "^connect_unix unix:/%S+: refused: connection refused$", function()
      tcp.connect_unix(path)
    end)
    os.remove(path)
    io.open(path, "w"):close()
    helper.fails("refused", "connection refused$", function() tcp.connect_unix(path) end)
    os.remove(path)
  end)

  it("says that a socket of another type is there", function()
    local path = helper.unix_path()
    local said = helper.connect(([[
      with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("%s")
        c.send(b"bound\n")
        c.recv()
        os.unlink("%s")
    ]]):format(path, path))
    assert.equal("bound", said:read_line())
    helper.fails("io", "protocol wrong type for socket$", function() tcp.connect_unix(path) end)
    helper.fails("address", "address already in use$", function() tcp.listen_unix(path, { unlink = true }) end)
    assert.equal("socket", stat(path))
  end)

  it("fails with io where it is not permitted, and says where", function()
    if not is_root then return end
    local path = folder() .. "/x"
    listen(path, { mode = "0600" })
    local said = run_as_nobody([[
      local _, message, code = tcp.connect_unix(%q)
      print(code, message)
    ]], path)
    assert.equal(("io\tconnect_unix unix:%s: io: permission denied\n"):format(path), said)
  end)

  it("takes a path of as many bytes as the system, and of no more", function()
    local place = folder() .. "/"
    local longest = place .. ("x"):rep(108 - #place)
    for _, path in ipairs { longest, "@" .. longest:sub(2) } do
      local listener = listen(path)
      assert.equal(path, listener:info().sock.path)
      local client, served = pair(listener, path)
      assert.equal(path, client:info().peer.path)
      assert.equal(path, served:info().sock.path)
      client:send "x"
      assert.equal("x", served:read(1))
      listener:close()
      for _, name in ipairs { "connect_unix", "listen_unix" } do
        helper.misuse(("bad argument #1 to '%s' (a Unix socket's path has at most 108 bytes, got 109)"):format(name),
          function() tcp[name](path .. "x") end)
      end
    end
    assert.is_nil(stat(longest))
    helper.misuse("bad argument #1 to 'connect_unix' (a Unix socket's path has at most 108 bytes, got 100000)",
      function() tcp.connect_unix(("x"):rep(100000)) end)
  end)

  for _, case in ipairs {
    { "a path", { nil }, "#1 to '%s' (string expected, got nil)" },
    { "a path that names something", { "" }, "#1 to '%s' (a path, or @ and a name, expected)" },
    { "a name behind @", { "@" }, "#1 to '%s' (a path, or @ and a name, expected)" },
    { "a path without a zero byte", { "/tmp/\0x" }, "#1 to '%s' (a path without a zero byte expected)" },
    { "options that it knows", { "/tmp/x", { timout = 1 } }, "#2 to '%s' (unknown option 'timout')" },
    { "no nodelay", { "/tmp/x", { nodelay = true } }, "#2 to '%s' (option 'nodelay': a Unix socket has none)" },
    { "no keepalive", { "/tmp/x", { keepalive = false } }, "#2 to '%s' (option 'keepalive': a Unix socket has none)" },
    { "no family", { "/tmp/x", { family = "inet" } }, "#2 to '%s' (option 'family': a Unix socket has none)" },
    { "a timeout over 0", { "/tmp/x", { timeout = 0 } },
      "#2 to '%s' (option 'timeout': seconds over 0 expected, got 0)" },
  } do
    it("wants " .. case[1] .. ", as listen_unix does", function()
      for _, module in ipairs { tcp, safe } do
        for _, name in ipairs { "connect_unix", "listen_unix" } do
          helper.misuse("bad argument " .. case[3]:format(name), function() module[name](case[2][1], case[2][2]) end)
        end
      end
    end)
  end

  it("knows neither mode nor TLS nor bind", function()
    for option, expected in pairs {
      mode = "unknown option 'mode'",
      backlog = "unknown option 'backlog'",
      verify = "option 'verify': one of connect_tls and start_tls",
      bind = "option 'bind': a Unix socket has none",
      proxy = "option 'proxy': a Unix socket has none",
    } do
      helper.misuse(("bad argument #2 to 'connect_unix' (%s)"):format(expected), function()
        tcp.connect_unix("/tmp/x", { [option] = true })
      end)
    end
    helper.misuse("bad argument #2 to 'connect_unix' (number or table expected, got boolean)", function()
      tcp.connect_unix("/tmp/x", true)
    end)
  end)

  it("gives the connection its options", function()
    local path = helper.unix_path()
    helper.listen([[
      c.send(struct.pack("<I", 4) + b"null" + struct.pack("<I", 11))
      c.hold()
    ]], { path = path })
    local conn = connect(path, { timeout = 0.05, max_packet = 10, endian = "little", null = "nil" })
    assert.equal(tcp.json.null, conn:read_json_packet())
    helper.fails("too_large", "", function() conn:read_json_packet() end)
    helper.takes(0.05, function() end, function()
      helper.fails("timeout", "^read unix:/%S+: timeout: ", function() conn:read(1000) end)
    end)
  end)

  it("has no options of TCP to set", function()
    local conn = helper.connect_unix [[ c.hold() ]]
    helper.fails("io", "^set_nodelay unix:/%S+: io: a Unix socket has no such option$", function()
      conn:set_nodelay(true)
    end)
    helper.fails("io", "^set_keepalive unix:/%S+: io: a Unix socket has no such option$", function()
      conn:set_keepalive(true)
    end)
    conn:close()
    helper.fails("closed", "", function() conn:set_nodelay(true) end)
  end)

  it("leaves alone the connection that send and recv are about", function()
    helper.connect [[ c.send(b"from the host"); c.hold() ]]
    helper.connect_unix [[ c.send(b"from the path"); c.hold() ]]
    assert.equal("from the host", tcp.recv())
  end)

  it("is what connect names where its host is a path", function()
    for _, host in ipairs { "/run/x.sock", "./x", "@x", "unix:x" } do
      for _, name in ipairs { "connect", "connect_tls", "listen" } do
        helper.fails("dns", "not a name but a path, connect_unix and listen_unix take it$", function()
          tcp[name](host, 80)
        end)
      end
    end
  end)

  it("reads on where a read ended with descriptors that the peer sent along", function()
    local code = [[
      for i in range(50):
        c.raw.sendmsg([b"%07d\n" % i], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 0))])
        c.send(b"between\n")
      c.hold()
    ]]
    local function read_all(conn)
      for i = 0, 49 do
        assert.equal(("%07d"):format(i), conn:read_line())
        assert.equal("between", conn:read_line())
      end
    end
    local before = helper.sockets()
    read_all((helper.connect_unix(code)))
    assert.equal(before + 1, helper.sockets())
    for _, loop in ipairs(loops) do
      if loop.found then
        loop.within(function()
          local conn = helper.connect_unix(code, { timeout = 1 })
          read_all(conn)
        end)
      end
    end
  end)

  it("is traced under its path", function()
    local lines = {}
    tcp.debug(function(line) lines[#lines + 1] = line:match "#%d+ (.*) %(" or line:match "#%d+ (.*)$" or line end)
    local path = helper.unix_path()
    local listener = listen(path)
    local client, served = pair(listener, path)
    client:send "x"
    served:read(1)
    client:close()
    served:close()
    listener:close()
    pcall(tcp.connect_unix, path)
    tcp.debug(false)
    local said = "\n" .. table.concat(lines, "\n"):gsub("unix:" .. path:gsub("%p", "%%%0"), "unix:X") .. "\n"
    for _, expected in ipairs {
      "unix:X listen: at unix:X", "unix:X connect: begins", "unix:X connect: connected", "unix:X accept: at unix:X",
      "unix:X write: 1 bytes", "unix:X read: 1 bytes", "unix:X close: 0 bytes read, 1 written",
      "unix:X close: 1 bytes read, 0 written", "unix:X close", "unix:X connect: failed: no such file or directory",
    } do
      assert(said:find("\n" .. expected .. "\n", 1, true), expected .. " is not in" .. said)
    end
  end)
end)

describe("a full backlog", function()
  after_each(finish)

  it("is a timeout of the phase connect, at the deadline", function()
    local path = helper.unix_path()
    helper.listen("", { path = path, full = true })
    local before = helper.sockets()
    helper.takes(0.15, function() end, function()
      local _, details = helper.fails_safely("timeout",
        "^connect_unix unix:/%S+: timeout: the backlog of its listener is full$", safe.connect_unix(path, 0.15))
      assert.same({ phase = "connect" }, details)
    end)
    assert.equal(before, helper.sockets())
  end)

  it("is tried again until there is room", function()
    local path = helper.unix_path()
    helper.listen([[ c.send(b"here") ]], { path = path, full = true, delay = 0.2 })
    local before, cpu = helper.clock(), os.clock()
    assert.equal("here", connect(path):read(4))
    local took = helper.clock() - before
    assert(took > 0.1 and took < 0.6, took)
    assert(os.clock() - cpu < 0.1, "it does not wait")
  end)

  for _, loop in ipairs(loops) do
    it("holds up no other coroutine: " .. loop.name, function()
      if not loop.found then return pending(loop.reason) end
      local path = helper.unix_path()
      -- Linux keeps one more than backlog says: it is full.
      local listener = listen(path, { backlog = 0 })
      connect(path)
      local other = helper.connect [[
        for i in range(20):
          c.send(b"x")
          time.sleep(0.005)
      ]]
      local order, cpu = {}, os.clock()
      local function note(what) order[#order + 1] = what end
      loop.within(function()
        note(connect(path):read(4))
      end, function()
        note((select(3, safe.connect_unix(path, 0.02))))
      end, function()
        other:read(20)
        note "other"
        helper.keep(listener:accept(helper.timeout))
        helper.keep(listener:accept(helper.timeout)):send "here"
      end)
      assert.same({ "timeout", "other", "here" }, order)
      assert(os.clock() - cpu < 0.3, "it does not wait")
    end)
  end
end)

describe("listen_unix", function()
  after_each(finish)

  it("accepts clients, and tells who they are", function()
    for _, path in ipairs { helper.unix_path(), "@" .. helper.unix_path() } do
      local listener = listen(path)
      assert.equal("tcp.Listener: unix:" .. path, tostring(listener))
      assert.same({ sock = { path = path } }, listener:info())
      assert.is_nil(listener:port())
      assert.is_true(listener:fd() > 2)
      local peer = helper.dial(nil, [[
        c.send_packet({"pid": os.getpid()})
        return c.recv_packet()
      ]], { path = path })
      local conn = helper.keep(listener:accept(helper.timeout))
      local pid = conn:read_json_packet().pid
      local info = conn:info()
      assert.equal(pid, info.peer.pid)
      assert.equal(tonumber((output "id -u")), info.peer.uid)
      assert.is_nil(info.peer.path)
      assert.is_nil(info.host)
      assert.same({ path = path }, info.sock)
      assert.equal("tcp.Connection: unix:" .. path, tostring(conn))
      conn:write_json_packet "answer"
      assert.equal('"answer"', peer:result())
      listener:close()
      assert.equal(("tcp.Listener: unix:%s (closed)"):format(path), tostring(listener))
      helper.fails("closed", ("^accept unix:%s: closed: "):format(path:gsub("%p", "%%%0")), function()
        listener:accept(0)
      end)
    end
  end)

  it("tells the path of a client that has one", function()
    local path, own = helper.unix_path(), helper.unix_path()
    local listener = listen(path)
    local peer = helper.connect(([[
      with socket.socket(socket.AF_UNIX) as s:
        s.bind("%s")
        s.connect("%s")
        s.sendall(b"x")
        os.unlink("%s")
        c.recv()
    ]]):format(own, path, own))
    local conn = helper.keep(listener:accept(helper.timeout))
    assert.equal(own, conn:info().peer.path)
    assert.equal("tcp.Connection: unix:" .. own, tostring(conn))
    peer:close()
  end)

  it("iterates, polls, and fits into loops as any listener", function()
    local path = helper.unix_path()
    local listener = listen(path, { timeout = helper.timeout })
    assert.same({}, (tcp.poll({ listener }, nil, 0)))
    local client = connect(path)
    assert.same({ listener }, (tcp.poll({ listener }, nil, 1)))
    assert.same({ listener:fd(), listener:fd(), "r", false },
      { listener:getfd(), listener:pollfd(), listener:events(), listener:dirty() })
    client:send "stop\n"
    for conn in listener:connections() do
      assert.equal("stop", conn:read_line())
      conn:close()
      listener:close()
    end
    for _, loop in ipairs(loops) do
      if loop.found and loops.has_yielding_pcall then
        local said, own = {}, listen(path)
        loop.within(function()
          for _ = 1, 20 do
            local conn = own:accept(helper.timeout)
            conn:send(conn:read_line():upper(), "\n")
            conn:close()
          end
          own:close()
        end, function()
          for i = 1, 20 do
            local conn = tcp.connect_unix(path, helper.timeout)
            conn:send("line\n")
            said[i] = conn:read_line()
            conn:close()
          end
        end)
        assert.equal(("LINE"):rep(20), table.concat(said))
      end
    end
  end)

  it("gives clients their options, and keeps as many as backlog says", function()
    local path = helper.unix_path()
    local options = { timeout = 0.05, max_packet = 10, backlog = 1, reuse_addr = false, reuse_port = true }
    local listener = listen(path, options)
    local client, served = pair(listener, path)
    client:write_packet(("x"):rep(11))
    helper.fails("too_large", "", function() served:read_packet() end)
    -- Linux keeps one more.
    connect(path)
    connect(path)
    helper.fails("timeout", "backlog", function() tcp.connect_unix(path, 0.05) end)
  end)

  it("is closed by the peer's reset, and passes over nobody", function()
    local path = helper.unix_path()
    local listener = listen(path)
    local client, served = pair(listener, path)
    client:send "never read"
    served:close()
    helper.fails("closed", "reset", function() client:read(1) end)
    -- Gone before it was accepted: what it sent is there all the same.
    client = connect(path)
    client:send "last words"
    client:close()
    served = helper.keep(listener:accept(helper.timeout))
    assert.equal("last words", served:read_str())
  end)

  it("fails where something is in the way, and says what would help", function()
    local path = helper.unix_path()
    listen(path)
    for _, module in ipairs { tcp, safe } do
      local hint = "address already in use %(unlink = true replaces a socket that nobody listens at%)$"
      local call = function(options) return module.listen_unix(path, options) end
      if module == tcp then
        helper.fails("address", hint, function() tcp.listen_unix(path) end)
        helper.fails("address", "address already in use$", function() tcp.listen_unix(path, { unlink = true }) end)
      else
        helper.fails_safely("address", hint, call())
        helper.fails_safely("address", "address already in use$", call { unlink = true })
      end
    end
    helper.fails("address", "in use$", function() listen("@" .. path); tcp.listen_unix("@" .. path) end)
    helper.fails("address", "^listen_unix unix:/%S+: address: no such file or directory$", function()
      tcp.listen_unix("/tmp/there/is/no/x.sock")
    end)
    helper.fails("address", "no such file or directory$", function()
      tcp.listen_unix("/tmp/there/is/no/x.sock", { unlink = true })
    end)
    helper.fails("address", "not a directory$", function() tcp.listen_unix("/dev/null/x") end)
  end)

  it("fails with io in a folder where nothing may be made", function()
    if not is_root then return end
    local place = folder()
    local said = run_as_nobody([[
      local _, message, code = tcp.listen_unix(%q)
      print(message, code)
      _, message, code = tcp.listen_unix(%q, { unlink = true })
      print(message, code)
    ]], place .. "/x", place .. "/x")
    assert.equal(("listen_unix unix:%s/x: io: permission denied\tio\n"
      .. "listen_unix unix:%s/x: io: cannot lock '%s/x.tcp-lock': permission denied\tio\n")
      :format(place, place, place), said)
  end)

  it("leaves no socket and no file where it fails", function()
    local path = helper.unix_path()
    local before = helper.sockets()
    helper.fails("tls", "", function() tcp.listen_unix(path, { tls = {} }) end)
    helper.fails("io", "cannot read cert_file", function()
      tcp.listen_unix(path, { tls = { cert_file = "/nonexistent" } })
    end)
    assert.equal(before, helper.sockets())
    assert.is_nil(stat(path))
  end)

  for _, case in ipairs {
    { "bind", "x", "unknown option 'bind'" },
    { "mode", 600, [[option 'mode': octal digits in a string, such as "0600", expected]] },
    { "mode", "0800", [[option 'mode': octal digits in a string, such as "0600", expected]] },
    { "mode", "1777", [[option 'mode': octal digits in a string, such as "0600", expected]] },
    { "mode", "", [[option 'mode': octal digits in a string, such as "0600", expected]] },
    { "mode", "rw", [[option 'mode': octal digits in a string, such as "0600", expected]] },
    { "unlink", 1, "option 'unlink': boolean expected, got number" },
    { "backlog", 1.5, "option 'backlog': number has no integer representation" },
    { "verify", true, "option 'verify': it belongs into the table tls" },
  } do
    it(("refuses %s = %s"):format(case[1], tostring(case[2])), function()
      helper.misuse(("bad argument #2 to 'listen_unix' (%s)"):format(case[3]), function()
        tcp.listen_unix("/tmp/x", { [case[1]] = case[2] })
      end)
    end)
  end

  it("makes no file for an abstract name", function()
    for option, value in pairs { mode = "0600", unlink = true } do
      helper.misuse(("bad argument #2 to 'listen_unix' (option '%s': an abstract name has no file)"):format(option),
        function() tcp.listen_unix("@x", { [option] = value }) end)
    end
    helper.misuse("bad argument #3 to 'listen' (unknown option 'mode')", function()
      tcp.listen("127.0.0.1", 0, { mode = "0600" })
    end)
  end)
end)

describe("the file of a listener", function()
  after_each(finish)

  it("has the bits that mode says, whatever the umask", function()
    local place = folder()
    for umask, plain in pairs { ["000"] = "777", ["022"] = "755", ["077"] = "700", ["377"] = "400" } do
      local said = helper.run_well(([[
        local tcp, place = require "tcp", %q
        for _, mode in ipairs { "0600", "660", "0666", "0777", "0000" } do
          local path = place .. "/" .. mode
          local listener = tcp.listen_unix(path, { mode = mode })
          os.execute("stat -c %%a " .. path)
          listener:close()
        end
        local listener = tcp.listen_unix(place .. "/x")
        os.execute("stat -c %%a " .. place .. "/x")
        listener:close()
      ]]):format(place), ("umask %s;"):format(umask))
      assert.equal("600\n660\n666\n777\n0\n" .. plain .. "\n", said)
    end
  end)

  it("is never open to others than mode says, from when it is made on", function()
    -- The system's calls, in order: the file appears with bind.
    if output "command -v strace" == "" then return pending "there is no strace here" end
    local path = folder() .. "/x"
    local said = helper.run(([[ require("tcp").listen_unix(%q, { mode = "0600" }):close() ]]):format(path),
      "umask 000; strace -f -e trace=fchmod,bind,listen,chmod,fchmodat -o /dev/stdout")
    local calls = {}
    for name in said:gmatch "(%l+)%(" do calls[#calls + 1] = name end
    assert.equal("fchmod bind listen", table.concat(calls, " "))
  end)

  it("lets in whom mode lets in", function()
    if not is_root then return end
    local place = folder()
    for mode, expected in pairs { ["0600"] = "io", ["0660"] = "io", ["0666"] = "ok", ["0662"] = "ok" } do
      local path = place .. "/" .. mode
      listen(path, { mode = mode })
      assert.equal(expected, run_as_nobody([[
        local conn, _, code = tcp.connect_unix(%q)
        io.write(conn and "ok" or code)
      ]], path))
    end
  end)

  it("goes with close, and with the collector", function()
    local path = helper.unix_path()
    local listener = listen(path)
    assert.equal("socket", stat(path))
    listener:close()
    assert.is_nil(stat(path))
    listener:close()
    tcp.listen_unix(path)
    collectgarbage()
    collectgarbage()
    assert.is_nil(stat(path))
    local said = helper.run(([[ KEPT = require("tcp").listen_unix(%q) ]]):format(path))
    assert.equal("", said)
    assert.is_nil(stat(path))
  end)

  it("stays where another has taken its place", function()
    local path = helper.unix_path()
    local first = listen(path)
    os.rename(path, path .. ".old")
    local second = listen(path)
    first:close()
    assert.equal("socket", stat(path))
    local client, served = pair(second, path)
    client:send "x"
    assert.equal("x", served:read(1))
    second:close()
    assert.is_nil(stat(path))
    os.remove(path .. ".old")

    listen(path)
    os.remove(path)
    io.open(path, "w"):close()
    helper.finish()
    assert.equal("regular empty file", stat(path))
    os.remove(path)
  end)

  it("goes although the working directory is another by then", function()
    local path = (".build/spec/%s"):format(helper.unix_path():match "[^/]+$")
    helper.run_well(helper.forking() .. ([[
      local tcp, chdir = require "tcp", assert(package.loadlib(".build/spec/fork.so", "spec_chdir"))
      local listener = tcp.listen_unix(%q)
      assert(listener:info().sock.path == %q and tostring(listener) == "tcp.Listener: unix:" .. %q)
      chdir()
      listener:close()
    ]]):format(path, path, path))
    assert.is_nil(stat(path))
  end)

  it("stays when a child of fork closes its listener", function()
    local path = helper.unix_path()
    helper.run_well(helper.forking() .. ([[
      local tcp, path = require "tcp", %q
      local listener = tcp.listen_unix(path)
      if fork() == 0 then
        listener:close()
        os.exit(0, true)
      end
      assert(wait() == 0)
      if fork() == 0 then
        os.exit(0, true) -- the collector closes it
      end
      assert(wait() == 0)
      local client = tcp.connect_unix(path, 3)
      client:send "x"
      assert(listener:accept(3):read(1) == "x")
      -- Its parent's end leaves it to the child, too.
      local own = fork()
      if own == 0 then
        listener:close()
        local again = tcp.listen_unix(path .. ".child")
        again:close()
        os.exit(os.rename(path .. ".child", path .. ".child") and 1 or 0)
      end
      assert(wait() == 0)
      assert(os.rename(path, path))
      listener:close()
    ]]):format(path))
    assert.is_nil(stat(path))
  end)

  describe("with unlink = true", function()
    it("takes the place of one that nobody listens at", function()
      local path = helper.unix_path()
      leave_stale(path)
      helper.fails("address", "in use %(unlink = true", function() tcp.listen_unix(path) end)
      local listener = listen(path, { unlink = true })
      local client, served = pair(listener, path)
      client:send "x"
      assert.equal("x", served:read(1))
      listener:close()
      assert.is_nil(stat(path))
      listen(path, { unlink = true })
      assert.is_nil(stat(path .. ".tcp-lock"))
    end)

    it("replaces no other kind of file", function()
      local place = folder()
      local kinds = {
        ["regular file"] = "echo precious >x", directory = "mkdir x", fifo = "mkfifo x",
        ["symbolic link"] = "ln -s stale x",
      }
      leave_stale(place .. "/stale")
      for kind, make in pairs(kinds) do
        output(("cd %s && %s"):format(place, make))
        helper.fails("address", "^listen_unix unix:/%S+: address: the file there is no socket, and is not replaced$",
          function() tcp.listen_unix(place .. "/x", { unlink = true }) end)
        assert.equal(kind, stat(place .. "/x"))
        output(("rm -r %s/x"):format(place))
      end
      assert.equal("stale\n", output("ls " .. place))
    end)

    it("leaves one alone that somebody listens at, be its backlog full", function()
      local path = helper.unix_path()
      local peer = helper.listen("", { path = path, full = true })
      helper.fails("address", "address already in use$", function() tcp.listen_unix(path, { unlink = true }) end)
      assert.equal("socket", stat(path))
      assert.equal(0, peer:count())
    end)

    it("lets one of many starters listen, and the others fail with address", function()
      local place = folder()
      local path, script = place .. "/x", place .. "/starter.lua"
      local file = io.open(script, "w")
      file:write(("package.cpath = %q\n"):format(package.cpath), ([[
        local tcp = require "tcp.safe"
        io.open(%q) -- opens for all when somebody writes to it
        local listener, message, code = tcp.listen_unix(%q, { unlink = true, timeout = 3 })
        io.write(listener and "listens" or code == "address" and "address" or message, "\n")
        io.stdout:flush()
        if not listener then return end
        -- The others looked whether anybody listens.
        for conn in listener:connections() do
          if conn:read_line() == "client" then
            conn:send "served"
            return
          end
        end
      ]]):format(place .. "/start", path))
      file:close()
      for _ = 1, helper.is_quick and 3 or 10 do
        leave_stale(path)
        output(([[
          cd %s; mkfifo start; : >said
          for i in 1 2 3 4 5 6; do %s starter.lua >>said 2>&1 & done
          (sleep 0.2; exec 3>start; sleep 3) >/dev/null 2>&1 &
        ]]):format(place, helper.interpreter()))
        local said, late = "", helper.clock() + 10
        while select(2, said:gsub("\n", "")) < 6 and helper.clock() < late do
          said = output(("sleep 0.05; sort %s/said"):format(place))
        end
        assert.equal(("address\n"):rep(5) .. "listens\n", said)
        local client = connect(path)
        client:send "client\n"
        assert.equal("served", client:read_str())
        assert.is_nil(stat(path .. ".tcp-lock"))
        output(("rm %s/start"):format(place))
        helper.finish()
      end
    end)

    it("takes over what an ended process has left of the lock, and leaves other files", function()
      local path = folder() .. "/x"
      local lock = path .. ".tcp-lock"
      io.open(lock, "w"):close()
      listen(path, { unlink = true }):close()
      assert.is_nil(stat(lock))
      local file = io.open(lock, "w")
      file:write "precious"
      file:close()
      listen(path, { unlink = true }):close()
      assert.equal("precious", helper.contents(lock))
      os.remove(lock)
      output(("ln -s precious %s"):format(lock))
      helper.fails("address", "cannot lock '/%S+/x%.tcp%-lock': ", function()
        tcp.listen_unix(path, { unlink = true })
      end)
      assert.equal("symbolic link", stat(lock))
      os.remove(lock)
    end)

    it("gives way while another holds the lock", function()
      local path = folder() .. "/x"
      local holder = helper.connect(([[
        import fcntl
        with open("%s.tcp-lock", "w") as lock:
          fcntl.flock(lock, fcntl.LOCK_EX)
          c.send(b"held\n")
          c.recv()
      ]]):format(path))
      holder:read_line()
      helper.fails("address", "another process is about to listen there$", function()
        tcp.listen_unix(path, { unlink = true })
      end)
      assert.is_nil(stat(path))
    end)
  end)
end)

describe("the PROXY protocol over a Unix socket", function()
  after_each(finish)

  it("tells nothing of a Unix socket's ends, and what it is told", function()
    local told = { version = 1, source = { "192.0.2.1", 1 }, destination = { "192.0.2.2", 2 } }
    for expected, what in pairs {
      ["PROXY UNKNOWN\r\n"] = 1,
      ["\r\n\r\n\0\r\nQUIT\n\33\0\0\0"] = 2,
      ["PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"] = told,
    } do
      local path = helper.unix_path()
      local peer = helper.listen([[ return c.recv_all() ]], { path = path })
      connect(path, { proxy_protocol = what }):close()
      assert.equal(expected, peer:result())
      helper.finish()
    end
  end)

  it("tells a listener who is behind the client", function()
    local path = helper.unix_path()
    local listener = listen(path, { proxy_protocol = true, timeout = helper.timeout })
    for header, name in pairs {
      ["PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"] = "tcp.Connection: unix:" .. path .. " -> 192.0.2.1:1",
      ["PROXY UNKNOWN\r\n"] = "tcp.Connection: unix:" .. path,
    } do
      local client, served = pair(listener, path)
      assert.is_nil(served:info().peer)
      assert.equal(tonumber((output "id -u")), served:info().via.uid)
      assert.equal("tcp.Connection: unix:" .. path, tostring(served))
      client:send(header, "hello\n")
      assert.equal("hello", served:read_line())
      assert.equal(name, tostring(served))
      assert.equal(name:match "192.0.2.1", served:info().host)
      assert.equal(tonumber((output "id -u")), served:info().via.uid)
      client:close()
      served:close()
    end
  end)
end)

describe("TLS over a Unix socket", function()
  after_each(finish)

  it("begins with start_tls, which wants a server_name", function()
    local conn, peer = helper.connect_unix([[
      c.recv_line()
      c.handshake("good")
      c.send(b"encrypted\n")
      return c.sni
    ]])
    conn:send "STARTTLS\n"
    local expected = "bad argument #1 to 'start_tls' (option 'server_name' expected, a Unix socket has no host)"
    helper.misuse(expected, function() conn:start_tls() end)
    helper.misuse(expected, function() conn:start_tls { ca_file = helper.pem "root" } end)
    local tls = helper.keep(conn:start_tls { server_name = "localhost", ca_file = helper.pem "root" })
    assert.equal("encrypted", tls:read_line())
    assert.equal("localhost", peer:result())
    assert.matches("^tcp%.TlsConnection: unix:/", tostring(tls))
    assert.equal("localhost", tls:info().tls.server_name)
    assert.is_true(tls:info().tls.verified)
    assert.truthy(tls:info().peer.pid)
    assert.is_nil(tls:info().host)
  end)

  it("verifies the name, and says who failed", function()
    local conn = helper.connect_unix [[ c.handshake("good") ]]
    helper.fails("certificate", "^start_tls unix:/%S+: certificate: ", function()
      conn:start_tls { server_name = "elsewhere.example.com", ca_file = helper.pem "root" }
    end)
  end)

  it("is accepted by a listener with the option tls", function()
    local path = helper.unix_path()
    local listener = listen(path, { tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } })
    local peer = helper.dial(nil, [[
      c.send(b"over TLS\n")
      return c.recv_line()
    ]], { path = path, tls = true })
    local conn = helper.keep(listener:accept(helper.timeout))
    assert.matches("^tcp%.TlsConnection: unix:/", tostring(conn))
    assert.equal("over TLS", conn:read_line())
    conn:send "the same\n"
    assert.equal("the same\n", peer:result())
    assert.equal("TLSv1.3", conn:info().tls.version)
  end)

  it("has the server's part on an accepted connection", function()
    local path = helper.unix_path()
    local listener = listen(path, { timeout = helper.timeout })
    local peer = helper.dial(nil, [[
      c.handshake()
      return c.recv_line()
    ]], { path = path })
    local conn = helper.keep(listener:accept(helper.timeout))
    local tls = helper.keep(conn:start_tls { cert_file = helper.pem "good", key_file = helper.pem("good", "key") })
    tls:send "server\n"
    assert.equal("server\n", peer:result())
  end)
end)
