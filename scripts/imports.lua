-- imports.lua FOLDER: prints the imports between the modules of a crate, a pair of files a line, as
-- tsort(1) takes them. `mod tests` does not count.

local root = assert(arg[1], "imports.lua FOLDER")

local files = {} -- by the module's path, the crate's own being ""
local listing = io.popen(("find '%s' -name '*.rs'"):format(root))
for file in listing:lines() do
  local path = file:sub(#root + 2, -4):gsub("/mod$", ""):gsub("^lib$", ""):gsub("/", "::")
  files[path] = file
end
listing:close()

-- Returns a path without its last name.
local function parent(path)
  return path:match "^(.*)::[^:]*$" or ""
end

local function join(a, b)
  return (a .. "::" .. b):gsub("^::", ""):gsub("::$", "")
end

-- Calls `see` with each path of a tree such as `a::{b, c::{d, e}}`.
local function expand(tree, see)
  local head, group = tree:match "^(.-)(%b{})$"
  if not head then return see(tree) end
  local hidden = group:sub(2, -2):gsub("%b{}", function(inner) return (inner:gsub(",", ";")) end)
  for item in hidden:gmatch "[^,]+" do expand(head .. item:gsub(";", ","), see) end
end

-- Returns the path from the crate's root, for a path that stands in the module `here`.
local function absolute(path, here)
  local first, rest = path:match "^(%w+)::(.*)$"
  if first == "crate" then return rest end
  if first == "self" then return absolute(rest, here) end
  if first == "super" then return absolute(rest, parent(here)) end
  return join(here, path)
end

for here, file in pairs(files) do
  local source = assert(io.open(file)):read "*a":gsub("//[^\n]*", ""):gsub("#%[cfg%(test%)%]%s*mod .*", "")
  for tree in source:gmatch "%f[%w]use%s+([^;]+);" do
    expand(tree:gsub("%s+as%s+%w+", ""):gsub("%s", ""), function(path)
      local used = absolute(path, here)
      while used ~= "" and not files[used] do used = parent(used) end
      if used ~= here and used ~= "" then print(file, files[used]) end
    end)
  end
end
