-- A filter for pandoc: what the pages need besides what GitHub does with them. The title is the first
-- heading; links to pages of ours lead to their HTML; a table may be wider than the screen.
-- luacheck: read globals pandoc
-- luacheck: globals Link Table Pandoc

local function text_of(block)
  return pandoc.utils.stringify(block)
end

-- README.md is the index; all pages are in one folder.
local function rewrite(target)
  if target:find "^%a+:" then return target end
  local path, fragment = target:match "^([^#]*)(.*)$"
  local name = path:match "([^/]+)%.md$"
  if not name then return target end
  return (name == "README" and "index" or name) .. ".html" .. fragment
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
