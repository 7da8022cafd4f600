-- What a connected socket receives, and what else it does; `send` is in a file of its own. A
-- failure gives what has come so far and consumes it, as LuaSocket has it.

local native = ...
local face, safe = native.face, native.safe
local object, words = native.part "object", native.part "words"
local dialing = native.part "dialing"

local gsub, sub, floor = string.gsub, string.sub, math.floor
local tonumber, type, error = tonumber, type, error
local client = object.client
local operations, resume = native.connection, native.resume
local read_line, set_patience = face.line, face.patience
local read_bytes, read_all, read_some = operations.read, operations.read_str, operations.recv
local read_until, peek = operations.read_until, operations.peek
local count_pending = operations.pending

local MOST = object.MOST

-- Receiving ---------------------------------------------------------------------------------------

-- All that is there, which is consumed.
local function take(conn)
  local _, size = count_pending(nil, conn)
  local parts = {}
  while size and size > 0 do
    local ok, bytes = read_some(nil, conn, size)
    if not ok then
      break
    end
    parts[#parts + 1], size = bytes, size - #bytes
  end
  return table.concat(parts)
end

-- What a failed receive gives. What is not a failure of the connection is raised.
local function failed(self, how, message, code, prefix, is_line)
  if how ~= "return" then
    error(message or "not enough memory", how == "pass" and 0 or 3)
  end
  local conn = self.conn
  local partial = conn:is_open() and take(conn) or ""
  if is_line then
    partial = gsub(partial, "\r", "")
  end
  return nil, self.wanting and code == "timeout" and "wantread" or words.of(message, code),
    prefix and prefix .. partial or partial
end

-- Rounds of what does not wait, before the others get their turn.
local ROUNDS = 64

-- Goes on with a call that has not waited, as long as more comes: one call reads so much at most.
local function insist(conn, operation, argument, how, message, code)
  local _, before = count_pending(nil, conn)
  for _ = 1, before > 0 and ROUNDS or 0 do
    local ok, a, b, c = operation(nil, conn, argument)
    local _, now = count_pending(nil, conn)
    if ok or c ~= "timeout" then
      return ok, a, b, c
    elseif now == before then
      break
    end
    before = now
  end
  return false, how, message, code
end

local function attempt(self, conn, operation, argument)
  local ok, a, b, c, d, e = operation(nil, conn, argument)
  if ok == nil then
    ok, a, b, c = resume(operation, a, b, c, d, e, conn, argument)
  end
  if not ok and c == "timeout" and self.seconds == 0 then
    return insist(conn, operation, argument, a, b, c)
  end
  return ok, a, b, c
end

-- A line with carriage returns in it: LuaSocket leaves all of them out.
local function cut(conn)
  local _, line = read_until(nil, conn, "\n")
  return (gsub(line, "\r", ""))
end

local function receive_line(self, prefix)
  local conn = self.conn
  local ok, a, b, c = attempt(self, conn, read_line)
  if not ok then
    return failed(self, a, b, c, prefix, true)
  elseif a == true then
    a = cut(conn)
  end
  if prefix then
    a = prefix .. a
  end
  return a, nil, nil
end

local function receive_size(self, size, prefix)
  local conn = self.conn
  local operation = read_bytes
  if prefix then
    if #prefix > 0 and size <= #prefix then
      return prefix, nil, nil
    end
    size = size - #prefix
  end
  -- Nothing asked for is had once something is there.
  if size ~= size or size < 1 then
    operation, size = peek, nil
  elseif size > MOST then
    size = MOST
  elseif size % 1 ~= 0 then
    size = floor(size)
  end
  local ok, a, b, c = attempt(self, conn, operation, size)
  if not ok then
    return failed(self, a, b, c, prefix)
  elseif not size then
    if a == "" then
      return nil, "closed", prefix or ""
    end
    a = ""
  end
  if prefix then
    a = prefix .. a
  end
  return a, nil, nil
end

local function receive_all(self, prefix)
  local conn = self.conn
  local ok, a, b, c = attempt(self, conn, read_all)
  if not ok then
    return failed(self, a, b, c, prefix)
  elseif a == "" then
    return nil, "closed", prefix or ""
  elseif prefix then
    a = prefix .. a
  end
  return a, nil, nil
end

local function check_prefix(prefix)
  if type(prefix) ~= "string" then
    object.check_text(prefix, 2, "receive")
  end
  return tostring(prefix)
end

local function receive(self, pattern, prefix)
  if prefix ~= nil then
    prefix = check_prefix(prefix)
  end
  if pattern == nil or pattern == "*l" then
    return receive_line(self, prefix)
  elseif type(pattern) == "number" then
    if pattern >= 0 then
      return receive_size(self, pattern, prefix)
    end
  elseif type(pattern) ~= "string" then
    object.expected(1, "receive", "string", pattern)
  elseif tonumber(pattern) and tonumber(pattern) >= 0 then
    return receive_size(self, tonumber(pattern), prefix)
  elseif sub(pattern, 1, 2) == "*l" then
    return receive_line(self, prefix)
  elseif sub(pattern, 1, 2) == "*a" then
    return receive_all(self, prefix)
  end
  object.wrong(1, "receive", "invalid receive pattern")
end

-- The results of the first call of a connect that was not through: each call has its time again.
local function first(self, ...)
  object.apply_timeout(self)
  return ...
end

-- A connect that is not through goes on; one that has failed has nothing to receive.
local function receive_first(self, pattern, prefix)
  local left, why = dialing.finish(self)
  if not left then
    return nil, why, prefix or ""
  end
  set_patience(nil, self.conn, left)
  return first(self, receive(self, pattern, prefix))
end

-- What is in the buffer already, a line or so many bytes, takes no operation.
local ready = face.ready

function client.receive(self, pattern, prefix)
  local conn = self.conn
  if prefix == nil then
    local data = ready(conn, pattern)
    if data then
      return data, nil, nil
    end
  end
  if conn == nil then
    return receive_first(self, pattern, prefix)
  end
  return receive(self, pattern, prefix)
end

-- Ending ------------------------------------------------------------------------------------------

-- After `shutdown "receive"`: what has come can be read, and no more.
local function receive_rest(self, pattern, prefix)
  local conn = self.conn
  if conn:is_open() then
    set_patience(nil, conn, 0)
  end
  local data, why, partial = receive(self, pattern, prefix)
  if conn:is_open() then
    set_patience(nil, conn, self.seconds)
  end
  if why == "timeout" or why == "wantread" then
    why = "closed"
  end
  if data == nil and sub(tostring(pattern), 1, 2) == "*a" and partial ~= (prefix or "") then
    return partial, nil, nil
  end
  return data, why, partial
end

local sides = { receive = true, send = true, both = true }

function client.shutdown(self, side)
  side = side == nil and "both" or object.check_text(side, 1, "shutdown")
  if not sides[side] then
    object.wrong(1, "shutdown", "invalid option '" .. side .. "'")
  end
  if self.dialing then
    dialing.step(self)
  end
  if self.conn and self.conn:is_open() then
    if side ~= "receive" then
      self.conn:shutdown()
    end
    if side ~= "send" then
      self.receive = receive_rest
    end
  end
  return 1.0
end

-- Counting ----------------------------------------------------------------------------------------

-- What was received and sent since the script has set the counters, and the connection's age.
function client.getstats(self)
  local info = self.conn and self.conn:info() or { bytes_read = 0, bytes_written = 0 }
  local base = self.base or { 0, 0 }
  -- What has come and was not received yet does not count.
  local waiting = self.conn and self.conn:is_open() and self.conn:pending() or 0
  return info.bytes_read - waiting + base[1] + 0.0, info.bytes_written + base[2] + 0.0,
    safe.now() - (self.made or safe.now())
end

function client.setstats(self, received, sent, age)
  local now_received, now_sent = client.getstats(self)
  local base = self.base or { 0, 0 }
  self.base = {
    base[1] + (tonumber(received) or now_received) - now_received,
    base[2] + (tonumber(sent) or now_sent) - now_sent,
  }
  if tonumber(age) then
    self.made = safe.now() - tonumber(age)
  end
  return 1.0
end

return client
