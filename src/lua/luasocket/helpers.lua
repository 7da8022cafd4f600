-- What LuaSocket has in Lua or beside its sockets: exceptions, the clock, sources and sinks. The
-- shapes are LTN12's and LTN13's.

local native = ...
local safe, gettime = native.safe, native.face.gettime
local error, pcall, type = error, pcall, type

local helpers = { _DATAGRAMSIZE = 8192, _SETSIZE = 1024, _SOCKETINVALID = -1, BLOCKSIZE = 2048 }

-- Scripts may set it.
local function block_size()
  return native.module.BLOCKSIZE
end

-- Exceptions --------------------------------------------------------------------------------------

-- What `try` raises is a table of this metatable, which `protect` opens again.
local exception = { __metatable = false }
function exception.__tostring(self)
  return tostring(self[1])
end

-- Raised tables, by themselves, since their metatable hides.
local raised = setmetatable({}, { __mode = "k" })

function helpers.newtry(finalizer)
  return function(...)
    local value, why = ...
    if not value then
      if finalizer then
        finalizer()
      end
      local thrown = setmetatable({ why }, exception)
      raised[thrown] = true
      error(thrown, 0)
    end
    return ...
  end
end

helpers.try = helpers.newtry()

local function open(ok, ...)
  if ok then
    return ...
  end
  local thrown = ...
  if type(thrown) == "table" and raised[thrown] then
    return nil, thrown[1]
  end
  error(thrown, 0)
end

function helpers.protect(fn)
  return function(...)
    return open(pcall(fn, ...))
  end
end

function helpers.skip(count, ...)
  return select(count + 1, ...)
end

-- Time --------------------------------------------------------------------------------------------

function helpers.gettime()
  local _, seconds = gettime()
  return seconds
end

function helpers.sleep(seconds)
  seconds = tonumber(seconds) or error(("bad argument #1 to 'sleep' (number expected, got %s)")
    :format(seconds == nil and "no value" or type(seconds)), 2)
  local ok, message, code = safe.sleep(seconds > 0 and seconds or 0)
  if not ok and code then
    error(message, 2)
  end
end

function helpers.__unload()
end

-- Sources and sinks -------------------------------------------------------------------------------

function helpers.choose(kinds)
  return function(name, one, two)
    if type(name) ~= "string" then
      name, one, two = "default", name, one
    end
    local make = kinds[name]
    if not make then
      error("unknown key (" .. tostring(name) .. ")", 3)
    end
    return make(one, two)
  end
end

-- A function that `select` can wait for, as for its socket.
local function callable(sock, call)
  return setmetatable({
    getfd = function() return sock:getfd() end,
    dirty = function() return sock:dirty() end,
  }, { __call = call })
end

helpers.sinkt = {
  ["close-when-done"] = function(sock)
    return callable(sock, function(_, chunk)
      if chunk then
        return sock:send(chunk)
      end
      sock:close()
      return 1
    end)
  end,
  ["keep-open"] = function(sock)
    return callable(sock, function(_, chunk)
      if chunk then
        return sock:send(chunk)
      end
      return 1
    end)
  end,
}
helpers.sinkt.default = helpers.sinkt["keep-open"]
helpers.sink = helpers.choose(helpers.sinkt)

helpers.sourcet = {
  ["by-length"] = function(sock, length)
    return callable(sock, function()
      if length <= 0 then
        return nil
      end
      local chunk, why = sock:receive(math.min(block_size(), length))
      if why then
        return nil, why
      end
      length = length - #chunk
      return chunk
    end)
  end,
  ["until-closed"] = function(sock)
    local is_done
    return callable(sock, function()
      if is_done then
        return nil
      end
      local chunk, why, partial = sock:receive(block_size())
      if not why then
        return chunk
      elseif why == "closed" then
        sock:close()
        is_done = true
        return partial
      end
      return nil, why
    end)
  end,
}
helpers.sourcet.default = helpers.sourcet["until-closed"]
helpers.source = helpers.choose(helpers.sourcet)

return helpers
