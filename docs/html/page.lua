-- A filter for pandoc: what the pages need besides what GitHub does with them. The title is the first
-- heading; links to pages of ours lead to their HTML; a table may be wider than the screen.
-- luacheck: read globals pandoc PANDOC_STATE
-- luacheck: globals Link Table Pandoc

local function text_of(block)
  return pandoc.utils.stringify(block)
end

-- All pages are in one folder, README.md as the index: docs/decisions/lines.md is decisions-lines,
-- and the README of a folder has the folder's name. `docs/html/build` names them likewise.
local function name_of(path)
  local name = path:gsub("%.md$", ""):gsub("^docs/", ""):gsub("/?README$", ""):gsub("/", "-")
  return name == "" and "index" or name
end

local folder = (PANDOC_STATE.input_files[1] or ""):match "^(.*/)" or ""

local function rewrite(target)
  if target:find "^%a+:" then return target end
  local path, fragment = target:match "^([^#]*)(.*)$"
  if not path:find "%.md$" then return target end
  path = folder .. path
  local count
  repeat
    path, count = path:gsub("[^/]+/%.%./", "", 1)
  until count == 0
  return name_of(path) .. ".html" .. fragment
end

function Link(link)
  link.target = rewrite(link.target)
  return link
end

function Table(table)
  return pandoc.Div({ table }, { class = "wide" })
end

function Pandoc(doc)
  for i, block in ipairs(doc.blocks) do
    if block.t == "Header" and block.level == 1 then
      doc.meta.title = text_of(block)
      table.remove(doc.blocks, i)
      break
    end
  end
  doc.meta["is-" .. text_of(doc.meta.page)] = true
  return doc
end
