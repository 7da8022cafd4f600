-- run_specs.lua FILE...: runs spec files on the Lua that runs this script.
--
-- It uses busted if that loads. On Lua 5.5 it does not: its C parts are not packaged, and Penlight
-- does not compile. A small runner takes the same files there. It has describe, it, pending,
-- finally, before_each, after_each, setup, teardown, insulate and their aliases, with luassert's
-- assert, spy, stub, mock and match. Both end with the same line, and fail if a spec fails;
-- SMALL_RUNNER in the environment chooses the small one anywhere. With TCP_SPEC_LOOP each test runs
-- in an event loop (spec/support/in_loop.lua). TCP_SPEC_FILTER, a Lua pattern, chooses tests by
-- their full names.

-- Each file gets modules of its own, but a Lua state has one libuv loop. A second luv would take it
-- from the first.
pcall(require, "luv")

local found, busted = pcall(require, "busted.runner")
local in_loop, filter = os.getenv "TCP_SPEC_LOOP", os.getenv "TCP_SPEC_FILTER"
if filter == "" then filter = nil end
if found and not os.getenv "SMALL_RUNNER" then
  if in_loop then table.insert(arg, "--helper=spec/support/in_loop.lua") end
  if filter then table.insert(arg, "--filter=" .. filter) end
  busted { standalone = false } -- returns only if nothing failed
  os.exit(0, true)
end

local unpack = table.unpack or unpack -- luacheck: ignore 113

local counts = { success = 0, failure = 0, error = 0, pending = 0 }
local reports = {}
local block -- the describe (or file) whose body runs, or whose tests run
local testing = false -- inside an `it`, or a hook

local function report(kind, name, message)
  counts[kind] = counts[kind] + 1
  if kind ~= "success" then
    reports[#reports + 1] = ("%s -> %s\n%s\n"):format(kind:gsub("^.", string.upper), name, message or "")
  end
  io.write(({ success = "+", failure = "-", error = "*", pending = "." })[kind])
  io.flush()
end

-- The error that `pending "..."` throws in a test.
local postponed = setmetatable({}, { __tostring = function(self) return tostring(self.reason) end })

local function describe_error(err)
  if err == postponed then return err end
  local text = debug.traceback(type(err) == "string" and err or tostring(err), 2)
  return (text:gsub("\n%s*%[C%]: in [^\n]*'xpcall'.*", "")) -- the rest is this file
end

local function full_name(name)
  local names, at = { name }, block
  while at do
    table.insert(names, 1, at.name)
    at = at.parent
  end
  return table.concat(names, " ")
end

-- Runs hooks, outermost first for before_each; an error counts as the suite's. Returns true if all
-- succeed.
local function run_hooks(hooks, name)
  local fine = true
  for _, hook in ipairs(hooks) do
    testing = true
    local ok, err = xpcall(hook, describe_error)
    testing = false
    if not ok then
      report("error", full_name(name), err)
      fine = false
    end
  end
  return fine
end

local function collect(kind, outermost_first)
  local hooks, at = {}, block
  while at do
    for i, hook in ipairs(at[kind]) do
      table.insert(hooks, outermost_first and i or #hooks + 1, hook)
    end
    at = at.parent
  end
  return hooks
end

local function run_test(name, body)
  if run_hooks(collect("before_each", true), "before_each") then
    local cleanup
    _G.finally = function(fn) cleanup = fn end
    testing = true
    local ok, err = xpcall(body, describe_error)
    if cleanup then
      local cleaned, trouble = xpcall(cleanup, describe_error)
      if ok and not cleaned then ok, err = cleaned, trouble end
    end
    testing = false
    _G.finally = nil
    if ok then
      report("success", full_name(name))
    elseif err == postponed then
      report("pending", full_name(name), postponed.reason)
    else
      report("failure", full_name(name), err)
    end
  end
  run_hooks(collect "after_each", "after_each")
end

local function copy(t)
  local to = {}
  for k, v in pairs(t) do to[k] = v end
  return to
end

local function restore(t, from)
  for k in pairs(t) do
    if from[k] == nil then t[k] = nil end
  end
  for k, v in pairs(from) do t[k] = v end
end

-- A body first runs to declare tests; then these run, in order.
local function run_block(name, body, insulated)
  local globals, modules = copy(_G), copy(package.loaded)
  block = { name = name, parent = block, before_each = {}, after_each = {}, setup = {}, teardown = {}, todo = {} }
  local ok, err = xpcall(body, describe_error)
  if not ok then
    report("error", full_name(), err)
  else
    if run_hooks(block.setup, "setup") then
      for _, run in ipairs(block.todo) do run() end
    end
    run_hooks(block.teardown, "teardown")
  end
  block = block.parent
  if insulated then
    restore(_G, globals)
    restore(package.loaded, modules)
  end
end

-- A declaration is `kind(name, body)`, `kind(body)`, or `kind "name" (body)`.
local function declaration(declare)
  return function(name, body)
    if testing then error("not inside a test", 2) end
    if type(name) == "function" then name, body = nil, name end
    if body then return declare(name, body) end
    return function(later) declare(name, later) end
  end
end

local function later(run, ...)
  local arguments, n = { ... }, select("#", ...)
  table.insert(block.todo, function() run(unpack(arguments, 1, n)) end)
end

local function describe(name, body) later(run_block, name, body, false) end
local function insulate(name, body) later(run_block, name, body, true) end
local within = in_loop and dofile "spec/support/in_loop.lua" or function(body) return body end
local function it(name, body)
  if not filter or full_name(name):find(filter) then later(run_test, name, within(body)) end
end
local function hook(kind)
  return declaration(function(_, body) table.insert(block[kind], body) end)
end

_G.describe, _G.context, _G.expose = declaration(describe), declaration(describe), declaration(describe)
_G.insulate = declaration(insulate)
_G.it, _G.spec, _G.test = declaration(it), declaration(it), declaration(it)
_G.before_each, _G.after_each = hook "before_each", hook "after_each"
_G.setup, _G.strict_setup, _G.lazy_setup = hook "setup", hook "setup", hook "setup"
_G.teardown, _G.strict_teardown, _G.lazy_teardown = hook "teardown", hook "teardown", hook "teardown"
function _G.pending(name)
  if testing then
    postponed.reason = name
    error(postponed, 0)
  end
  later(function() report("pending", full_name(name)) end)
end

_G.assert = require "luassert"
for _, name in ipairs { "spy", "stub", "mock", "match" } do
  _G[name] = require("luassert." .. name)
end

local started = os.time()
for _, file in ipairs(arg) do
  run_block(file, function() assert(loadfile(file))() end, true)
end

io.write(("\n%d successes / %d failures / %d errors / %d pending : %d seconds\n"):format(
  counts.success, counts.failure, counts.error, counts.pending, os.time() - started))
for _, text in ipairs(reports) do io.write("\n", text) end
os.exit((filter or counts.success + counts.pending > 0) and counts.failure + counts.error == 0 and 0 or 1, true)
