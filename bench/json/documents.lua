--- The documents that the JSON benchmark reads and writes, the same on every run and every Lua.
-- `lua documents.lua FOLDER` writes them as files.

local documents = {}

-- Park and Miller's generator: exact in the doubles of every Lua.
local seed
local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n + 1
end

local function pick(list)
  return list[random(#list)]
end

local function repeated(n, make)
  local parts = {}
  for i = 1, n do
    parts[i] = make(i)
  end
  return table.concat(parts, ",")
end

local words = {"alpha", "servidor", "monitor", "disk", "latency", "région", "queue", "übersicht", "node", "status", "value", "check"}

local function sentence(n)
  local parts = {}
  for i = 1, n do
    parts[i] = pick(words)
  end
  return table.concat(parts, " ")
end

local function digits(n)
  local parts = {tostring(random(9))}
  for i = 2, n do
    parts[i] = tostring(random(10) - 1)
  end
  return table.concat(parts)
end

--- An answer of an API: one object of about 1 KB.
function documents.api()
  seed = 1
  return ([[{"id":%d,"request_id":"%s-%s","status":"ok","code":200,"cached":false,"duration_ms":%d.%d,
  "user":{"id":%d,"name":"%s","email":"someone@example.com","active":true,"roles":["admin","editor","viewer"],"manager":null},
  "links":{"self":"/v1/items?page=3","next":"/v1/items?page=4","prev":"/v1/items?page=2","first":"/v1/items?page=1"},
  "items":[%s],"page":3,"pages":17,"total":168,"server":"app-07.example.net","version":"2.14.1"}]]):format(
    random(99999), digits(8), digits(12), random(99), random(999), random(99999), sentence(2),
    repeated(5, function(i)
      return ([[{"sku":"A-%s","name":"%s","price":%d.%d,"quantity":%d,"tags":["new","sale"]}]]):format(
        digits(6), sentence(2), random(99), random(89) + 10, i)
    end))
end

--- A list of records of about 13 KB.
function documents.records()
  seed = 2
  return ('{"records":[%s],"count":60}'):format(repeated(60, function(i)
    return ([[{"id":%d,"host":"host-%03d.example.net","check":"%s","ok":%s,"value":%d.%d,"threshold":%d,"message":"%s","labels":{"zone":"eu-%d","rack":"r%d"},"samples":[%s]}]]):format(
      100000 + i, i, pick(words), random(2) == 1 and "true" or "false", random(1000), random(99), random(100),
      sentence(4), random(3), random(40), repeated(4, function() return tostring(random(5000)) end))
  end))
end

-- Three characters of Japanese, as UTF-8 or, one time in four, as escapes.
local kana = {"ほげふ", "東京は", "天気が", "今日の", "ニュー", "スです"}
local escapes = {[[\u307b\u3052\u3075]], [[\u6771\u4eac\u306f]], [[\ud83d\ude00\u0021]], [[\u4eca\u65e5\u306e]]}

local function post()
  local parts = {}
  for i = 1, 8 + random(12) do
    parts[i] = random(4) == 1 and pick(escapes) or random(9) == 1 and [[\n\"RT\" http:\/\/example.com\/]] or pick(kana)
  end
  return table.concat(parts)
end

local function account()
  return ([[{"id":%s,"id_str":"%s","name":"%s","screen_name":"user_%s","location":"%s","description":"%s","url":null,
      "entities":{"description":{"urls":[]}},"protected":false,"followers_count":%d,"friends_count":%d,"listed_count":%d,
      "created_at":"Mon Sep 0%d 10:00:00 +0000 2011","favourites_count":%d,"utc_offset":32400,"time_zone":"Tokyo","geo_enabled":true,
      "verified":false,"statuses_count":%d,"lang":"ja","contributors_enabled":false,"is_translator":false,
      "profile_background_color":"%s","profile_image_url":"http://pbs.example.com/profile_images/%s/normal.jpeg",
      "profile_background_tile":false,"profile_use_background_image":true,"default_profile":false,"following":false,
      "follow_request_sent":false,"notifications":false}]]):format(
    digits(10), digits(10), pick(kana), digits(6), pick(kana), post(), random(9999), random(9999), random(99),
    random(9), random(9999), random(99999), digits(6), digits(18))
end

--- A search result of about 600 KB: posts in UTF-8, partly escaped.
function documents.posts()
  seed = 3
  return ('{"statuses":[%s],"search_metadata":{"completed_in":0.087,"count":320}}'):format(repeated(320, function()
    return ([[{"metadata":{"result_type":"recent","iso_language_code":"ja"},"created_at":"Sun Aug 31 00:29:15 +0000 2014",
    "id":%s,"id_str":"%s","text":"%s","source":"<a href=\"http:\/\/example.com\/download\" rel=\"nofollow\">client<\/a>",
    "truncated":false,"in_reply_to_status_id":null,"in_reply_to_user_id":null,"user":%s,"geo":null,"coordinates":null,
    "place":null,"retweet_count":%d,"favorite_count":%d,
    "entities":{"hashtags":[],"symbols":[],"urls":[],"user_mentions":[{"screen_name":"user_%s","name":"%s","id":%s,"indices":[3,14]}]},
    "favorited":false,"retweeted":false,"lang":"ja"}]]):format(
      digits(18), digits(18), post(), account(), random(999), random(999), digits(6), pick(kana), digits(9))
  end))
end

--- The outline of a country: about 110,000 floats, half of them with all 17 digits.
function documents.floats()
  seed = 4
  local function coordinate(whole)
    return ("-%d.%s"):format(random(whole), digits(random(2) == 1 and 15 or 6))
  end
  return ('{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon","coordinates":[%s]}}]}'):format(
    repeated(480, function()
      return "[" .. repeated(115, function() return ("[%s,%s]"):format(coordinate(140), coordinate(83)) end) .. "]"
    end))
end

--- In the order in which they are reported.
documents.names = {"api", "records", "posts", "floats"}

if arg and arg[0] and arg[0]:find("documents%.lua$") then
  for _, name in ipairs(documents.names) do
    local file = assert(io.open(arg[1] .. "/" .. name .. ".json", "w"))
    file:write(documents[name]())
    file:close()
  end
end

return documents
