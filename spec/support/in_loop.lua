-- Runs every test as a coroutine of the event loop that TCP_SPEC_LOOP names (see loops.lua). A loop
-- must not change what holds for blocking scripts.
--
-- Returns a function that wraps the body of a test. If busted loads this file, it wraps all tests.

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
