-- The part of the module that must be Lua: raising at the caller's line, and calling again what a
-- signal interrupted. Knows no protocol; runs on every Lua from 5.1 on.
--
-- A native operation takes a token and its arguments. It answers
--   true, value                             it is done
--   false, how, message, code, details     it failed; `how` is "throw", "return" or "pass"
--   nil, token                              a moment for the interpreter, then again with this token

local native = ...
local error, pairs, type = error, pairs, type

-- What the first call did not settle. Three levels up stands the script: it called the public
-- function, which called this.
local function settle(operation, ok, a, b, c, d, ...)
  while ok == nil do
    ok, a, b, c, d = operation(a, ...)
  end
  if ok then
    return true, a
  elseif a == "return" then
    return false, b, c, d
  end
  -- Where there was no memory for the words of an error, there are none.
  error(b or "not enough memory", a == "throw" and 3 or 0)
end
-- A compiled loop would not look whether a signal came.
if type(jit) == "table" then
  jit.off(settle)
end

-- The public face of a native operation. No tail call: the caller's line would be lost.
local function public(operation)
  return function(...)
    local ok, a, b, c, d = operation(nil, ...)
    if not ok then
      ok, a, b, c, d = settle(operation, ok, a, b, c, d, ...)
    end
    if ok then
      return a
    end
    return nil, a, b, c
  end
end

-- A codec tries its fast half, which is right or fails; the full one checks arguments and words the
-- failure.
local function codec(fast, takes, full)
  return function(value, options)
    local ok, a, b, c
    if options == nil and (takes == nil or type(value) == takes) then
      ok, a = fast(value)
    end
    if not ok then
      ok, a, b, c = settle(full, nil, nil, nil, nil, nil, value, options)
    end
    if ok then
      return a
    end
    return nil, a, b, c
  end
end

local function publish(operations)
  local published = {}
  for name, operation in pairs(operations) do
    published[name] = public(operation)
  end
  return published
end

-- The names that the module's first scripts call without saying where they are from.
local globals = { "connect", "connect_tls", "send", "recv" }

local function module(operations)
  local json = operations.json
  operations.json = nil
  local tcp = publish(operations)
  tcp._NAME, tcp._VERSION = native.name, native.version
  tcp.json = {
    null = native.null,
    array = public(json.array),
    decode = codec(native.decode, "string", json.decode),
    encode = codec(native.encode, nil, json.encode),
  }
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
  tcp = module(native.tcp),
  safe = module(native.safe),
  methods = publish(native.methods),
  tostring = public(native.tostring),
}
