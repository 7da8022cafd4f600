-- Trusted certificates are read once for all settings of TLS, and are as fresh as if each had read
-- them itself.

local authority = require "spec.support.authority"
local helper = require "spec.support.helper"

local root, stranger = helper.pem "root", helper.pem "stranger"

-- Runs a script that has `connect(options)`, which says whether `good` is believed, and `sh`.
local function run(variables, code, ...)
  local peer = helper.listen([[ c.send(b"hello") ]], { tls = "good" })
  return helper.run_well(([[
    local tcp, PORT = require "tcp.safe", %d
    local function connect(options)
      options = options or {}
      options.timeout = 3
      local conn, message, code = tcp.connect_tls("localhost", PORT, options)
      if conn then conn:close() end
      return conn and "yes" or code
    end
    local function sh(command) os.execute(command) end
    %s
  ]]):format(peer.port, code:format(...)), variables)
end

describe("trusted certificates", function()
  teardown(authority.finish)
  after_each(helper.finish)

  for _, way in ipairs { "the system's store", "ca_file", "ca" } do
    it("are read once for all settings: " .. way, function()
      -- As many as a system has.
      local bundle = authority.write(helper.contents(root):rep(150))
      local variables = "SSL_CERT_DIR= SSL_CERT_FILE=" .. (way == "the system's store" and bundle or "/nonexistent")
      local trust = ({ ca_file = "ca_file = FILE", ca = "ca = io.open(FILE):read '*a'" })[way] or ""
      local said = run(variables, [[
        local FILE = %q
        local function took(alpn)
          local began = os.clock()
          assert(connect { alpn = alpn, %s } == "yes")
          return os.clock() - began
        end
        local first, others = took "h1", math.huge
        for i = 2, 5 do others = math.min(others, took("h" .. i)) end
        io.write(others < first / 2 and "once" or ("first %%.4f, others %%.4f"):format(first, others))
      ]], bundle, trust)
      assert.equal("once", said)
    end)
  end

  it("count as they are for all settings: a file", function()
    local path = authority.write(helper.contents(root))
    for _, variables in ipairs { "SSL_CERT_DIR= SSL_CERT_FILE=" .. path, "" } do
      local said = run(variables, [[
        local path, root, stranger, system = %q, %q, %q, %s
        local function both()
          for _, alpn in ipairs { "one", "two" } do
            io.write(connect { alpn = alpn, ca_file = not system and path or nil }, " ")
          end
        end
        both()
        sh("cp --preserve=timestamps " .. stranger .. " " .. path)
        both()
        sh("cp " .. root .. " " .. path .. ".new; mv " .. path .. ".new " .. path)
        both()
        if system then
          os.remove(path)
          both()
          sh("cp " .. root .. " " .. path)
          both()
        end
      ]], path, root, stranger, tostring(variables ~= ""))
      assert.equal("yes yes certificate certificate yes yes "
        .. (variables ~= "" and "certificate certificate yes yes " or ""), said)
    end
  end)

  it("count as they are for all settings: a folder", function()
    local dir = authority.path "certs"
    helper.output(("mkdir %s; cp %s/hashed/* %s"):format(dir, helper.certificates, dir))
    local said = run("SSL_CERT_FILE=/nonexistent SSL_CERT_DIR=" .. dir, [[
      local dir = %q
      io.write(connect { alpn = "one" }, " ", connect { alpn = "two" }, " ")
      sh("mv " .. dir .. " " .. dir .. ".gone; mkdir " .. dir)
      local till, third = os.time() + 3
      repeat
        tcp.sleep(0.02)
        third = connect { alpn = "three" }
      until third ~= "yes" or os.time() > till
      io.write(third, " ", connect { alpn = "one" }, " ", connect { alpn = "two" })
    ]], dir)
    assert.equal("yes yes certificate certificate certificate", said)
  end)

  it("of other settings are others", function()
    local path = authority.write(helper.contents(stranger))
    local said = run("SSL_CERT_DIR= SSL_CERT_FILE=" .. root, [[
      io.write(connect(), " ", connect { ca_file = %q }, " ", connect { ca_file = %q }, " ",
        connect { ca_file = %q, ca = io.open(%q):read "*a" }, " ", connect { verify = false, ca_file = %q }, " ",
        connect())
    ]], path, root, path, root, path)
    assert.equal("yes certificate yes yes yes yes", said)
  end)

  it("in a pipe are read each time", function()
    local pipe = authority.path "pipe"
    helper.output("mkfifo " .. pipe)
    local said = run("", [[
      local pipe, root, stranger = %q, %q, %q
      for i, file in ipairs { root, stranger, root } do
        sh(("cat %%s > %%s &"):format(file, pipe))
        io.write(connect { ca_file = pipe, alpn = "p" .. i }, " ")
      end
    ]], pipe, root, stranger)
    assert.equal("yes certificate yes ", said)
  end)
end)
