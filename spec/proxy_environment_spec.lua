-- The option `proxy = "environment"`: which variables count, and whom `no_proxy` excepts. Each case
-- is asked of curl, too, with the same environment, in a network of its own.

local helper = require "spec.support.helper"

-- {host, no_proxy, is it excepted?, versions of curl that say so}. Before 8.18 curl compares IPv6
-- addresses as text; from 8.9 on its list ends at a blank without a comma.
local newer, older = { from = 8018 }, { to = 8008 }
local cases = {
  { "a.example.com", "example.com", true },
  { "a.example.com", ".example.com", true },
  { "example.com", ".example.com", true },
  { "a.b.example.com", "b.example.com", true },
  { "nonexample.com", "example.com", false },
  { "com", "example.com", false },
  { "example.com.", "example.com", true },
  { "example.com", "example.com.", true },
  { "EXAMPLE.com", "example.COM", true },
  { "example.com", "..example.com", false },
  { "example.com", "example.com..", false },
  { "example.com", ".", false },
  { "example.com", "example.com:9", false },
  { "example.com", "*", true },
  { "192.0.2.7", "*", true },
  { "example.com", "*.com", false },
  { "a.example.com", "*.example.com", false },
  { "example.com", "*,other", false },
  { "example.com", "other,*", false },
  { "example.com", "other, example.com", true },
  { "example.com", " example.com ", true },
  { "example.com", "\texample.com", true },
  { "example.com", ",,example.com,,", true },
  { "example.com", "other,,example.com", true },
  { "example.com", "other ,example.com", true },
  { "example.com", "other example.com", true, older },
  { "example.com", "other example.com,third", true, older },
  { "localhost", "127.0.0.1", false },
  { "127.0.0.1", "localhost", false },
  { "xn--bcher-kva.example", "xn--bcher-kva.example", true },
  { "xn--bcher-kva.example", "bücher.example", false },
  { "192.0.2.7", "192.0.2.7", true },
  { "192.0.2.7", "192.0.2.7:9", false },
  { "192.0.2.7", "2.7", false },
  { "192.0.2.7", ".0.2.7", false },
  { "192.0.2.7", "192.0.2", false },
  { "192.0.2.7", "192.0.2.0/24", true },
  { "192.0.2.7", "192.0.2.0/29", true },
  { "192.0.2.7", "192.0.2.0/30", false },
  { "192.0.2.7", "192.0.2.7/32", true },
  { "192.0.2.7", "192.0.2.0/33", false },
  { "192.0.2.7", "0.0.0.0/0", false },
  { "192.0.2.7", "192.0.2.0/ 24", false },
  { "192.0.2.7", "192.0.2.0/-1", false },
  { "[2001:db8::1]", "2001:db8::1", true },
  { "[2001:db8::1]", "2001:db8::2", false },
  { "[2001:db8::1]", "2001:db8:0::1", true, newer },
  { "[2001:db8::1]", "2001:db8::/32", true, newer },
  { "[2001:db8::1]", "2001:db8::/33", true, newer },
  { "[2001:db8::1]", "2001:dba::/31", false },
  { "[2001:db8::1]", "2001:db8::1/129", false },
  { "[::1]", "::1", true },
  { "[::1]", "localhost", false },
  { "[::ffff:192.0.2.7]", "192.0.2.7", false },
}

-- Runs a script of the shell in a network of its own, where $PROXY is the port of a proxy that
-- answers 403, port 9 refuses, and `ask LUA-SOURCE` runs some with the module.
local function run(script)
  local path = os.tmpname()
  local function write(name, text)
    local file = assert(io.open(name, "w"))
    file:write(text)
    file:close()
  end
  write(path .. ".lua", ([[
    package.path, package.cpath = %q, %q
    print((loadstring or load)(arg[1])(require "tcp.safe", arg[2]))
  ]]):format(package.path, package.cpath))
  write(path .. ".py", [[
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def serve(client):
    client.recv(65536)
    client.sendall(b"HTTP/1.0 403 no\r\nContent-Length: 0\r\n\r\n")
    client.close()
while True: threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
]])
  write(path, ([[
    path=%s
    unset all_proxy ALL_PROXY no_proxy NO_PROXY http_proxy
    %s $path.py >$path.port &
    trap "kill $!" EXIT
    until [ -s $path.port ]; do sleep 0.01; done
    read -r PROXY <$path.port
    ask() { timeout 20 %s $path.lua "$@"; }
  ]]):format(path, helper.python, helper.interpreter()) .. script)
  local said = helper.output(helper.namespace { "127.0.0.1=localhost", "127.0.0.1=example.com",
    "127.0.0.1=a.example.com", "127.0.0.1=a.b.example.com", "127.0.0.1=nonexample.com", "127.0.0.1=com",
    "127.0.0.1=xn--bcher-kva.example", "127.0.0.1=p.example", "192.0.2.7=x.example" }
    .. " timeout 120 sh " .. path .. " 2>&1")
  os.execute(("rm -f %s %s.lua %s.py %s.port"):format(path, path, path, path))
  return said
end

local function each_line(said)
  local lines = {}
  for line in said:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

-- The host of the case, asked for by the environment: "proxy" or "direct".
local ask = [[ask "local tcp, host = ...
  return select(3, tcp.connect(host, 9, { timeout = 2, proxy = 'environment' })) == 'proxy' and 'proxy' or 'direct'"]]

describe("no_proxy", function()
  if not helper.has_namespaces() then return pending "there are no network namespaces here" end

  -- All at once: a process for each, and no more.
  local script = { "export all_proxy=http://127.0.0.1:$PROXY" }
  for _, case in ipairs(cases) do
    script[#script + 1] = ("export no_proxy='%s'\n%s '%s'"):format(case[2], ask, case[1])
  end
  local told

  for number, case in ipairs(cases) do
    it(("%q %s %s"):format(case[2], case[3] and "excepts" or "does not except", case[1]), function()
      told = told or each_line(run(table.concat(script, "\n")))
      assert.equal(case[3] and "direct" or "proxy", told[number])
    end)
  end

  it("means the same for curl", function()
    local major, minor = helper.output "curl --version 2>&1":match "^curl (%d+)%.(%d+)"
    if not major then
      helper.excuse "curl"
      return pending "there is no curl here"
    end
    local version, questions = major * 1000 + minor, { "export all_proxy=http://127.0.0.1:$PROXY" }
    local asked = {}
    for _, case in ipairs(cases) do
      local since = case[4] or {}
      if version >= (since.from or 0) and version <= (since.to or math.huge) then
        asked[#asked + 1] = case
        questions[#questions + 1] = ([[
          no_proxy='%s' curl -g -s -o /dev/null --max-time 5 -w '%%{http_code}\n' 'http://%s:9/'
        ]]):format(case[2], case[1])
      end
    end
    local said = each_line(run(table.concat(questions, "\n")))
    assert(#asked >= 40)
    for number, case in ipairs(asked) do
      assert.equal(("%s, %s: %s"):format(case[1], case[2], case[3] and "000" or "403"),
        ("%s, %s: %s"):format(case[1], case[2], tostring(said[number])))
    end
  end)
end)

describe("the variables", function()
  if not helper.has_namespaces() then return pending "there are no network namespaces here" end

  it("are all_proxy and no_proxy, in capitals where these are empty", function()
    local settings = {
      { "", "direct" },
      { "all_proxy=127.0.0.1:$PROXY", "proxy" },
      { "ALL_PROXY=http://127.0.0.1:$PROXY", "proxy" },
      { "all_proxy= ALL_PROXY=127.0.0.1:$PROXY", "proxy" },
      { "all_proxy=http://127.0.0.1:$PROXY ALL_PROXY=http://127.0.0.1:9", "proxy" },
      { "all_proxy=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:$PROXY", "direct" }, -- refused by port 9
      { "http_proxy=http://127.0.0.1:$PROXY HTTPS_PROXY=http://127.0.0.1:$PROXY", "direct" },
      { "all_proxy=127.0.0.1:$PROXY no_proxy=localhost", "direct" },
      { "all_proxy=127.0.0.1:$PROXY NO_PROXY=localhost", "direct" },
      { "all_proxy=127.0.0.1:$PROXY no_proxy= NO_PROXY=localhost", "direct" },
      { "all_proxy=127.0.0.1:$PROXY no_proxy=other NO_PROXY=localhost", "proxy" },
    }
    local script = {}
    for _, setting in ipairs(settings) do
      script[#script + 1] = ("(export %s; %s localhost)"):format(setting[1], ask):gsub("export ;", "")
    end
    local said = each_line(run(table.concat(script, "\n")))
    for number, setting in ipairs(settings) do
      assert.equal(setting[1] .. ": " .. setting[2], setting[1] .. ": " .. tostring(said[number]))
    end
  end)

  it("name ports as curl takes them, and what is no proxy is an error", function()
    local settings = {
      { "p.example", "http://p.example:1080" }, { "http://p.example", "http://p.example:1080" },
      { "https://p.example", "https://p.example:443" }, { "socks5://p.example/", "socks5://p.example:1080" },
      { "http://p.example:80", "http://p.example:80" },
    }
    local script = {}
    for _, setting in ipairs(settings) do
      script[#script + 1] = ("all_proxy=%s ask %q"):format(setting[1],
        "return (select(2, (...).connect('localhost', 9, { timeout = 2, proxy = { url = 'environment' } })))")
    end
    for _, url in ipairs { "socks4://a", "http://a:x", "http://a/b" } do
      script[#script + 1] = ("ALL_PROXY=%s %s localhost"):format(url, ask)
    end
    script[#script + 1] = "all_proxy=socks4://a no_proxy=localhost " .. ask .. " localhost"
    local said = each_line(run(table.concat(script, "\n")))
    for number, setting in ipairs(settings) do
      local expected = "refused: the proxy " .. setting[2] .. ": connection refused"
      assert(said[number]:find(expected, 1, true), said[number])
    end
    for number = #settings + 1, #settings + 3 do assert.equal("proxy", said[number]) end
    assert.equal("direct", said[#settings + 4])
  end)
end)
