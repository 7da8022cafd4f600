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

local function repeated(n, make, separator)
  local parts = {}
  for i = 1, n do
    parts[i] = make(i)
  end
  return table.concat(parts, separator or ",")
end

local function digits(n)
  return random(9) .. repeated(n - 1, function() return random(10) - 1 end, "")
end

local words = {
  "alpha", "servidor", "monitor", "disk", "latency", "région", "queue", "übersicht", "node", "status", "value", "check",
}

local function sentence(n)
  return repeated(n, function() return pick(words) end, " ")
end

-- Fills in `$name`s; a value is a function or what stands there.
local function filled(template, values)
  return (template:gsub("%$(%l+)", function(name)
    local value = values[name]
    return type(value) == "function" and value() or value
  end))
end

local function number(n)
  return function() return random(n) end
end

local function price()
  return ("%d.%d"):format(random(99), random(89) + 10)
end

local function boolean()
  return random(2) == 1 and "true" or "false"
end

--- An answer of an API: one object of about 1 KB.
function documents.api()
  seed = 1
  return filled([[
{"id":$id,"request_id":"$request","status":"ok","code":200,"cached":false,"duration_ms":$price,
 "user":{"id":$id,"name":"$name","email":"someone@example.com","active":true,
  "roles":["admin","editor","viewer"],"manager":null},
 "links":{"self":"/v1/items?page=3","next":"/v1/items?page=4","prev":"/v1/items?page=2","first":"/v1/items?page=1"},
 "items":[$items],"page":3,"pages":17,"total":168,"server":"app-07.example.net","version":"2.14.1"}]], {
    id = number(99999),
    request = digits(8) .. "-" .. digits(12),
    price = price,
    name = sentence(2),
    items = repeated(5, function(i)
      return filled([[{"sku":"A-$sku","name":"$name","price":$price,"quantity":$i,"tags":["new","sale"]}]], {
        sku = digits(6), name = sentence(2), price = price, i = i,
      })
    end),
  })
end

--- A list of records of about 13 KB.
function documents.records()
  seed = 2
  local records = repeated(60, function(i)
    return filled([[
{"id":$id,"host":"host-$id.example.net","check":"$word","ok":$ok,"value":$value,"threshold":$threshold,]] .. [[
"message":"$message","labels":{"zone":"eu-1","rack":"r$threshold"},"samples":[$samples]}]], {
      id = 100000 + i,
      word = pick(words),
      ok = boolean,
      value = price,
      threshold = number(100),
      message = sentence(4),
      samples = repeated(4, number(5000)),
    })
  end)
  return '{"records":[' .. records .. '],"count":60}'
end

-- Three characters of Japanese, as UTF-8 or, one time in four, as escapes.
local kana = { "ほげふ", "東京は", "天気が", "今日の", "ニュー", "スです" }
local escapes = {
  [[\u307b\u3052\u3075]], [[\u6771\u4eac\u306f]], [[\ud83d\ude00\u0021]], [[\u4eca\u65e5\u306e]],
}

local function prose()
  return repeated(8 + random(12), function()
    if random(4) == 1 then return pick(escapes) end
    if random(9) == 1 then return [[\n\"RT\" http:\/\/example.com\/]] end
    return pick(kana)
  end, "")
end

local function account()
  return filled([[
{"id":$id,"id_str":"$id","name":"$name","screen_name":"user_$id","location":"$name","description":"$prose",
   "url":null,"entities":{"description":{"urls":[]}},"protected":false,"followers_count":$count,
   "friends_count":$count,"listed_count":$count,"created_at":"Mon Sep 05 10:00:00 +0000 2011",
   "favourites_count":$count,"utc_offset":32400,"time_zone":"Tokyo","geo_enabled":true,"verified":false,
   "statuses_count":$count,"lang":"ja","contributors_enabled":false,"is_translator":false,
   "profile_background_color":"$color","profile_image_url":"http://pbs.example.com/profile_images/$image/normal.jpeg",
   "profile_background_tile":false,"profile_use_background_image":true,"default_profile":false,
   "following":false,"follow_request_sent":false,"notifications":false}]], {
    id = digits(10), name = function() return pick(kana) end, prose = prose, count = number(9999),
    color = digits(6), image = digits(18),
  })
end

--- A search result of about 600 KB: posts in UTF-8, partly escaped.
function documents.posts()
  seed = 3
  local posts = repeated(320, function()
    return filled([[
{"metadata":{"result_type":"recent","iso_language_code":"ja"},"created_at":"Sun Aug 31 00:29:15 +0000 2014",
  "id":$id,"id_str":"$id","text":"$prose",
  "source":"<a href=\"http:\/\/example.com\/download\" rel=\"nofollow\">client<\/a>","truncated":false,
  "in_reply_to_status_id":null,"in_reply_to_user_id":null,"user":$account,"geo":null,"coordinates":null,
  "place":null,"retweet_count":$count,"favorite_count":$count,"entities":{"hashtags":[],"symbols":[],"urls":[],
   "user_mentions":[{"screen_name":"user_$count","name":"$name","id":$count,"indices":[3,14]}]},
  "favorited":false,"retweeted":false,"lang":"ja"}]], {
      id = digits(18), prose = prose, account = account, count = number(9999),
      name = function() return pick(kana) end,
    })
  end)
  return '{"statuses":[' .. posts .. '],"search_metadata":{"completed_in":0.087,"count":320}}'
end

--- The outline of a country: about 110,000 floats, half of them with 17 digits.
function documents.floats()
  seed = 4
  local function coordinate()
    return "-" .. digits(2) .. "." .. digits(random(2) == 1 and 15 or 6)
  end
  local lines = repeated(480, function()
    return "[" .. repeated(115, function() return "[" .. coordinate() .. "," .. coordinate() .. "]" end) .. "]"
  end)
  return '{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon","coordinates":[' ..
    lines .. "]}}]}"
end

-- With lines and blanks, as encoders print for people. No string of `text` has a mark in it.
local function indented(text)
  local depth = 0
  local function line() return "\n" .. ("    "):rep(depth) end
  return (text:gsub("()([%[%]{},:])", function(at, mark)
    local pair = text:sub(at, at + 1)
    local other = text:sub(at - 1, at)
    if mark == "," then return "," .. line() end
    if mark == ":" then return ": " end
    if pair == "[]" or pair == "{}" or other == "[]" or other == "{}" then return mark end
    depth = depth + ((mark == "[" or mark == "{") and 1 or -1)
    return (mark == "[" or mark == "{") and mark .. line() or line() .. mark
  end))
end

-- Members whose names are numbers of nine digits.
local function numbered(n, make)
  return "{" .. repeated(n, function() return '"' .. digits(9) .. '":' .. make() end) .. "}"
end

local function quoted_name() return '"' .. sentence(3) .. '"' end

--- The programme of a concert hall, about 2 MB: more blanks than anything else, then integers, and
-- names that come again and again.
function documents.catalog()
  seed = 5
  local function concert()
    return filled([[{"description":null,"id":$id,"logo":$logo,"name":"$name","subTopicIds":[$topics],]]
      .. [["subjectCode":null,"subtitle":null,"topicIds":[$topics]}]], {
        id = digits(9), name = sentence(6), topics = repeated(random(4) + 1, function() return digits(9) end),
        logo = function() return random(2) == 1 and "null" or '"/images/concerts/ensemble.png"' end,
      })
  end
  local function performance()
    local cost = function()
      return ('{"amount":%s,"audienceSubCategoryId":120034567,"seatCategoryId":%s}'):format(digits(5), digits(9))
    end
    local areas = function() return ('{"areaId":%s,"blockIds":[]}'):format(digits(9)) end
    local seats = function()
      return ('{"areas":[%s],"seatCategoryId":%s}'):format(repeated(4 + random(12), areas), digits(9))
    end
    return filled([[{"eventId":$id,"id":$id,"logo":null,"name":null,"prices":[$prices],"seatCategories":[$seats],]]
      .. [["seatMapImage":null,"start":$start,"venueCode":"HALL_EAST"}]], {
        id = digits(9), prices = repeated(2 + random(4), cost), seats = repeated(2 + random(3), seats),
        start = digits(13),
      })
  end
  return indented(filled([[{"areaNames":$areas,"audienceSubCategoryNames":$one,"blockNames":{},"events":$concerts,]]
    .. [["performances":[$performances],"seatCategoryNames":$categories,"subTopicNames":$topics,"subjectNames":{},]]
    .. [["topicNames":$four,"topicSubTopics":$lists,"venueNames":{"HALL_EAST":"East Hall"}}]], {
      areas = numbered(17, quoted_name), one = numbered(1, quoted_name), concerts = numbered(184, concert),
      performances = repeated(243, performance), categories = numbered(64, quoted_name),
      topics = numbered(19, quoted_name),
      four = numbered(4, quoted_name),
      lists = numbered(4, function() return "[" .. repeated(5, function() return digits(9) end) .. "]" end),
    }))
end

local function hexadecimal(n)
  return repeated(n, function() return ("%x"):format(random(16) - 1) end, "")
end

local function push()
  local commits = repeated(random(3), function()
    return filled([[{"sha":"$sha","author":{"email":"$word@example.com","name":"$name"},"message":"$text",]]
      .. [["distinct":true,"url":"https://api.example.com/repos/$word/$word/commits/$sha"}]], {
        sha = hexadecimal(40), word = function() return pick(words) end, name = sentence(2), text = sentence(9),
      })
  end)
  return filled([[{"push_id":$id,"size":1,"distinct_size":1,"ref":"refs/heads/master","head":"$sha",]]
    .. [["before":"$sha","commits":[$commits]}]], { id = digits(9), sha = hexadecimal(40), commits = commits })
end

local function person()
  return filled([[{"login":"$login","id":$id,"avatar_url":"https://secure.example.com/avatar/$hash?d=x.png",]]
    .. [["gravatar_id":"$hash","url":"https://api.example.com/users/$login","type":"User",]]
    .. [["html_url":"https://example.com/$login",]]
    .. [["followers_url":"https://api.example.com/users/$login/followers",]]
    .. [["repos_url":"https://api.example.com/users/$login/repos"}]], {
      login = pick(words), id = digits(7), hash = hexadecimal(32),
    })
end

local function comment()
  return filled([[{"action":"created","issue":{"url":"https://api.example.com/repos/x/y/issues/$id","id":$id,]]
    .. [["number":$count,"title":"$title","user":$person,"labels":[],"state":"open","assignee":null,]]
    .. [["milestone":null,"comments":$count,"created_at":"2013-01-02T07:58:30Z","closed_at":null,"body":"$body"},]]
    .. [["comment":{"id":$id,"user":$person,"created_at":"2013-01-10T07:58:30Z",]]
    .. [["updated_at":"2013-01-10T07:58:30Z","body":"$body"}}]], {
      id = digits(7), count = number(400), title = sentence(6), person = person,
      body = function() return sentence(20) .. [[\r\n\r\n\"]] .. sentence(30) .. [[\"]] end,
    })
end

--- What happened at a code host, about 70 KB: objects of many short strings and addresses.
function documents.events()
  seed = 6
  return "[" .. repeated(42, function()
    local kind, payload = "PushEvent", push
    if random(3) == 1 then kind, payload = "IssueCommentEvent", comment end
    return filled([[{"type":"$kind","created_at":"2013-01-10T07:58:30Z","actor":{"gravatar_id":"$hash",]]
      .. [["login":"$word","avatar_url":"https://secure.example.com/avatar/$hash?d=x.png",]]
      .. [["url":"https://api.example.com/users/$word","id":$id},]]
      .. [["repo":{"url":"https://api.example.com/repos/$word/$word","id":$id,"name":"$word/$word"},]]
      .. [["public":true,"org":{"gravatar_id":"$hash","login":"$word","id":$id},"payload":$payload,"id":"$id"}]], {
        kind = kind, payload = payload, hash = hexadecimal(32), id = digits(9),
        word = function() return pick(words) end,
      })
  end) .. "]"
end

--- In the order in which they are reported.
documents.names = { "api", "records", "posts", "catalog", "floats", "events" }
--- Of which well-known files these have the shape, and about the size.
documents.like = { posts = "twitter", catalog = "citm_catalog", floats = "canada", events = "github_events" }

if arg and arg[0] and arg[0]:find "documents%.lua$" then
  for _, name in ipairs(documents.names) do
    local file = assert(io.open(arg[1] .. "/" .. name .. ".json", "w"))
    file:write(documents[name]())
    file:close()
  end
end

return documents
