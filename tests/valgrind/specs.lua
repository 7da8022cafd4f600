-- specs.lua FILE...: runs scripts/run_specs.lua under valgrind, for scripts/valgrind. The child
-- processes of specs run without valgrind, on the interpreter itself (TCP_LUA). A slow call is not
-- late, and resident memory is not checked, since most of it is valgrind's.

package.preload["spec.support.helper"] = function()
  local helper = assert(loadfile "spec/support/helper.lua")()
  local program = assert(os.getenv "TCP_LUA")
  local memory = helper.memory
  helper.timeout = 20

  function helper.interpreter() return program end

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
