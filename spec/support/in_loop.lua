-- Has every test run as a coroutine of the event loop that TCP_SPEC_LOOP names (see loops.lua):
-- what holds for a script that blocks must hold there, too.
--
-- Gives what makes such a test's body of any; loaded by busted it does so with all of them.

local loops = require "spec.support.loops"

local loop = assert(loops[os.getenv "TCP_SPEC_LOOP"], "TCP_SPEC_LOOP names no loop")
assert(loop.found, loop.reason)
assert(loops.has_yielding_pcall, "this Lua cannot yield across pcall, which tests use")

local function within(body)
  return function()
    loop.within(body)
  end
end

local ok, busted = pcall(require, "busted")
if ok and busted.subscribe then
  busted.subscribe({ "test", "start" }, function(element)
    element.run = within(element.run)
    return nil, true
  end)
end

return within
