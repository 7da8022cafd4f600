-- `tcp.luasocket` beside LuaSocket: the same code on each, paired in one run; prints the ratio of
-- the CPU time that this process took, ours by theirs. Under 1 is faster.
--
-- A Redis server is asked as redis-lua asks it; a server of ours sends blocks of 1 MB, and one of
-- Python serves files.

local ours, theirs = require "tcp.luasocket", require "socket"

local ROUNDS = tonumber(os.getenv "ROUNDS") or 9

local function median(list)
  table.sort(list)
  return list[math.floor(#list / 2) + 1]
end

-- Runs `work(socket)` with each in turn; prints the median of the ratios.
local function compare(name, prepare, work)
  local ratios = {}
  local sides = { ours = prepare(ours), theirs = prepare(theirs) }
  work(ours, sides.ours)
  work(theirs, sides.theirs)
  for round = 1, ROUNDS do
    local took = {}
    local order = round % 2 == 0 and { "ours", "theirs" } or { "theirs", "ours" }
    for _, side in ipairs(order) do
      collectgarbage()
      local before = os.clock()
      work(side == "ours" and ours or theirs, sides[side])
      took[side] = os.clock() - before
    end
    ratios[round] = took.ours / took.theirs
  end
  print(("%-40s %.2f   (%.2f to %.2f)"):format(name, median(ratios), ratios[1], ratios[#ratios]))
end

local function start(command, port)
  os.execute(command)
  for _ = 1, 100 do
    local client = theirs.connect("127.0.0.1", port)
    if client then
      client:close()
      return
    end
    theirs.sleep(0.05)
  end
  error("no server at port " .. port)
end

-- As redis-lua does: a request is one string, an answer is read by lines and sizes.
local function request(client, ...)
  local parts = { "*" .. select("#", ...) .. "\r\n" }
  for i = 1, select("#", ...) do
    local word = tostring((select(i, ...)))
    parts[#parts + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
  end
  return client:send(table.concat(parts))
end

local function answer(client)
  local line = assert(client:receive "*l")
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "$" then
    local size = tonumber(rest)
    return size >= 0 and assert(client:receive(size + 2)):sub(1, -3) or nil
  elseif kind == "*" then
    local list = {}
    for i = 1, tonumber(rest) do
      list[i] = answer(client)
    end
    return list
  end
  return rest
end

local function connect(port)
  return function(socket)
    local client = assert(socket.connect("127.0.0.1", port))
    client:setoption("tcp-nodelay", true)
    return client
  end
end

local REDIS, BLOCKS, FILES = 18479, 18480, 18481
local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir " .. folder)
local function background(command)
  os.execute(("%s >/dev/null 2>&1 & echo $! >>%s/pids"):format(command, folder))
end

background(("redis-server --port %d --bind 127.0.0.1 --save ''"):format(REDIS))
background(("python3 bench/faces/blocks.py %d"):format(BLOCKS))
os.execute(("head -c 1000000 /dev/zero >%s/file"):format(folder))
background(("python3 -m http.server %d --bind 127.0.0.1 --directory %s"):format(FILES, folder))
for _, port in ipairs { REDIS, BLOCKS, FILES } do
  start("true", port)
end

local ok, why = pcall(function()
  compare("redis: SET and GET, 1,000 each", connect(REDIS), function(_, client)
    for i = 1, 1000 do
      request(client, "SET", "key", i)
      answer(client)
      request(client, "GET", "key")
      answer(client)
    end
  end)
  local filler = connect(REDIS)(theirs)
  for i = 1, 1000 do
    request(filler, "RPUSH", "list", "value " .. i)
    answer(filler)
  end
  compare("redis: LRANGE of 1,000, 30 times", connect(REDIS), function(_, client)
    for _ = 1, 30 do
      request(client, "LRANGE", "list", 0, -1)
      assert(#answer(client) == 1000)
    end
  end)
  compare("1 MB by receive(1000000), 100 times", connect(BLOCKS), function(_, client)
    for _ = 1, 100 do
      client:send "m"
      assert(#client:receive(1000000) == 1000000)
    end
  end)
  compare("1 MB in blocks of 8192, 30 times", connect(BLOCKS), function(_, client)
    for _ = 1, 30 do
      client:send "m"
      for _ = 1, 122 do
        client:receive(8192)
      end
      client:receive(1000000 - 122 * 8192)
    end
  end)
  compare("1 MB sent, 100 times", connect(BLOCKS), function(_, client)
    local block = ("x"):rep(1000000)
    for _ = 1, 100 do
      client:send "s"
      client:send(block)
      client:receive(1)
    end
  end)
  compare("http: a file of 1 MB, 20 times", function() end, function(socket)
    package.loaded.socket = socket
    for _, name in ipairs { "socket.http", "socket.url", "socket.headers", "ltn12", "mime" } do
      package.loaded[name] = nil
    end
    local http = require "socket.http"
    for _ = 1, 20 do
      local body = assert(http.request(("http://127.0.0.1:%d/file"):format(FILES)))
      assert(#body == 1000000)
    end
  end)
end)
-- The next run finds no server of this one.
os.execute(("kill $(cat %s/pids); for _ in $(seq 100); do kill -0 $(cat %s/pids) 2>/dev/null && sleep 0.05; done")
  :format(folder, folder))
os.execute("rm -rf " .. folder)
assert(ok, why)
