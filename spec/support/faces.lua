-- Runs the same code with LuaSocket and LuaSec, and with `tcp.luasocket` in their place, in one
-- process, and compares what each gives. This file gives a function: it takes busted's `it` and
-- `pending`, which a spec file alone has.

local assert = require "luassert"
local helper = require "spec.support.helper"

local unpack = table.unpack or unpack -- luacheck: ignore 143

local faces = {}
local it, pending

faces.socket = require "tcp.luasocket"

-- The real ones, or nil and the reason.
faces.real, faces.why = helper.library "socket"
faces.real_ssl, faces.why_ssl = helper.library "ssl"

function faces.pack(...)
  return { n = select("#", ...), ... }
end

-- What differs between two runs of the same code is left out of what is compared: addresses of
-- tables, ports, and the position of an error.
local function plain(value, seen)
  if type(value) == "number" then
    -- A float is not an integer, where the Lua can tell.
    return math.type and math.type(value) .. " " .. value or value
  elseif type(value) == "string" then
    return (value:gsub("0x%x+", "0x"):gsub("^[^:]*:%d+: ", ""))
  elseif type(value) ~= "table" or getmetatable(value) ~= nil then
    return type(value) == "userdata" and "object" or type(value) == "table" and "object" or value
  end
  seen = seen or {}
  assert(not seen[value], "a cycle")
  seen[value] = true
  local all = {}
  for k, v in pairs(value) do
    all[k] = plain(v, seen)
  end
  return all
end

-- Runs `body(socket, ssl, record)` with each; `record(...)` keeps its arguments, to be compared.
-- `from_5_5`: what the real one would give, for a Lua that has none.
local function run(body, socket, ssl)
  local kept = {}
  local function record(...)
    kept[#kept + 1] = plain(faces.pack(...))
    return ...
  end
  body(socket, ssl, record)
  return kept
end

local function it_with(title, real, why, body, ssl)
  it(title, function()
    local ours = run(body, faces.socket, ssl and faces.socket.ssl)
    if not real then
      return pending(why)
    end
    helper.finish()
    local theirs = run(body, faces.real, ssl)
    assert.same(theirs, ours)
  end)
end

-- A test of this title: both must record the same.
function faces.same(title, body)
  it_with(title, faces.real, faces.why, body)
end

-- The same with LuaSec.
function faces.same_ssl(title, body)
  it_with(title, faces.real and faces.real_ssl, faces.why_ssl or faces.why, body, faces.real_ssl or {})
end

-- Calls a function, and gives whether that raised and what, or its results.
function faces.try(fn, ...)
  local results = faces.pack(pcall(fn, ...))
  return unpack(results, 1, results.n)
end

return function(its_it, its_pending)
  it, pending = its_it, its_pending
  return faces
end
