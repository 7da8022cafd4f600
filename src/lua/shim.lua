-- The part of the module that must be Lua: raising at the caller's line, yielding to a loop, and
-- calling again what was interrupted. Knows no protocol; runs on every Lua from 5.1 on.
--
-- A native operation takes a token and its arguments; when it is called again, the first four of
-- them. It answers
--   true, value                            it is done
--   false, how, message, code, details     it failed; `how` is "throw", "return" or "pass"
--   nil, token                             a moment for the interpreter, then again with this token
--   nil, token, claim, seconds             the same after a wait of the poller's, with this ticket;
--                                          `seconds`: the next timeout, if the loop does not know
--   nil, token, claim, seconds, fd, writes the same after a wait for so many seconds at most, until
--                                          the descriptor can be read, or written if `writes`

local native = ...
local error, pairs, type = error, pairs, type
local min = math.min

-- The loop in use, if any, and what finds it; see loops/choose.lua. Coroutines may still wait in
-- those that were in use, so all are told of a descriptor that is closed; of the script's own only
-- the last is.
local loop, choose
local in_use = {}

-- Waits as an operation asked for: in a coroutine of the loop by yielding to it, else here. Gives
-- why it must not wait, if it must not.
local function wait(token, claim, seconds, fd, writes)
  local this, why
  if loop then
    this, why = loop.inside()
  end
  if why then
    native.cancel(nil, claim)
    return why
  elseif not this then
    native.wait(nil, claim, seconds, fd, writes)
    return
  end
  if fd == nil then
    loop.wait(claim, seconds, this)
    return
  end
  local close = loop.close
  loop.wait(claim, seconds, this, fd, writes and "w" or "r")
  -- What lives in its token, such as a connect, may close in its next step what it waited for.
  if close and type(token) == "userdata" then
    close(fd)
  end
end

-- Goes on with what is not done, until it is. An interpreter that has a signal to handle does so
-- between the calls. What a script sends may be more arguments than the stack holds twice, and is
-- queued already.
local function resume(operation, token, claim, seconds, fd, writes, one, two, three, four)
  local ok
  repeat
    local why = claim and wait(token, claim, seconds, fd, writes)
    if why then
      return false, "throw", why
    end
    ok, token, claim, seconds, fd, writes = operation(token, one, two, three, four)
  until ok ~= nil
  return ok, token, claim, seconds, fd
end
native.register_wait(wait)
-- A compiled loop would not look whether a signal came.
if type(jit) == "table" then
  jit.off(resume)
end

-- Makes a call to its end: what the operation answers then.
local function call(operation, ...)
  local ok, a, b, c, d, e = operation(nil, ...)
  if ok == nil then
    local one, two, three, four = ...
    return resume(operation, a, b, c, d, e, one, two, three, four)
  end
  return ok, a, b, c, d
end

-- Raises a failure at `level`, seen from the caller. There may be no memory for its words.
local function raise(how, message, level)
  error(message or "not enough memory", how == "pass" and 0 or level + 1)
end

-- The loops hear of a descriptor before it is closed.
local function announce(operations, self)
  local ok, open = operations.is_open(nil, self)
  if ok and open then
    local _, number = operations.fd(nil, self)
    for i = 1, #in_use do
      if in_use[i].close then
        in_use[i].close(number)
      end
    end
  end
end

-- The public face of a native operation, of which one has two results. One that closes has in
-- `closing` the operations that it is of. One on the last connection gets that connection as its
-- self when it is called again. No tail call: the caller's line would be lost.
local function public(operation, has_two, closing, is_on_last)
  return function(...)
    if closing and in_use[1] then
      announce(closing, (...))
    end
    local ok, a, b, c, d, e = operation(nil, ...)
    if ok == nil then
      local one, two, three, four = ...
      if is_on_last then
        one, two, three, four = native.last(), one, two, three
      end
      ok, a, b, c, d = resume(operation, a, b, c, d, e, one, two, three, four)
    end
    if ok and has_two then
      return a, b
    elseif ok then
      return a
    elseif a ~= "return" then
      raise(a, b, 2)
    end
    return nil, b, c, d
  end
end

-- What a call comes to that was not done at once: the operation, what it answered, its first
-- arguments. Called by the C function that is the public face from Lua 5.2 on (ffi/direct.rs).
local function finish_call(operation, ok, a, b, c, d, e, one, two, three, four)
  if ok == nil then
    ok, a, b, c, d = resume(operation, a, b, c, d, e, one, two, three, four)
  end
  if ok then
    return a
  elseif a ~= "return" then
    raise(a, b, 3)
  end
  return nil, b, c, d
end

-- The same on the last connection.
local function finish_on_last(operation, ok, a, b, c, d, e, one, two, three)
  return finish_call(operation, ok, a, b, c, d, e, native.last(), one, two, three)
end

-- The public face of an operation with one result, which need not be announced.
local function direct(operation, is_on_last)
  if native.direct then
    return native.direct(operation, is_on_last and finish_on_last or finish_call)
  end
  return public(operation, false, nil, is_on_last)
end

local function publish(operations)
  local published = {}
  for name, operation in pairs(operations) do
    if name == "close" then
      published[name] = public(operation, false, operations)
    else
      published[name] = direct(operation)
    end
  end
  return published
end

-- Methods -----------------------------------------------------------------------------------------

local operations = native.connection
local methods = publish(operations)

-- Raises where the self of a method that is made here is no connection, or a closed one.
local function check_self(name, self)
  local ok, how, message = native.checks[name](nil, self)
  if not ok then
    raise(how, message, 3)
  end
end

-- An iterator over what a native operation gives until that is nil. It throws in `tcp.safe` too:
-- a loop has no other way to hear of a failure.
local function iterator(name, operation)
  return function(self, ...)
    check_self(name, self)
    local max = ...
    return function()
      local ok, a, b, c, d, e = operation(nil, self, max)
      if ok == nil then
        ok, a, b = resume(operation, a, b, c, d, e, self, max)
      end
      if not ok then
        raise(a, b, 2)
      end
      return a
    end
  end
end

-- What is known of a block that a connection has lent: how many of its bytes are handed out, false
-- once it was taken back; the block, false once it was taken back; and the last line that somebody
-- began to hand out, by where it begins. The native side fills it in, and takes the block back with
-- the connection's next call. A table is for one block alone.
local function new_lent()
  return { false, "", false }
end

-- Counts a block's bytes from `from` up to `to` as handed out; false where they are no longer its
-- next ones. A hook may come between any two steps here, and read this connection to its end. It
-- leaves the block alone while [1] and [3] are equal. Its native call takes the block back then:
-- before the count, which is for nothing then, or behind it.
local function hand_out(lent, from, to)
  lent[3] = from
  if lent[1] ~= from then
    return false
  end
  lent[1] = to
  if lent[2] or not lent[1] then
    return true
  end
  lent[1] = false
  return false
end

-- The line behind so many bytes of the block; nil where no newline ends it, or where somebody is
-- about to hand it out.
local byte, find, sub = string.byte, string.find, string.sub
local function cut(lent, taken)
  local block = lent[2]
  local newline = block and lent[3] ~= taken and find(block, "\n", taken + 1, true)
  if newline then
    local to = newline - 1
    if to > taken and byte(block, to) == 13 then
      to = to - 1
    end
    local line = sub(block, taken + 1, to)
    -- Memory may have been collected for it, and a finalizer may have read this connection.
    if hand_out(lent, taken, newline) then
      return line
    end
  end
end

-- The first line of a block that has just come, which may be one that has no end; nil where it is
-- no longer true.
local function first_line(lent, block)
  local line = cut(lent, 0)
  if not line and hand_out(lent, 0, #block) then
    return block
  end
  return line
end

-- An iterator over the lines of blocks, which `refill` gives until it gives nil. Later Luas have
-- this in C (ffi/lines.rs). A loop that LuaJIT compiles has the iterator within, as long as that
-- comes to no loop of its own.
local function lines(refill)
  local lent = new_lent()
  return function()
    local taken = lent[1]
    local line = taken and cut(lent, taken)
    while not line do
      local fresh = new_lent()
      local block = refill(fresh)
      if block == nil then
        return nil
      end
      lent, line = fresh, first_line(fresh, block)
    end
    return line
  end
end

-- The lines of a block at a time: a call of a native operation for each would cost more than all
-- the rest. The connection's next call, of whatever kind, takes what is handed out off the buffer.
function methods.lines(self, max)
  check_self("lines", self)
  local operation = operations.lines
  local function refill(lent)
    local ok, a, b = call(operation, self, max, lent)
    if not ok then
      raise(a, b, 3)
    end
    return a
  end
  if native.lines then
    return native.lines(refill, self)
  end
  return lines(refill)
end

-- `read_line` that cuts lines from blocks, too: LuaJIT compiles it. A block is one line at first.
-- The next is larger if all of the last was read, without another call between: so what is copied
-- stays in proportion to what is read. Where another call came between, the next lines are read
-- without a block, up to fifteen the more often that happens.
local function cutting(operation, plain)
  local LEAST, LARGEST, MOST_SPARED = 256, 65536, 15
  local lents = setmetatable({}, { __mode = "k" })
  local plans = setmetatable({}, { __mode = "k" })

  -- Whether the next line is worth a block, and of what size.
  local function decide(plan, lent)
    if lent and lent[1] then
      plan.size, plan.spared = min(4 * plan.size + LEAST, LARGEST), 0
    elseif plan.is_tried then
      plan.size, plan.spared = 0, min(2 * plan.spared + 1, MOST_SPARED)
      plan.left = plan.spared
    end
    plan.is_tried = plan.left == 0
    if not plan.is_tried then
      plan.left = plan.left - 1
    end
    return plan.is_tried
  end

  -- What the operation answers, with the next line in place of a block. A hook may use the
  -- connection at each step of this, so that no block stays true: then it is one line without a
  -- block.
  local function read(self)
    local plan = plans[self] or { size = 0, spared = 0, left = 0, is_tried = false }
    if decide(plan, lents[self]) then
      local lent = new_lent()
      local ok, a, b, c, d = call(operation, self, plan.size, lent)
      if not ok then
        return ok, a, b, c, d
      end
      plans[self], lents[self] = plan, lent
      local line = first_line(lent, a)
      if line then
        return ok, line
      end
    end
    return call(plain, self)
  end

  return function(self, max)
    local lent = lents[self]
    local taken = max == nil and lent and lent[1]
    local line = taken and cut(lent, taken)
    if line then
      return line
    end
    local ok, a, b, c, d, e
    if max == nil then
      ok, a, b, c, d = read(self)
    else
      ok, a, b, c, d, e = plain(nil, self, max)
      if ok == nil then
        ok, a, b, c, d = resume(plain, a, b, c, d, e, self, max)
      end
    end
    if ok then
      return a
    elseif a ~= "return" then
      raise(a, b, 2)
    end
    return nil, b, c, d
  end
end

if native.cuts then
  methods.read_line = cutting(native.cuts.read_line, operations.read_line)
end

for _, name in pairs { "json_packets", "json_values", "packets" } do
  methods[name] = iterator(name, operations[name])
end

-- What LTN12 makes of a call: its value, or nil and a message. What is no failure of ours has no
-- code, and is raised at the line of whoever calls the source or the sink.
local function attempt(operation, ...)
  local ok, a, b, code = call(operation, ...)
  if ok then
    return a
  elseif code == nil then
    raise(a, b, 3)
  end
  return nil, b
end

-- An LTN12 source: what has come, at most `blocksize` bytes a time; nil at the end of the stream.
function methods.source(self, blocksize)
  check_self("source", self)
  return function()
    local chunk, message = attempt(operations.recv, self, blocksize)
    if chunk == "" then
      return nil
    end
    return chunk, message
  end
end

-- An LTN12 sink. The end of the stream leaves the connection open.
function methods.sink(self)
  check_self("sink", self)
  return function(chunk)
    if chunk == nil then
      return 1
    end
    local _, message = attempt(operations.send, self, chunk)
    if message then
      return nil, message
    end
    return 1
  end
end

local listener = publish(native.listener)

-- The clients as they come, until the listener is closed.
function listener.connections(self)
  local accept = native.next
  return function()
    local ok, a, b, c = call(accept, self)
    if not ok and c ~= "closed" then
      raise(a, b, 2)
    end
    return ok and a or nil
  end
end

-- Modules -----------------------------------------------------------------------------------------

-- A codec never waits, and takes options at most: no need for `public`.
local function codec(operation)
  return function(value, options)
    local ok, a, b, c = operation(nil, value, options)
    if ok then
      return a
    elseif a ~= "return" then
      raise(a, b, 2)
    end
    return nil, b, c
  end
end

-- The names that the module's first scripts call without saying where they are from.
local globals = { "connect", "connect_tls", "send", "recv" }

-- What `require` gives, made of native functions; `success` is what one without a value gives.
local function module(title, functions, success)
  local json = functions.json
  functions.json = nil
  local tcp = publish(functions)
  tcp.poll = public(functions.poll, true)
  tcp.send, tcp.recv = direct(functions.send, true), direct(functions.recv, true)
  tcp._NAME, tcp._VERSION = title, native.version
  tcp.json = {
    null = native.null,
    array = direct(json.array),
    decode = codec(json.decode),
    encode = codec(json.encode),
  }
  function tcp.use(which)
    local chosen, why
    if which ~= nil then
      choose = choose or native.loops.choose()
      chosen, why = choose(which)
      if not chosen then
        error("bad argument #1 to 'use' (" .. why .. ")", 2)
      end
    end
    loop = chosen
    local kept = {}
    for i = 1, #in_use do
      if in_use[i].is_polled and in_use[i] ~= chosen then
        kept[#kept + 1] = in_use[i]
      end
    end
    kept[#kept + 1] = chosen
    in_use = kept
    local ok, how, message = native.set_wait_mode(nil, loop ~= nil, loop ~= nil and loop.is_polled or false)
    if not ok then
      raise(how, message, 2)
    end
    return success
  end
  function tcp.export(env)
    if env == nil then
      env = _G
    elseif type(env) ~= "table" then
      error("bad argument #1 to 'export' (table expected, got " .. type(env) .. ")", 2)
    end
    for _, name in pairs(globals) do
      env[name] = tcp[name]
    end
    return tcp
  end
  return tcp
end

return {
  connection = methods,
  listener = listener,
  module = module,
}
