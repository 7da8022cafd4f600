-- A connect that is made in steps: `connect` begins it, and whatever asks for the connection
-- carries it on. Then the object has its connection, as a descriptor of the system's would. A
-- failure is told once, by the first call that meets it.

local native = ...
local safe = native.safe
local object, words, steps = native.part "object", native.part "words", native.part "steps"
local dialing = {}

-- The fields of an object: `dialing`, the steps; `failure`, the word of what was not told yet;
-- `is_dead`, there was one.

-- Begins to connect by this operation.
function dialing.begin(self, ...)
  self.dialing = steps.new(...)
  self.failure, self.is_dead = nil, nil
end

-- Another coroutine may have made the last step meanwhile, or closed the socket.
local function settle(self, its, ok, value, code)
  if ok == nil then
    return nil
  elseif self.dialing ~= its then
    return self.conn ~= nil or self.plain ~= nil
  end
  self.dialing = nil
  if ok then
    self:adopt(value)
    return true
  end
  self.failure, self.is_dead = words.of(value, code), true
  return false
end

-- Goes on until this time, one step at least. Gives true where the object is connected, false where
-- it has failed, nil where it must wait.
function dialing.go_on(self, deadline)
  local its = self.dialing
  return settle(self, its, steps.drive(its, deadline))
end

-- The same without a wait.
function dialing.step(self)
  local its = self.dialing
  return settle(self, its, steps.step(its))
end

-- Why there is no connection. A failure is gone once it was told.
function dialing.take_failure(self)
  local word = self.failure
  self.failure = nil
  return word or "closed"
end

-- Gives the seconds that are left of a call, once the object is connected; nil and a word where it
-- is not.
function dialing.finish(self)
  if self.dialing then
    local deadline = safe.now() + object.patience(self)
    local ok = dialing.go_on(self, deadline)
    if ok then
      return math.max(deadline - safe.now(), 0)
    elseif ok == nil then
      return nil, "timeout"
    end
  end
  return nil, dialing.take_failure(self)
end

-- Gives up what was begun.
function dialing.cancel(self)
  local its = self.dialing
  self.dialing, self.failure, self.is_dead = nil, nil, nil
  if its then
    steps.cancel(its)
  end
end

return dialing
