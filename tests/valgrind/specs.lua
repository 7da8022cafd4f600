-- specs.lua FILE...: runs scripts/run_specs.lua under valgrind or the address sanitizer, for
-- tests/valgrind/each. The child processes of specs run without them, except for interpreters
-- (TCP_LUA) with the sanitizer. A slow call is not late, and resident memory is not checked, since
-- most of it is valgrind's.

-- The sanitizer's library, which must not be loaded into other programs, nor after another library.
local sanitized = os.getenv "LD_PRELOAD"
if sanitized then
  local popen, execute = io.popen, os.execute
  -- luacheck: push ignore 122
  function io.popen(command, ...) return popen("unset LD_PRELOAD; " .. command, ...) end
  function os.execute(command) return execute(command and "unset LD_PRELOAD; " .. command) end
  -- luacheck: pop
end

package.preload["spec.support.helper"] = function()
  local helper = assert(loadfile "spec/support/helper.lua")()
  local program = assert(os.getenv "TCP_LUA")
  local memory, preload = helper.memory, helper.preload
  helper.timeout = 20

  function helper.interpreter() return program end

  function helper.preload(source)
    local command = preload(source)
    -- An interpreter finds the library in PRELOADED, another program in LD_PRELOAD.
    return command and sanitized and command:gsub("LD_PRELOAD=(.*)", "%0 PRELOADED=%1") or command
  end

  function helper.memory(what) return what == "VmRSS" and 0 or memory(what) end

  -- A call must never be early, as always; it may be late.
  function helper.takes(seconds, prepare, act)
    local unpack = table.unpack or unpack -- luacheck: ignore 113 143
    local prepared = { prepare() }
    local before = helper.clock()
    act(unpack(prepared))
    local took = helper.clock() - before
    assert(took >= seconds - 0.01, ("%.3f s early"):format(seconds - took))
  end

  return helper
end

dofile "scripts/run_specs.lua"
