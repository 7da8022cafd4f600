-- The shared library itself: what it exports, how it is linked, and which Lua it lets in.

local helper = require "spec.support.helper"

local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- The file that `require "tcp"` loads here.
local function library()
  for template in package.cpath:gmatch "[^;]+" do
    local path = template:gsub("%?", "tcp")
    if exists(path) then return path end
  end
  error("there is no tcp in " .. package.cpath)
end

describe("the library", function()
  it("exports the two names that Lua looks for, and no other", function()
    local names = {}
    for name in output("nm -D --defined-only " .. library()):gmatch "%x+ %u (%S+)" do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.same({ "luaopen_tcp", "luaopen_tcp_luasocket", "luaopen_tcp_safe" }, names)
  end)

  -- `make VENDORED=yes` has OpenSSL inside.
  it("takes Lua's own functions from its host, and OpenSSL from the system", function()
    local needed = output("readelf -d " .. library())
    local has_openssl = not needed:find("libssl", 1, true)
      and helper.contents(library()):find "\0OpenSSL %d%.%d+%.%d+ %d" ~= nil
    assert.equal(not has_openssl, needed:find "%[libssl%.so" ~= nil)
    assert.equal(not has_openssl, needed:find "%[libcrypto%.so" ~= nil)
    assert.not_matches("%[liblua", needed)
  end)

  it("stays mapped when the state that loaded it is closed", function()
    assert.matches("NODELETE", output("readelf -d " .. library()))
  end)
end)

-- scripts/states.c lets a script make and close further states of its own Lua.
describe("several Lua states in one process", function()
  local folder

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    local said = output(("mkdir %s && cc -shared -fPIC -DLUA=%d -o %s/states.so scripts/states.c"):format(
      folder, 500 + _VERSION:match "%d$", folder))
    assert(exists(folder .. "/states.so"), said)
  end)

  teardown(function()
    os.remove(folder .. "/states.so")
    os.remove(folder)
    helper.stop()
  end)

  after_each(helper.finish)

  -- Runs a script that has `open(name)`, `run(name, chunk)` and `close(name)`; it must end well.
  local function run(code)
    local said, status = helper.run(([[
      local path, cpath = package.path, package.cpath
      package.cpath = %q
      local states = require "states"
      package.cpath = cpath
      local opened = {}
      local function run(name, chunk)
        local ok, text = states.run(opened[name], chunk)
        if not ok then error(name .. ": " .. text, 0) end
        return text
      end
      local function open(name)
        opened[name] = states.open()
        run(name, ("package.path, package.cpath = %%q, %%q"):format(path, cpath))
      end
      local function close(name)
        states.close(opened[name])
        opened[name] = nil
      end
    ]]):format(folder .. "/?.so") .. code)
    assert.equal(0, status, said)
    return said
  end

  it("have nothing to do with each other", function()
    local peer = helper.listen [[ c.send_packet(c.recv_packet()) ]]
    assert.equal("first second", run(([[
      for _, name in ipairs { "first", "second" } do
        open(name)
        run(name, "tcp = require 'tcp'")
        -- The last connection of another state is not this one's.
        run(name, "assert(not pcall(tcp.send, 'x'))")
        run(name, "conn = tcp.connect('127.0.0.1', %d, 3)")
        run(name, "conn:write_json_packet('" .. name .. "')")
      end
      local first = run("first", "return conn:read_json_packet()")
      close "first"
      collectgarbage()
      io.write(first, " ", run("second", "return conn:read_json_packet()"))
      close "second"
    ]]):format(peer.port)))
  end)

  it("may come and go, whoever loaded it first", function()
    local peer = helper.listen [[ c.send(b"x") ]]
    assert.equal(("x"):rep(6), run(([[
      for i = 1, 5 do
        open(i)
        io.write(run(i, "conn = require('tcp').connect('127.0.0.1', %d, 3) return conn:read_str()"))
        close(i)
      end
      io.write(require("tcp").connect("127.0.0.1", %d, 3):read_str())
    ]]):format(peer.port, peer.port)))
  end)

  it("may be closed while a name is still being looked up", function()
    assert.equal("", run [[
      for i = 1, 5 do
        open(i)
        run(i, "assert(not pcall(require('tcp').connect, 'nobody.invalid', 1, 1e-6))")
        close(i)
      end
      os.execute "sleep 0.1"
    ]])
  end)
end)

describe("a library that was built for another Lua", function()
  local flavor = jit and "luajit" or "lua" .. _VERSION:gsub("%D", "")

  -- What `require "tcp"` says here, of the library beside ours that was built for `other`.
  local function refusal(other)
    local folder = library():gsub("[^/]+/tcp%.so$", other)
    if not exists(folder .. "/tcp.so") then return end
    local said, status = helper.run(([[
      package.cpath = %q
      local ok, message = pcall(require, "tcp")
      io.write(ok and "loaded" or message)
    ]]):format(folder .. "/?.so"))
    assert.equal(0, status, said)
    return said
  end

  for _, other in ipairs { "lua51", "lua52", "lua53", "lua54", "lua55" } do
    -- LuaJIT and Lua 5.1 share their interface.
    if other ~= flavor and not (jit and other == "lua51") then
      it("is refused: " .. other, function()
        local said = refusal(other)
        if not said then return pending("no library for " .. other .. " has been built") end
        assert.not_equal("loaded", said)
        if flavor == "lua55" and other == "lua54" then
          assert.matches("tcp was built for Lua 5.4 and cannot be loaded into Lua 5.5", said, 1, true)
        end
      end)
    end
  end
end)

describe("a build", function()
  local folder

  -- A folder with these programs alone, as on a system that has no more.
  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    output("mkdir " .. folder)
    for name in ("sh sed head cat cargo rustc cc dirname"):gmatch "%S+" do
      output(('ln -s "$(command -v %s)" %s/'):format(name, folder))
    end
  end)

  teardown(function() output("rm -r " .. folder) end)

  local function missing(lua, settings)
    return output(("{ %s PATH=%s LUA=%s sh scripts/deps --check build lua 2>&1; echo $?; }")
      :format(settings or "", folder, lua))
  end

  it("names what it misses, and the packages that bring it", function()
    assert.equal([[
missing: pkg-config, OpenSSL's headers
  Fedora   dnf install pkgconf-pkg-config openssl-devel
  Alpine   apk add pkgconf openssl-dev
  macOS    brew install pkgconf openssl@3
  Debian   apt-get install pkg-config libssl-dev
1
]], missing(helper.interpreter()))
  end)

  it("with OpenSSL inside wants Perl in place of its headers", function()
    assert.equal([[
missing: Perl
  Fedora   dnf install perl
  Alpine   apk add perl
  Debian   apt-get install perl
1
]], missing(helper.interpreter(), "VENDORED=yes"))
  end)

  it("says that there is no such Lua", function()
    assert.equal("there is no Lua interpreter 'lua9': name another one, as in 'make LUA=lua5.4'\n1\n", missing "lua9")
  end)
end)
