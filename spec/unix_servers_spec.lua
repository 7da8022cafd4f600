-- Servers of other projects at the ends of Unix sockets: Redis, PostgreSQL, nginx, haproxy, and
-- HTTP as Docker's daemon speaks it.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local output = helper.output

-- A folder that any user may write.
local place
local function folder()
  place = helper.unix_path():gsub("%.sock$", "")
  output(("mkdir '%s' && chmod 777 '%s'"):format(place, place))
  return place
end

local function finish()
  helper.finish()
  if place then output(("rm -rf '%s'"):format(place)) end
end

-- Starts a server by a shell command, until it listens at its socket.
local function serve(command, path)
  helper.program(([[
    sh -c 'trap "exit 0" INT TERM; trap "kill \$server 2>/dev/null; wait" EXIT
      %s & server=$!; until [ -S %s ]; do kill -0 $server || exit 1; sleep 0.02; done; echo ready; wait']])
    :format(command, path):gsub("^%s+", ""), { ready = "^ready" })
  local late, conn = helper.clock() + 5 -- luacheck: ignore 311
  repeat
    conn = safe.connect_unix(path, helper.timeout)
  until conn or helper.clock() > late
  assert(conn, command):close()
end

local function has(program)
  if output("command -v " .. program) ~= "" then return true end
  helper.excuse(program)
end

-- Runs a body as it is, and in each loop.
local function everywhere(body)
  body()
  for _, loop in ipairs(loops) do
    if loop.found and loops.has_yielding_pcall then loop.within(body) end
  end
end

describe("over a Unix socket", function()
  after_each(finish)

  it("Redis answers", function()
    if not has "redis-server" then return pending "there is no redis-server here" end
    local path = folder() .. "/redis"
    serve(("redis-server --port 0 --unixsocket %s --save \"\" --appendonly no --dir /tmp"):format(path), path)
    everywhere(function()
      local conn = helper.keep(tcp.connect_unix(path, helper.timeout))
      conn:send("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$100000\r\n", ("x"):rep(100000), "\r\n*2\r\n$3\r\nGET\r\n$1\r\nx\r\n")
      assert.equal("+OK", conn:read_line())
      assert.equal("$100000", conn:read_line())
      assert.equal(("x"):rep(100000) .. "\r\n", conn:read(100002))
      conn:close()
    end)
  end)

  it("PostgreSQL answers a query, and has no TLS there", function()
    local server = helper.postgres(folder())
    if not server then return pending "there is no PostgreSQL server here" end
    local path = ("%s/.s.PGSQL.%d"):format(place, server.port)
    everywhere(function()
      local conn = helper.keep(tcp.connect_unix(path, helper.timeout))
      conn:send "\0\0\0\8\4\210\22\47" -- SSLRequest
      assert.equal("N", conn:read(1))
      local startup = "\0\3\0\0user\0specs\0database\0postgres\0\0"
      conn:send("\0\0\0" .. string.char(#startup + 4), startup)
      local function message()
        local kind, head = conn:read(1), conn:read(4)
        local _, _, c, d = head:byte(1, 4)
        return kind, conn:read(256 * c + d - 4)
      end
      local kind, body
      repeat
        kind, body = message()
        assert.not_equal("E", kind, body)
      until kind == "Z"
      local query = "select 6 * 7, inet_server_addr() is null\0"
      conn:send("Q\0\0\0" .. string.char(#query + 4), query)
      repeat kind, body = message() until kind == "D"
      assert.equal("\0\2\0\0\0\00242\0\0\0\1t", body)
      assert.is_true(conn:info().peer.pid > 1)
      conn:close()
    end)
  end)

  it("nginx serves a page, and keeps the connection", function()
    if not has "nginx" then return pending "there is no nginx here" end
    local path = folder() .. "/nginx"
    local file = io.open(place .. "/conf", "w")
    file:write((([[
      daemon off; master_process off; pid @/pid; error_log stderr;
      events {}
      http {
        access_log off; client_body_temp_path @/a; proxy_temp_path @/b; fastcgi_temp_path @/c;
        uwsgi_temp_path @/d; scgi_temp_path @/e;
        server { listen unix:@/nginx; location / { return 200 "hello\n"; } }
      }
    ]]):gsub("@", place)))
    file:close()
    serve(("nginx -c %s/conf -g \"\" -p %s"):format(place, place), path)
    everywhere(function()
      local conn = helper.keep(tcp.connect_unix(path, helper.timeout))
      for _ = 1, 3 do
        conn:send "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert.equal("HTTP/1.1 200 OK", conn:read_line())
        assert.matches("Content%-Length: 6", conn:read_until "\r\n\r\n")
        assert.equal("hello\n", conn:read(6))
      end
      conn:close()
    end)
  end)

  it("haproxy tells of itself at its stats socket", function()
    if not has "haproxy" then return pending "there is no haproxy here" end
    local path = folder() .. "/haproxy"
    local file = io.open(place .. "/conf", "w")
    file:write(("global\n  stats socket %s mode 600 level admin\ndefaults\n  mode http\n  timeout client 1s\n"
      .. "  timeout server 1s\n  timeout connect 1s\nfrontend web\n  bind unix@%s.web\n"):format(path, path))
    file:close()
    serve(("haproxy -db -f %s/conf"):format(place), path)
    everywhere(function()
      local conn = helper.keep(tcp.connect_unix(path, helper.timeout))
      conn:send "show stat\n"
      assert.matches("^# pxname,svname,", conn:read_line())
      assert.matches("^web,FRONTEND,", conn:read_line())
      conn:read_str()
      conn:close()
    end)
  end)

  it("an HTTP server answers as Docker's does: in chunks, one byte at a time", function()
    local path = folder() .. "/docker"
    helper.listen([[
      while True:
        request = b""
        while not request.endswith(b"\r\n\r\n"): request += c.recv_exactly(1)
        c.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0.0005)
        for part in b'{"Version": ', b'"24.0.7"}\n', b"": c.drip(b"%x\r\n%b\r\n" % (len(part), part), 0.0005)
    ]], { path = path })
    everywhere(function()
      local conn = helper.keep(tcp.connect_unix(path, helper.timeout))
      for _ = 1, 2 do
        conn:send "GET /version HTTP/1.1\r\nHost: docker\r\n\r\n"
        assert.equal("HTTP/1.1 200 OK", conn:read_line())
        assert.equal("Transfer-Encoding: chunked", conn:read_until "\r\n\r\n")
        local parts = {}
        repeat
          local size = tonumber(conn:read_line(), 16)
          parts[#parts + 1] = conn:read(size)
          conn:read_line()
        until size == 0
        assert.equal("24.0.7", tcp.json.decode(table.concat(parts)).Version)
      end
      conn:close()
    end)
  end)
end)
