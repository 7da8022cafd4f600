-- The part of the module that must be Lua. It raises errors at the caller's line, yields to a loop,
-- and calls interrupted operations again. It knows no protocol, and runs on every Lua from 5.1 on.
--
-- A native operation takes a token and its arguments; when it is called again, the first four of
-- them. It answers
--   true, value                            it is done; a packet's header is a second value
--   false, how, message, code, details     it failed; `how` is "throw", "return" or "pass"
--   nil, token                             a moment for the interpreter, then again with this token
--   nil, token, claim, seconds             the same after a wait of the poller's, with this ticket;
--                                          `seconds`: the next timeout, if the loop does not know
--   nil, token, claim, seconds, fd, writes the same after a wait for so many seconds at most, until
--                                          the descriptor can be read, or written if `writes`

local native = ...
local error, pairs, type = error, pairs, type
local unpack = table.unpack or unpack

-- The loop in use, if any, and the function that finds it; see loops/choose.lua. Coroutines may
-- still wait in loops that were in use before, so a closed descriptor is announced to all. Of the
-- script's own loops only the last is kept.
local loop, choose
local in_use = {}
-- What was chosen, as the script named it.
local using

-- The loop of tasks (loops/run.lua), while one of them runs.
local tasks

-- The loop that whatever runs now is to yield to, if any.
function native.innermost()
  return tasks or loop
end

-- Tells the operations where they wait.
local function set_wait_mode()
  local its = tasks or loop
  return native.set_wait_mode(nil, its ~= nil, its ~= nil and its.is_polled or false,
    its ~= nil and its.sleep ~= nil)
end

-- The loop of tasks, if one of them runs.
function native.tasks()
  return tasks
end

-- A task runs from now on, or none; gives the loop of tasks that was there before.
function native.set_tasks(its)
  local before = tasks
  tasks = its
  set_wait_mode()
  return before
end

-- Waits as an operation has asked: a coroutine of the loop yields to it, others wait in place.
-- Returns the reason if waiting is not allowed.
local function wait(token, claim, seconds, fd, writes)
  local its, this, why = tasks or loop, nil, nil
  if its then
    this, why = its.inside()
  end
  if why then
    native.cancel(nil, claim)
    return why
  elseif its and its.is_cancelled and its.is_cancelled(this) then
    native.cancel(nil, claim)
    native.cancel_next(nil)
    return
  elseif not this then
    native.wait(nil, claim, seconds, fd, writes)
    return
  end
  if fd == nil then
    its.wait(claim, seconds, this)
    -- The task was ended while it waited.
    if its.is_cancelled and its.is_cancelled(this) then
      native.cancel_next(nil)
    end
    return
  elseif fd < 0 then
    its.wait_for_time(claim, seconds, this)
    return
  end
  local close = its.close
  its.wait(claim, seconds, this, fd, writes and "w" or "r")
  -- What lives in its token, such as a connect, may close in its next step what it waited for.
  if close and type(token) == "userdata" then
    close(fd)
  end
end

-- Repeats an operation, with a wait before each try, until it is done. Between two calls the
-- interpreter can handle a signal. Four arguments are enough: a script may send more than the stack
-- holds twice, but the first call of `send` has queued them.
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
native.wait_for = wait
native.resume = resume
-- A compiled loop would not look whether a signal came.
if type(jit) == "table" then
  jit.off(resume)
end

-- Calls an operation until it is done, and returns its answer.
local function call(operation, ...)
  local ok, a, b, c, d, e = operation(nil, ...)
  if ok == nil then
    local one, two, three, four = ...
    return resume(operation, a, b, c, d, e, one, two, three, four)
  end
  return ok, a, b, c, d
end

-- Raises a failure at `level`, counted from the caller. Without memory for the message there is
-- none.
local function raise(how, message, level)
  error(message or "not enough memory", how == "pass" and 0 or level + 1)
end

native.call, native.raise = call, raise

-- The loops end the waits for a descriptor.
local function remove_fd(number)
  for i = 1, #in_use do
    if in_use[i].close then
      in_use[i].close(number)
    end
  end
end

-- Tells the loops that a descriptor will be closed.
local function announce(operations, self)
  local ok, open = operations.is_open(nil, self)
  if ok and open then
    local _, number = operations.fd(nil, self)
    remove_fd(number)
    -- A copy that has this connection may wait for the other one.
    local is_connection, reads_from, writes_to = native.awaited(nil, self)
    if is_connection and reads_from then
      remove_fd(reads_from)
    end
    if is_connection and writes_to then
      remove_fd(writes_to)
    end
  end
end

-- Makes the function that scripts call, from a native operation of one or two results. `closing`:
-- the operations of its object, if it closes that. `is_on_last`: it works on the last connection,
-- which is its self when it is called again. `spreads`: a table that it gives is a list of results.
-- A tail call would lose the caller's line.
local function public(operation, closing, is_on_last, spreads)
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
    if ok and b ~= nil then
      return a, b
    elseif ok and spreads and type(a) == "table" then
      return unpack(a)
    elseif ok then
      return a
    elseif a ~= "return" then
      raise(a, b, 2)
    end
    return nil, b, c, d
  end
end

-- Finishes a call that was not done at once. Its arguments are the operation, what that has
-- answered, and the first arguments of the call. From Lua 5.2 on, the function that scripts call is
-- a C function, which calls this (ffi/direct.rs).
local function finish_call(operation, ok, a, b, c, d, e, one, two, three, four)
  if ok == nil then
    ok, a, b, c, d = resume(operation, a, b, c, d, e, one, two, three, four)
  end
  if ok and b ~= nil then
    return a, b
  elseif ok then
    return a
  elseif a ~= "return" then
    raise(a, b, 3)
  end
  return nil, b, c, d
end

-- The same for an operation on the last connection.
local function finish_on_last(operation, ok, a, b, c, d, e, one, two, three)
  return finish_call(operation, ok, a, b, c, d, e, native.last(), one, two, three)
end

-- Makes the function that scripts call, from an operation that closes nothing.
local function direct(operation, is_on_last)
  if native.direct then
    return native.direct(operation, is_on_last and finish_on_last or finish_call)
  end
  return public(operation, nil, is_on_last)
end

local function publish(operations)
  local published = {}
  for name, operation in pairs(operations) do
    if name == "close" then
      published[name] = public(operation, operations)
    else
      published[name] = direct(operation)
    end
  end
  return published
end

-- Methods -----------------------------------------------------------------------------------------

local operations = native.connection
local methods = publish(operations)

-- Raises if the self of a method written in Lua is not a connection, or is a closed one.
local function check_self(name, self)
  local ok, how, message = native.checks[name](nil, self)
  if not ok then
    raise(how, message, 3)
  end
end

-- Makes a method that returns an iterator: it calls a native operation until that returns nil. It
-- throws in `tcp.safe` too, since a loop cannot see a returned failure.
local function iterator(name, operation)
  return function(self, ...)
    check_self(name, self)
    local max, keep = ...
    return function()
      local ok, a, b, c, d, e = operation(nil, self, max, keep)
      if ok == nil then
        ok, a, b = resume(operation, a, b, c, d, e, self, max, keep)
      end
      if not ok then
        raise(a, b, 2)
      elseif b ~= nil then
        return a, b
      end
      return a
    end
  end
end

-- An iterator over lines that reads a block at a time, since a native call for each line costs more
-- than the rest. The connection's next call, of any kind, consumes the bytes that were returned.
-- Lines that keep their ends come one at a time.
local kept_lines = iterator("lines", native.kept_lines)
local blocks = not native.lines and native.blocks()
function methods.lines(self, max, keep)
  check_self("lines", self)
  if keep ~= nil then
    return kept_lines(self, max, keep)
  end
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
  return blocks.lines(refill)
end

if native.cuts then
  methods.read_line = blocks.read_line(native.cuts.read_line, operations.read_line)
end

-- Several values that a pattern captured come in a table.
methods.read_match = public(operations.read_match, nil, false, true)

for _, name in pairs { "json_packets", "json_values", "packets" } do
  methods[name] = iterator(name, operations[name])
end

-- Returns the results of a call as LTN12 wants them: the value, or nil and a message. A failure
-- without a code is not the connection's, and is raised where the source or sink is called.
local function attempt(operation, ...)
  local ok, a, b, code = call(operation, ...)
  if ok then
    return a
  elseif code == nil or code == "cancelled" then
    raise(a, b, 3)
  end
  return nil, b
end

-- An LTN12 source. It returns the bytes that have come, at most `blocksize` at a time; nil at the
-- end of the stream.
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

-- An iterator over the clients, until the listener is closed.
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

-- Makes a function of `tcp.json`. Such a function never waits and has at most two arguments, so it
-- does not need `public`.
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

-- Tasks -------------------------------------------------------------------------------------------

-- What loops/run.lua gives, which is compiled for the first script that has tasks. Its loop hears
-- of descriptors from then on.
local scheduler
local function load_tasks()
  if not scheduler then
    choose = choose or native.loops.choose()
    scheduler = native.loops.run()
    native.scheduler = scheduler
    scheduler.map = native.loops.map()
    in_use[#in_use + 1] = scheduler.loop
  end
  return scheduler
end

local function run(fn, ...)
  local group, why = load_tasks().run(fn, ...)
  if not group then
    error(why, 2)
  end
  return scheduler.results(group)
end

local function map(list, fn, options)
  local group, why = load_tasks().map(list, fn, options)
  if not group then
    error(why, 2)
  end
  return scheduler.results(group)
end

-- The names that the module's first scripts call without saying where they are from.
local globals = { "connect", "connect_tls", "send", "recv" }

-- Makes the table that `require` returns, from native functions. `success` is the result of
-- functions that have no value.
local function module(title, functions, success)
  local json = functions.json
  native.sleep = functions.sleep
  functions.json = nil
  local tcp = publish(functions)
  tcp.poll = public(functions.poll)
  tcp.send, tcp.recv = direct(functions.send, true), direct(functions.recv, true)
  tcp._NAME, tcp._VERSION = title, native.version
  tcp.json = {
    null = native.null,
    array = direct(json.array),
    decode = codec(json.decode),
    encode = codec(json.encode),
    get = codec(json.get),
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
    loop, using = chosen, which
    local kept = {}
    for i = 1, #in_use do
      if in_use[i].is_polled and in_use[i] ~= chosen then
        kept[#kept + 1] = in_use[i]
      end
    end
    kept[#kept + 1] = chosen
    in_use = kept
    local ok, how, message = set_wait_mode()
    if not ok then
      raise(how, message, 2)
    end
    return success
  end
  function tcp.using()
    return using
  end
  tcp.run, tcp.map = run, map
  function tcp.spawn(fn, ...)
    local why = load_tasks().spawn(fn, ...)
    if why then
      error(why, 2)
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
