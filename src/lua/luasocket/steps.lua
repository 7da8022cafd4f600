-- Operations that LuaSocket lets a script make step by step: a connect and a handshake. Each is an
-- operation of this module, called as if a loop of the script's own were in use: where it must
-- wait, it says for what, and is called again with its token.

local native = ...
local safe = native.safe

local steps = {}

-- The loop in use is as before once the step is made, whatever that raises.
local function leave(ok, ...)
  native.set_tasks(native.tasks())
  if not ok then
    error((...), 0)
  end
  return ...
end

steps.leave = leave

-- Begins `operation` with these arguments; nothing is done yet.
function steps.new(operation, one, two, three)
  return { operation = operation, one = one, two = two, three = three }
end

-- Keeps the result: coroutines may make the steps of one operation in turn.
local function finish(self, ok, value, code)
  self.is_over, self.ok, self.value, self.code = true, ok, value, code
  self.token, self.fd = nil, nil
  return ok, value, code
end

-- Makes a step. Gives true and the operation's value; false, message and code where it has failed;
-- nil where it must wait: then `fd`, `writes` and `wake` say for what.
function steps.step(self)
  if self.is_over then
    return self.ok, self.value, self.code
  end
  native.set_wait_mode(nil, true, false, true)
  local ok, a, b, c, d, e = leave(pcall(self.operation, self.token, self.one, self.two, self.three))
  if ok == nil then
    self.token = a
    self.fd, self.writes = nil, nil
    if d and d >= 0 then
      self.fd, self.writes = d, e
    end
    -- Without a claim there is nothing to wait for: it wants its next step at once.
    self.wake = b == nil and 0 or c and safe.now() + c
    return nil
  elseif ok then
    return finish(self, true, a)
  end
  finish(self, false, b, c)
  if a ~= "return" and c ~= "cancelled" and not (b and b:find "^bad argument") then
    error(b or "not enough memory", 0)
  end
  return false, b, c
end

-- Gives up what has been begun, and closes what it has.
function steps.cancel(self)
  if self.token then
    native.cancel_next(nil)
    steps.step(self)
  end
end

-- Seconds to wait, at most so many.
function steps.wait_of(self, seconds)
  if self.wake then
    seconds = math.min(seconds, math.max(self.wake - safe.now(), 0))
  end
  return seconds
end

-- Seconds after which a coroutine looks whether another one has made the step that it waits for.
local LOOK = 0.1

-- Makes steps until one is the last, at most until `deadline`. Gives what `step` gives.
function steps.drive(self, deadline)
  while true do
    local ok, a, b = steps.step(self)
    local left = deadline - safe.now()
    if ok ~= nil or left <= 0 then
      return ok, a, b
    end
    local seconds = steps.wait_of(self, left)
    local fds = { self.fd }
    if native.innermost() then
      seconds = math.min(seconds, LOOK)
    elseif seconds == math.huge then
      seconds = nil
    end
    local ready, why, code = safe.poll(self.writes and {} or fds, self.writes and fds or nil, seconds)
    if not ready then
      steps.cancel(self)
      return false, why, code
    end
  end
end

return steps
