--- The memory that a process needs which decodes, or encodes, one document over and over, with
-- lua-cjson and with tcp: `LUA bench/json/memory.lua`, with tcp on LUA_CPATH. Linux only: it reads
-- VmHWM.

local folder = arg[0]:match "^(.*)/" or "."
package.path = folder .. "/?.lua;" .. package.path

local documents = require "documents"

local libraries = {
  cjson = function() return require "cjson" end,
  tcp = function() return require "tcp".json end,
}

local function peak()
  for line in io.lines "/proc/self/status" do
    local size = line:match "^VmHWM:%s*(%d+) kB"
    if size then return tonumber(size) end
  end
end

-- A process for one figure: what it needs more than the library and the document alone.
local function measure(library, name, action)
  local codec, text = libraries[library](), documents[name]()
  local argument = action == "encode" and codec.decode(text) or text
  collectgarbage()
  local before, run = peak(), codec[action]
  for _ = 1, math.max(20, 20e6 / #text) do
    run(argument)
  end
  print(peak() - before)
end

local library, name, action = ...
if library then return measure(library, name, action) end

local this = arg[-1] .. " " .. arg[0] .. " "

local function figure(...)
  local child = io.popen(this .. table.concat({ ... }, " "))
  local size = child:read "*n"
  child:close()
  return size
end

print(("%s, kB at the peak"):format(type(jit) == "table" and jit.version or _VERSION))
print(("%-8s  %20s  %20s"):format("document", "decode: cjson    tcp", "encode: cjson    tcp"))
for _, document in ipairs(documents.names) do
  print(("%-8s  %13d %6d  %13d %6d"):format(document,
    figure("cjson", document, "decode"), figure("tcp", document, "decode"),
    figure("cjson", document, "encode"), figure("tcp", document, "encode")))
end
