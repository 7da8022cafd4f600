-- Random numbers from a seed, the same on each Lua (Park and Miller's generator: no product needs
-- more than a double has).

return function(seed)
  local state = seed * 2 % 2147483646 + 1
  local random = {}

  -- A whole number from `low` to `high`.
  function random.between(low, high)
    state = state * 16807 % 2147483647
    return low + state % (high - low + 1)
  end

  -- True so many times in a hundred.
  function random.chance(percent)
    return random.between(1, 100) <= percent
  end

  function random.one_of(list)
    return list[random.between(1, #list)]
  end

  for _ = 1, 8 do
    random.between(0, 1)
  end
  return random
end
