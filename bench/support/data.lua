--- The values that are sent as JSON: `small` makes 300 bytes, `large` 1,024, with any encoder. Each has an
-- `id` of six digits, which is counted up. `lua data.lua NAME` prints one, encoded by lua-cjson.

local data = {}

data.small = {
  id = 100000, host = "node-0042.example.net", check = "disk", ok = true, value = 73.5, threshold = 90,
  message = "volume data is filling up, 73.5 percent of it in use; the next look is in a minute, mail goes out over 90",
  labels = { zone = "eu-1", rack = "r42", owner = "storage" },
  samples = { 412, 87, 1630, 2048 },
}

local function item(sku, name, price, quantity)
  return { sku = sku, name = name, price = price, quantity = quantity, tags = { "new", "sale" } }
end

data.large = {
  id = 100000, request = "84210397-550923117406", status = "ok", code = 200, cached = false, took = 12.75,
  user = {
    id_text = "u-77120", name = "Maria Oliveira", email = "maria@example.com", active = true,
    roles = { "admin", "editor", "viewer" },
  },
  items = {
    item("A-100417", "alpha monitor", 18.25, 1),
    item("A-203391", "status queue", 7.5, 2),
    item("A-381120", "latency check", 99.75, 3),
    item("A-450268", "disk servidor", 64.5, 4),
    item("A-592755", "node value", 31.25, 5),
  },
  page = 3, pages = 17, total = 168, server = "app-07.example.net", version = "2.14.1",
  note = "Answers are kept for a minute; ask again with the same request to get the same page. Older pages are "
    .. "thrown away when the list changes, and then the first page is sent instead of them. All of it is told in "
    .. "the manual, in chapters 4 and 11, too.",
}

if arg and arg[0] and arg[0]:find "data%.lua$" then
  io.write(require "cjson".encode(data[arg[1]]))
end

return data
