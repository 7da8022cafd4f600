-- What a connected socket sends. What could not be sent is forgotten, since the callers of
-- LuaSocket send it again.

local native = ...
local face, safe = native.face, native.safe
local object, words = native.part "object", native.part "words"
local dialing = native.part "dialing"

local sub, floor, ceil = string.sub, math.floor, math.ceil
local max, min, now = math.max, math.min, safe.now
local tonumber, tostring, type, error = tonumber, tostring, type, error
local client = object.client
local send_all, resume = native.connection.send, native.resume
local unqueue, send_within = face.unqueue, face.send_within

-- What a failed send gives: the index of the last byte that was sent.
local function unsent(self, how, message, code, first, size)
  if how ~= "return" then
    error(message or "not enough memory", how == "pass" and 0 or 3)
  end
  local conn = self.conn
  local sent = 0
  if conn:is_open() then
    local _, left = unqueue(nil, conn)
    if code == "timeout" and left == 0 then
      -- It ended before it could look whether it was through.
      return first - 1.0 + size, nil, nil
    elseif left and left > 0 then
      -- Where nothing is left of another failure, nothing was queued.
      sent = size - left
    end
  end
  return nil, self.wanting and code == "timeout" and "wantwrite" or words.of(message, code),
    first - 1.0 + sent
end

-- An index, as C cuts it: what is not a number of this size is the least one.
local function index(value, at, default)
  if value == nil then
    return default
  end
  value = tonumber(value) or object.expected(at, "send", "number", value)
  if not (value > -2 ^ 63 and value < 2 ^ 63) then
    return -2 ^ 63
  end
  return value < 0 and ceil(value) or floor(value)
end

-- The part of a string that is to be sent: where it begins and ends.
local function part(data, from, to)
  local size = #data
  from, to = index(from, 2, 1), index(to, 3, -1)
  if from < 0 then
    from = size + from + 1
  end
  if to < 0 then
    to = size + to + 1
  end
  return max(from, 1), min(to, size)
end

-- Sends a string that begins at index `first` of the caller's. `seconds`: the time that is left,
-- nil where it is that of the whole call.
local function send_one(self, data, first, seconds)
  local conn, operation = self.conn, send_all
  local ok, a, b, c, d, e
  if seconds then
    operation = send_within
    ok, a, b, c, d, e = operation(nil, conn, data, seconds)
  else
    ok, a, b, c, d, e = operation(nil, conn, data)
  end
  if ok == nil then
    ok, a, b, c = resume(operation, a, b, c, d, e, conn, "", seconds)
  end
  if ok then
    return first - 1.0 + #data, nil, nil
  end
  return unsent(self, a, b, c, first, #data)
end

-- Bytes that are handed to the connection at once: it copies what it has to send.
local MOST = 262144

-- Sends what is larger, in pieces, within the time of one call.
local function send_pieces(self, data, first, to, seconds)
  local deadline = now() + seconds
  local last, why, sent
  repeat
    local size = min(MOST, to - first + 1)
    last, why, sent = send_one(self, sub(data, first, first + size - 1), first, max(deadline - now(), 0))
    first = first + size
  until not last or first > to
  return last, why, sent
end

-- Sends this part of a string. `seconds` as above.
local function send(self, data, first, to, seconds)
  if to - first >= MOST then
    return send_pieces(self, data, first, to, seconds or self.seconds)
  elseif first > 1 or to < #data then
    data = sub(data, first, to)
  end
  return send_one(self, data, first, seconds)
end

function client.send(self, data, from, to)
  local first = 1
  if type(data) ~= "string" then
    data = tostring(object.check_text(data, 1, "send"))
  end
  if from ~= nil or to ~= nil then
    first, to = part(data, from, to)
  else
    to = #data
  end
  if first > to then
    -- Nothing is to be sent, whatever the socket is like.
    return first - 1.0, nil, nil
  elseif self.conn == nil then
    local left, why = dialing.finish(self)
    if not left then
      return nil, why, first - 1.0
    end
    return send(self, data, first, to, left)
  end
  return send(self, data, first, to)
end

return client
