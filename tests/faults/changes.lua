-- Changes around a process while it lives: of the time of day, and of the files of trusted CAs.
-- Timeouts must keep their length, and a certificate is judged by the present time and store. Run
-- by tests/faults/run, with SSL_CERT_FILE naming a file that may be replaced.

local helper = require "spec.support.helper"
local tcp = require "tcp.safe"

local timeout = 3
local getenv = os.getenv
local store = assert(getenv "SSL_CERT_FILE")
local root, stranger = helper.contents(helper.pem "root"), helper.contents(helper.pem "stranger")
local year = 365 * 86400

local checks, wrong = 0, 0

local function check(what, expected, got)
  checks = checks + 1
  if got == expected then return end
  wrong = wrong + 1
  print(("changes: %s: %s expected, got %s"):format(what, tostring(expected), tostring(got)))
end

-- Other processes see the old file or the whole new one.
local function put(path, text)
  local file = assert(io.open(path .. ".new", "wb"))
  file:write(text)
  file:close()
  assert(os.rename(path .. ".new", path))
end

local good = helper.listen("c.send(b'.')", { tls = "good" }).port

-- Returns "well", or the code of the failure.
local function connecting(options)
  options = options or {}
  options.timeout = timeout
  local conn, _, code = tcp.connect_tls("127.0.0.1", good, options)
  if not conn then return code end
  conn:close()
  return "well"
end

-- The clock ---------------------------------------------------------------------------------------

-- Calls `act` with the time of day set forward by this many seconds.
local function at(seconds, act)
  getenv("fault:clock " .. ("%d"):format(seconds))
  act()
  getenv "fault:clock 0"
end

local function takes(what, seconds, act)
  local before = helper.clock()
  act()
  local took = helper.clock() - before
  check(what .. " keeps its timeout", true, took >= seconds - 0.02 and took < seconds + 1)
end

local function clock()
  local trusting = { ca_file = helper.pem "root" }
  check("today", "well", connecting(trusting))
  local peer = helper.listen "c.hold()"
  local conn = tcp.connect("127.0.0.1", peer.port, timeout)
  conn:set_timeout(0.2)
  for _, jump in ipairs { 3600, -3600, 20 * year, -20 * year } do
    at(jump, function()
      takes("a read, the clock set by " .. jump, 0.2, function()
        local value, _, code = conn:read(1)
        check("a read", "timeout", value or code)
      end)
      takes("a connect, the clock set by " .. jump, 0, function() connecting(trusting) end)
    end)
  end
  -- The specs' certificates begin in 2020 and end in 2049.
  at(40 * year, function() check("after the certificate's end", "certificate", connecting(trusting)) end)
  at(-20 * year, function() check("before its begin", "certificate", connecting(trusting)) end)
  check("today again", "well", connecting(trusting))
  conn:close()
end

-- The stores --------------------------------------------------------------------------------------

-- `options` returns the options of a connect that trusts the certificates in the file `path`.
local function changing(what, path, options)
  put(path, root)
  check(what .. " that has our CA", "well", connecting(options()))
  put(path, stranger .. ("#"):rep(math.max(0, #root - #stranger)))
  check(what .. " that has another one now", "certificate", connecting(options()))
  put(path, root)
  check(what .. " that has ours again", "well", connecting(options()))
  os.remove(path)
  local code = connecting(options())
  check(what .. " that is gone", true, code == "certificate" or code == "io")
  put(path, root)
  check(what .. " that is back", "well", connecting(options()))
end

-- Replaces the file by one of the same size and mtime.
local function disguised(path)
  local function date() os.execute(("touch -d '2024-01-01 00:00:00' '%s'"):format(path)) end
  local longest = math.max(#root, #stranger)
  put(path, root .. ("#"):rep(longest - #root))
  date()
  check("ca_file", "well", connecting { ca_file = path })
  put(path, stranger .. ("#"):rep(longest - #stranger))
  date()
  check("ca_file of the same size and time", "certificate", connecting { ca_file = path })
end

local function stores()
  local path = os.tmpname()
  changing("the system's store", store, function() return nil end)
  changing("ca_file", path, function() return { ca_file = path } end)
  disguised(path)
  os.remove(path)
end

clock()
stores()
helper.finish()
print(("%d checks: %d wrong"):format(checks, wrong))
os.exit(wrong == 0 and 0 or 1, true)
