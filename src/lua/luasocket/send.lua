-- What a connected socket sends. What could not be sent is forgotten, since the callers of
-- LuaSocket send it again.

local native = ...
local face, safe = native.face, native.safe
local object, words = native.part "object", native.part "words"

local sub, floor = string.sub, math.floor
local huge, max, min, now = math.huge, math.max, math.min, safe.now
local tonumber, tostring, type, error = tonumber, tostring, type, error
local client = object.client
local send_all, resume = native.connection.send, native.resume
local unqueue, set_patience = face.unqueue, face.patience

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

-- The part of a string that is to be sent, and where it begins and ends.
local function part(data, from, to)
  local size = #data
  from = from == nil and 1 or tonumber(from) or object.expected(2, "send", "number", from)
  to = to == nil and -1 or tonumber(to) or object.expected(3, "send", "number", to)
  from, to = floor(from), floor(to)
  if from < 0 then
    from = size + from + 1
  end
  if to < 0 then
    to = size + to + 1
  end
  from, to = math.max(from, 1), math.min(to, size)
  return from, to
end

-- Sends a string that begins at index `first` of the caller's.
local function send_one(self, data, first)
  local conn = self.conn
  local ok, a, b, c, d, e = send_all(nil, conn, data)
  if ok == nil then
    ok, a, b, c = resume(send_all, a, b, c, d, e, conn)
  end
  if ok then
    return first - 1.0 + #data, nil, nil
  end
  return unsent(self, a, b, c, first, #data)
end

-- Bytes that are handed to the connection at once: it copies what it has to send.
local MOST = 262144

-- Sends what is larger, in pieces, within the time of one call.
local function send_pieces(self, data, first, to)
  local seconds, conn = self.seconds, self.conn
  local deadline = seconds > 0 and seconds < huge and now() + seconds
  local last, why, sent
  repeat
    local size = min(MOST, to - first + 1)
    last, why, sent = send_one(self, sub(data, first, first + size - 1), first)
    first = first + size
    if deadline and conn:is_open() then
      set_patience(nil, conn, max(deadline - now(), 0))
    end
  until not last or first > to
  if deadline and conn:is_open() then
    set_patience(nil, conn, seconds)
  end
  return last, why, sent
end

local function send(self, data, from, to)
  local first = 1
  if type(data) ~= "string" then
    data = tostring(object.check_text(data, 1, "send"))
  end
  if from or to then
    first, to = part(data, from, to)
    if first > to then
      return first - 1.0, nil, nil
    end
  else
    to = #data
  end
  if to - first >= MOST then
    return send_pieces(self, data, first, to)
  elseif first > 1 or to < #data then
    data = sub(data, first, to)
  end
  return send_one(self, data, first)
end

function client.send(self, data, from, to)
  if self.conn == nil then
    return nil, self.dialing and "timeout" or "closed", 0.0
  end
  return send(self, data, from, to)
end

return client
