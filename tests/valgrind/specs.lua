-- specs.lua FILE...: what scripts/valgrind runs under valgrind: scripts/run_specs.lua, with what
-- valgrind makes different. The child processes of specs run on the interpreter itself (TCP_LUA)
-- and without valgrind; what is slow is not late; resident memory is mostly valgrind's, and does
-- not count.

package.preload["spec.support.helper"] = function()
  local helper = assert(loadfile "spec/support/helper.lua")()
  local program = assert(os.getenv "TCP_LUA")
  local memory = helper.memory
  helper.timeout = 20

  function helper.interpreter() return program end

  function helper.memory(what) return what == "VmRSS" and 0 or memory(what) end

  -- Never early, as always; how late does not count.
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
