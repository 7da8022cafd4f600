-- Lines that are cut from the blocks which a connection lends, for LuaJIT, which compiles this, and
-- for Lua 5.1. The other Lua cut them in C functions (ffi/lines.rs).

local native = ...
local byte, find, sub = string.byte, string.find, string.sub
local min, setmetatable, type = math.min, setmetatable, type
local call, raise, resume = native.call, native.raise, native.resume

-- Makes the table of a block that a connection lends. [1] is the number of bytes that were
-- returned, false once the loan is over. [2] is the block, false once the loan is over. [3] is the
-- offset of the last line that a call has begun to return. Native code fills the table, and ends
-- the loan with the connection's next call. Each block has a table of its own.
local function new_lent()
  return { false, "", false }
end

-- Counts a block's bytes from `from` up to `to` as returned; false if they are no longer the next
-- ones. A hook may run between any two steps here, and read the whole connection. While [1] and [3]
-- are equal, it does not read from the block. Its native call then ends the loan: either before [1]
-- is set here, which is then undone, or after.
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

-- Returns the line at offset `taken` of the block. It is nil if no newline ends the line, if the
-- line is longer than `max`, or if another call is about to return it.
local function cut(lent, taken, max)
  local block = lent[2]
  local newline = block and lent[3] ~= taken and find(block, "\n", taken + 1, true)
  if newline then
    local to = newline - 1
    if to > taken and byte(block, to) == 13 then
      to = to - 1
    end
    if max and to - taken > max then
      return nil
    end
    local line = sub(block, taken + 1, to)
    -- The string may have started the collector, and a finalizer may have read this connection.
    if hand_out(lent, taken, newline) then
      return line
    end
  end
end

-- Returns the first line of a new block, which may have no newline; nil if the loan is over.
local function first_line(lent, block)
  local line = cut(lent, 0)
  if not line and hand_out(lent, 0, #block) then
    return block
  end
  return line
end

-- Makes an iterator over the lines of blocks; `refill` returns a block, or nil at the end. From Lua
-- 5.2 on it is a C function (ffi/lines.rs). LuaJIT can inline it into the loop that calls it, as
-- long as its own loop does not run.
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

-- Makes a `read_line` that cuts lines from blocks, too, so that LuaJIT compiles it. The first block
-- is one line. A block grows if the last one was read to its end without another call between. So
-- the bytes copied stay in proportion to those read. After another call, some lines are read
-- without a block: up to fifteen, more each time this happens.
local function read_line(operation, plain)
  local LEAST, LARGEST, MOST_SPARED = 256, 65536, 15
  local lents = setmetatable({}, { __mode = "k" })
  local plans = setmetatable({}, { __mode = "k" })

  -- Decides whether the next line is read with a block, and of what size.
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

  -- Calls the operation, and returns its answer with the next line in place of a block. A hook may
  -- use the connection at any step and end the loan. Then one line is read without a block.
  local function read(self, max)
    local plan = plans[self] or { size = 0, spared = 0, left = 0, is_tried = false }
    if decide(plan, lents[self]) then
      local lent = new_lent()
      local ok, a, b, c, d = call(operation, self, plan.size, lent, max)
      if not ok then
        return ok, a, b, c, d
      end
      plans[self], lents[self] = plan, lent
      local line = first_line(lent, a)
      if line then
        return ok, line
      end
    end
    return call(plain, self, max)
  end

  -- Whether a limit is one that needs no look at its type, nor a failure.
  local function is_plain(max)
    return max == nil or type(max) == "number" and max % 1 == 0 and max >= 0 and max <= 2 ^ 53
  end

  return function(self, max, keep)
    local lent = lents[self]
    local may_cut = keep == nil and is_plain(max)
    local taken = may_cut and lent and lent[1]
    local line = taken and cut(lent, taken, max)
    if line then
      return line
    end
    local ok, a, b, c, d, e
    if may_cut then
      ok, a, b, c, d = read(self, max)
    else
      ok, a, b, c, d, e = plain(nil, self, max, keep)
      if ok == nil then
        ok, a, b, c, d = resume(plain, a, b, c, d, e, self, max, keep)
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

return { lines = lines, read_line = read_line }
