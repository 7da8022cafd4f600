-- types.lua: prints types/tcp/safe.lua, the annotations of `tcp.safe`, made of types/tcp.lua.
--
-- Each class with functions has a counterpart in `tcp.safe`. Where a function of `tcp` raises, its
-- counterpart returns nil, message, code, details; one that returns nothing returns true. These
-- words in a function's comment say that it does not:
--   Never fails.              what it returns stays, and nothing becomes true
--   Fails only when closed.   what it returns stays: an editor need not ask for a check
--   Throws in `tcp.safe`, too.
-- `make types` writes the file, and spec/types_spec.lua compares.

local source = {}
for line in io.lines "types/tcp.lua" do source[#source + 1] = line end

-- The classes with functions: those that a local table stands behind.
local renamed = {}
for i, line in ipairs(source) do
  if line:find "^local %w+ = {}$" then
    for back = i - 1, 1, -1 do
      local class = source[back]:match "^%-%-%-@class ([%w.]+)"
      if class then
        renamed[class] = class:gsub("^tcp", "tcp.safe")
        break
      end
    end
  end
end

-- The types in a line of a comment, as `tcp.safe` has them. What is quoted is text.
local function rename(line)
  if not line:find "^%-%-%-@" then return line end
  return (line:gsub("()%f[%w_]([%w_.]+)", function(at, name)
    return line:sub(at - 1, at - 1) ~= "`" and renamed[name] or nil
  end))
end

-- The type and the text of a line `---@return TYPE TEXT`: a blank ends the type that is in no
-- brackets and not beside a bar.
local function split(line)
  local rest = line:match "^%-%-%-@return (.*)$"
  local depth = 0
  for at = 1, #rest do
    local c = rest:sub(at, at)
    if c:find "[({<%[]" then depth = depth + 1 elseif c:find "[)}>%]]" then depth = depth - 1 end
    if c == " " and depth == 0 and rest:sub(at - 1, at - 1) ~= "|" and rest:sub(at + 1, at + 1) ~= "|" then
      return rest:sub(1, at - 1), rest:sub(at)
    end
  end
  return rest, ""
end

local function or_nil(type)
  if type == "any" or type:find "%?$" then return type end
  return type:find "|" and type .. " | nil" or type .. "?"
end

-- The results of a function that returns failures.
local function results(returns)
  local lines = {}
  if returns[1] and returns[1]:find " %.%.%.$" then
    return { (returns[1]:gsub(" %.%.%.$", " | nil ...")) }
  end
  local first, text = split(returns[1] or "---@return true")
  lines[1] = ("---@return %s%s"):format(or_nil(first), text)
  if returns[2] then
    local second, more = split(returns[2])
    lines[2] = ("---@return %s%s"):format(
      second == "any" and second or second:find "^string%??$" and "string?" or second .. " | string | nil",
      more == "" and " or the message" or more:gsub("^ (%w+)", " %1_or_message"))
  else
    lines[2] = "---@return string? message"
  end
  lines[3] = "---@return tcp.Code? code"
  lines[4] = "---@return tcp.Details? details"
  return lines
end

print [[
---@meta tcp.safe

-- Made by `make types` from types/tcp.lua: change that one.
--
-- `tcp.safe` for editors: what `tcp` has, with failures returned as nil, message, code and, where
-- there is more to know, details. The methods of its connections do so, too; what returns nothing
-- on success returns true.
]]

-- The details of a failure: all fields of `tcp.TlsInfo`, none of which need be there.
print "---@class tcp.Details: tcp.Failure"
local inside = false
for _, line in ipairs(source) do
  if line:find "^%-%-%-@class" then inside = line == "---@class tcp.TlsInfo" end
  if inside and line:find "^%-%-%-@field" then print((line:gsub("^(%S+ [%w_]+)%??", "%1?"))) end
end
print ""

local comment, returns, unfailing = {}, {}, false

local function write(lines)
  for _, line in ipairs(lines) do print(rename(line)) end
end

for _, line in ipairs(source) do
  if line:find "^%-%-%-@return" then
    returns[#returns + 1] = line
  elseif line:find "^%-%-%-" then
    comment[#comment + 1] = line
    unfailing = unfailing or line:find "Never fails%." or line:find "Fails only when closed%."
      or line:find("Throws in `tcp.safe`, too.", 1, true)
  else
    if line:find "^local %w+ = {}$" then
      write(comment)
      print(line .. "\n")
    elseif line:find "^function " then
      write(comment)
      if unfailing then
        write(returns[1] and returns or { "---@return true" })
      else
        write(results(returns))
      end
      print(line .. "\n")
    end
    comment, returns, unfailing = {}, {}, false
  end
end
print "return tcp"
