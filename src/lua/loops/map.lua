-- `tcp.map`: a function for each item of a list, in tasks. See run.lua: an item is a group.

local native = ...
local error, pairs, tonumber, tostring = error, pairs, tonumber, tostring
local floor, huge, min = math.floor, math.huge, math.min
local scheduler = native.scheduler
local add_task, make_ready, cancel = scheduler.add_task, scheduler.make_ready, scheduler.cancel
local new_group, wrong_type = scheduler.new_group, scheduler.wrong_type

-- The error of an item; `how` has a place for the seconds.
local function timeout_error(how, seconds)
  return ("%s: %s: "):format("map", "timeout") .. how:format(("%.14g"):format(seconds))
end

local function call_item(map, index)
  return map.fn(map.list[index], index)
end

local begin_items

-- What came of an item whose group has ended.
local function end_item(item)
  local map, index = item.map, item.index
  local failure, values = item.failure, item.values or {}
  map.items[item] = nil
  map.at_work = map.at_work - 1
  if map.late then
    map.errors[index] = map.late
  elseif failure then
    map.errors[index] = failure[1] == nil and "(error object is a nil value)" or failure[1]
  elseif values[1] == nil and values[2] ~= nil then
    map.errors[index] = values[2]
  else
    map.results[index] = values[1]
  end
  begin_items(map)
end

function begin_items(map)
  while map.at_work < map.concurrency and map.next <= map.size and not map.is_cancelled do
    local item = new_group(map.scheduler, nil, end_item)
    item.map, item.index = map, map.next
    map.next = map.next + 1
    map.items[item] = true
    map.at_work = map.at_work + 1
    make_ready(add_task(item, call_item, map, item.index))
  end
  if map.at_work > 0 then
    return
  elseif map.timer.count > 0 then
    cancel(map.timer)
  else
    map.done()
  end
end

-- In a task of its own: the time is up.
local function expire(map, seconds)
  if not native.call(native.sleep, seconds) then
    return
  end
  map.late = timeout_error("not done after %s seconds", seconds)
  for index = map.next, map.size do
    map.errors[index] = timeout_error("not begun after %s seconds", seconds)
  end
  map.next = map.size + 1
  cancel(map)
end

local function run_map(map, timeout)
  local task = scheduler.current()
  map.scheduler, map.is_cancelled = task.group.scheduler, task.is_cancelled
  map.timer = new_group(map.scheduler, nil, function()
    if map.at_work == 0 then
      map.done()
    end
  end)
  if timeout < huge then
    make_ready(add_task(map.timer, expire, map, timeout))
  end
  scheduler.wait_for_group(map)
  if task.is_cancelled then
    error(scheduler.cancelled "map", 0)
  end
  return map.results, map.errors
end

-- What is wrong with the options of `map`, if anything; else the two.
local function map_options(options)
  local concurrency, timeout = 100, huge
  for key, value in pairs(options or {}) do
    local number = tonumber(value)
    if key == "concurrency" then
      if not number or number < 1 or number ~= huge and number ~= floor(number) then
        return "option 'concurrency': whole number over 0 expected, got " .. tostring(value)
      end
      concurrency = number
    elseif key == "timeout" then
      if not number or number ~= number or number <= 0 then
        return "option 'timeout': seconds over 0 expected, got " .. tostring(value)
      end
      timeout = number
    else
      return ("unknown option '%s'"):format(tostring(key))
    end
  end
  return nil, concurrency, timeout
end

-- The group that was run to its end; or nil and why not.
return function(list, fn, options)
  local wrong = wrong_type(1, "map", list, "table") or wrong_type(2, "map", fn, "function")
    or options ~= nil and wrong_type(3, "map", options, "table")
  if wrong then
    return nil, wrong
  end
  local why, concurrency, timeout = map_options(options)
  if why then
    return nil, scheduler.bad_argument(3, "map", why)
  end
  local all = {
    list = list, fn = fn, size = #list, next = 1, at_work = 0, concurrency = min(concurrency, #list),
    items = {}, results = {}, errors = {}, begin = begin_items, count = 0,
  }
  return scheduler.run(run_map, all, timeout)
end
