-- `socket.select`: this module's sockets by themselves, and whatever has `getfd` and `dirty` by its
-- descriptor.

local native = ...
local safe = native.safe
local steps = native.part "steps"
local sockets = native.part "master"

local type, rawget, tonumber = type, rawget, tonumber

local function wrong(at, value)
  local got = value == nil and "no value" or type(value)
  error(("bad argument #%d to 'select' (table expected, got %s)"):format(at, got), 4)
end

-- The descriptor of an object; nil where it has none.
local function descriptor(each)
  local getfd = each.getfd
  local fd = getfd and tonumber(getfd(each))
  if fd and fd >= 0 then
    return fd
  end
end

-- A connect that is not through, or has failed.
local function is_dialing(each)
  return type(each) == "table" and (rawget(each, "dialing") ~= nil or rawget(each, "is_dead") ~= nil)
end

-- Adds an object to what is waited for.
local function watch(each, at, fds, objects)
  local fd = descriptor(each)
  if fd and not objects[fd] then
    -- Of TLS it is the connection that knows whether there is something to read. Of others nothing
    -- is read here: whoever has the descriptor next must find all of it.
    local is_tls = at == 1 and type(each) == "table" and rawget(each, "wanting")
    fds[#fds + 1] = is_tls and rawget(each, "polled") or fd
    objects[fds[#fds]] = each
    objects[fd] = each
  end
end

-- Collects what is waited for from a list: `fds`, what `tcp.poll` takes, and `objects`, which
-- object each of them stands for.
local function collect(list, at, dialing)
  local fds, objects = {}, {}
  if list == nil then
    return fds, objects
  elseif type(list) ~= "table" then
    wrong(at, list)
  end
  local i = 1
  local each = list[i]
  while each ~= nil do
    if is_dialing(each) then
      dialing[#dialing + 1] = { object = each, at = at }
    else
      watch(each, at, fds, objects)
    end
    i = i + 1
    each = list[i]
  end
  return fds, objects
end

-- Those that have something to read already, which no wait for a descriptor would see.
local function find_dirty(list, found)
  local i = 1
  local each = list and list[i]
  while each ~= nil do
    local dirty = each.dirty
    if dirty and not is_dialing(each) and descriptor(each) and dirty(each) then
      found[#found + 1] = each
      found[each] = #found + 0.0
    end
    i = i + 1
    each = list[i]
  end
end

local function add(found, each)
  if each ~= nil and not found[each] then
    found[#found + 1] = each
    found[each] = #found + 0.0
  end
end

-- Makes a step of each connect. One that is through is waited for as others are; one that has
-- failed can be read and written.
local function step(state)
  local wake = math.huge
  local readers, writers = {}, {}
  local still = {}
  for _, each in ipairs(state.dialing) do
    local object, is_read = each.object, each.at == 1
    if not sockets.has_dialed(object) then
      still[#still + 1] = each
      local its = object.dialing
      wake = steps.wait_of(its, wake)
      if its.fd then
        local fds = its.writes and writers or readers
        fds[#fds + 1] = its.fd
      end
    elseif object.is_dead then
      add(is_read and state.readable or state.writable, object)
    else
      watch(object, each.at, is_read and state.readers or state.writers,
        is_read and state.read_objects or state.write_objects)
    end
  end
  state.dialing = still
  return readers, writers, wake
end

local function append(to, from)
  local all = {}
  for i = 1, #to do
    all[i] = to[i]
  end
  for i = 1, #from do
    all[#all + 1] = from[i]
  end
  return all
end

-- Adds the objects of what is ready, in the order of their descriptors.
local function give(found, ready, objects)
  local fds = {}
  for i, each in ipairs(ready) do
    if objects[each] ~= nil then
      fds[#fds + 1] = objects[each]
    end
    ready[i] = nil
  end
  table.sort(fds, function(one, other) return descriptor(one) < descriptor(other) end)
  for _, each in ipairs(fds) do
    add(found, each)
  end
end

-- The loop in use may wait here itself, as copas does, and its poller's descriptor is among these:
-- then this is an ordinary wait, and not one of the poller's.
local function poll(readers, writers, seconds)
  local loop = native.innermost()
  local this, why
  if loop then
    this, why = loop.inside()
  end
  if not loop or this or why then
    return safe.poll(readers, writers, seconds)
  end
  native.set_wait_mode(nil, false, false, false)
  return steps.leave(pcall(safe.poll, readers, writers, seconds))
end

-- Waits once. Gives whether the wait was cut short by a connect that wants its next step.
local function wait(state, seconds)
  local readers, writers, wake = step(state)
  if state.readable[1] or state.writable[1] then
    seconds = 0
  end
  local left = math.min(seconds, wake)
  if left == math.huge then
    left = nil
  end
  local can_read, can_write = poll(append(state.readers, readers),
    append(state.writers, writers), left)
  if not can_read then
    error("select failed", 3)
  end
  give(state.readable, can_read, state.read_objects)
  give(state.writable, can_write, state.write_objects)
  return seconds == 0 and 0 or nil
end

local function select(list_to_read, list_to_write, timeout)
  timeout = timeout == nil and -1 or tonumber(timeout)
    or error("bad argument #3 to 'select' (number expected, got " .. type(timeout) .. ")", 2)
  local state = { dialing = {}, readable = {}, writable = {} }
  state.readers, state.read_objects = collect(list_to_read, 1, state.dialing)
  state.writers, state.write_objects = collect(list_to_write, 2, state.dialing)
  find_dirty(list_to_read, state.readable)
  local deadline = timeout < 0 and math.huge or safe.now() + timeout
  repeat
    local seconds = math.max(deadline - safe.now(), 0)
    local is_over = wait(state, seconds) == 0
    local is_found = state.readable[1] ~= nil or state.writable[1] ~= nil
  until is_over or is_found
  if state.readable[1] or state.writable[1] then
    return state.readable, state.writable
  end
  return state.readable, state.writable, "timeout"
end

return { select = select }
