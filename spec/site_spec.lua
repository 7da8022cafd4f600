-- The pages of `make docs`: every link leads to what is there, nothing comes from elsewhere, and no
-- page is wider than a telephone. It is one site, so one Lua builds it, but not in `make quick`.
--
-- Widths are measured in Chromium where that is installed. It is large, so scripts/deps does not
-- install it; everywhere else, what can be wide must be in a box that scrolls.

local helper = require "spec.support.helper"

local has_pandoc = helper.output "command -v pandoc" ~= ""
local chromium = helper.output "command -v chromium || command -v google-chrome":match "[^\n]+"

describe("the site", function()
  if _VERSION ~= "Lua 5.4" or helper.is_quick then return pending "is built by `make test`, on Lua 5.4" end

  local folder, pages, names

  setup(function()
    if not has_pandoc then return end
    folder = os.tmpname()
    os.remove(folder)
    local said = helper.output(("docs/html/build %s 2>&1"):format(folder))
    assert.equal(folder .. "/index.html\n", said)
    pages, names = {}, {}
    for name in helper.output(("cd %s && ls *.html"):format(folder)):gmatch "[^\n]+" do
      names[#names + 1] = name
      pages[name] = helper.contents(folder .. "/" .. name)
    end
  end)

  teardown(function()
    if folder then helper.output("rm -r " .. folder) end
  end)

  -- Whether pages can be looked at here.
  local function built()
    if not has_pandoc then helper.excuse "pandoc" end
    return has_pandoc
  end

  it("has a page for each file that people read", function()
    if not built() then return pending "needs pandoc" end
    for path in helper.output "ls docs/*.md examples/*.lua examples/*.escript docs/decisions/*.md":gmatch "[^\n]+" do
      local name = path:gsub("^docs/", ""):gsub("%.md$", ""):gsub("/?README$", ""):gsub("/", "-") .. ".html"
      assert(pages[name], path)
    end
    for name in ("index README.pt-br CHANGELOG CONTRIBUTING RELIABILITY SECURITY bench"):gmatch "%S+" do
      assert(pages[name .. ".html"], name)
    end
  end)

  it("has no link that leads nowhere", function()
    if not built() then return pending "needs pandoc" end
    local ids, count = {}, 0
    for name, page in pairs(pages) do
      ids[name] = {}
      for id in page:gmatch ' id="([^"]*)"' do ids[name][id] = true end
    end
    for name, page in pairs(pages) do
      for link in page:gmatch ' href="([^"]*)"' do
        if not link:find "^https?://" and not link:find "^data:" then
          local path, fragment = link:match "^([^#]*)#?(.*)$"
          local target = path == "" and name or path
          if ids[target] then
            assert(fragment == "" or ids[target][fragment], name .. ": " .. link)
          else
            local file = assert(io.open(folder .. "/" .. target), name .. ": " .. link)
            file:close()
          end
          count = count + 1
        end
      end
    end
    assert(count > 2000, count)
  end)

  it("leads from each page to each page", function()
    if not built() then return pending "needs pandoc" end
    local reached, queue = { ["index.html"] = true }, { "index.html" }
    while #queue > 0 do
      for link in pages[table.remove(queue)]:gmatch ' href="([%w_.-]+%.html)' do
        if not reached[link] then
          reached[link] = true
          queue[#queue + 1] = link
        end
      end
    end
    for _, name in ipairs(names) do assert(reached[name], name) end
  end)

  it("asks nobody else for anything", function()
    if not built() then return pending "needs pandoc" end
    for name, page in pairs(pages) do
      for source in page:gmatch '%ssrc="([^"]*)"' do
        local file = assert(not source:find ":" and io.open(folder .. "/" .. source), name .. ": " .. source)
        file:close()
      end
      for tag in page:gmatch "<link [^>]*>" do assert(not tag:find "//", name .. ": " .. tag) end
    end
    for _, name in ipairs { "style.css", "site.js" } do
      assert.is_nil(helper.contents(folder .. "/" .. name):find "%f[%w]https?://", name)
      assert.is_nil(helper.contents(folder .. "/" .. name):find("@import", 1, true), name)
    end
  end)

  it("marks the page that is open, once", function()
    if not built() then return pending "needs pandoc" end
    for name, page in pairs(pages) do
      local _, marked = page:gsub(" aria%-current=", "")
      assert.equal(1, marked, name)
      if page:find('aria-current="page"', 1, true) then
        assert(page:find('<a href="' .. name .. '" aria-current="page"', 1, true), name)
      end
    end
  end)

  it("has each page's translation behind a switch", function()
    if not built() then return pending "needs pandoc" end
    for _, name in ipairs(names) do
      local english = name:match "^(.*)%.pt%-br%.html$"
      if english then
        english = (english == "README" and "index" or english) .. ".html"
        assert(pages[name]:find '<html lang="pt%-BR"', name)
        assert(pages[name]:find('class="language" href="' .. english .. '"', 1, true), name)
        assert(pages[english]:find('class="language" href="' .. name .. '"', 1, true), name)
      end
    end
  end)

  it("can be searched in both languages", function()
    if not built() then return pending "needs pandoc" end
    for language, words in pairs { en = "conn:read_line", ["pt-BR"] = "Exemplos em português" } do
      local index = helper.contents(("%s/search.%s.js"):format(folder, language))
      assert.matches("^search_in%(%[%[", index)
      assert(index:find(words, 1, true), language)
      for name in index:gmatch '%["([^"]+%.html)"' do assert(pages[name], name) end
    end
  end)

  it("has what is wide in a box that scrolls", function()
    if not built() then return pending "needs pandoc" end
    local style = helper.contents(folder .. "/style.css")
    assert.matches("\npre {[^}]*overflow%-x: auto", style)
    assert.matches("\n%.wide {[^}]*overflow%-x: auto", style)
    for name, page in pairs(pages) do
      for _, tag in ipairs { "table", "img" } do
        local _, all = page:gsub("<" .. tag .. "[ >]", "")
        local _, boxed = page:gsub('<div class="wide"><' .. tag .. "[ >]", "")
        assert.equal(all, boxed, name .. ": " .. tag)
      end
      assert.is_nil(page:find "<iframe" or page:find "<video" or page:find "<svg", name)
    end
  end)

  -- What a page that is put beside the others holds once its scripts have run.
  local function shown(page)
    local file = assert(io.open(folder .. "/looked_at.htm", "w"))
    file:write(page)
    file:close()
    local said = helper.output(("timeout 120 %s --headless --no-sandbox --disable-gpu --hide-scrollbars "
      .. "--allow-file-access-from-files --virtual-time-budget=20000 --dump-dom file://%s/looked_at.htm 2>/dev/null")
      :format(chromium, folder))
    os.remove(folder .. "/looked_at.htm")
    return said
  end

  it("finds a method by a part of its name, and a heading without its accents", function()
    if not built() then return pending "needs pandoc" end
    if not chromium then return pending "needs Chromium" end
    for page, query in pairs { ["tls.html"] = "read_lin", ["README.pt-br.html"] = "conexao" } do
      local said = shown(([[<iframe src="%s"></iframe><pre id="all"></pre><script>
        document.querySelector("iframe").onload = event => {
          const page = event.target.contentDocument
          const field = page.querySelector("#search")
          field.value = %q
          field.dispatchEvent(new Event("focus"))
          setTimeout(() => {
            const first = page.querySelector("#found a")
            document.querySelector("#all").textContent = `first: ${first.getAttribute("href")} ${first.textContent}`
          }, 5000)
        }
      </script>]]):format(page, query))
      assert.matches(query == "conexao" and "first: README.pt%-br.html#[^ ]+ .*onex"
        or "first: reading%-and%-writing.html#connread_line", said)
    end
  end)

  -- A page of frames, as wide as a telephone and as a screen, which writes what sticks out.
  it("is no wider than a telephone, measured", function()
    if not built() then return pending "needs pandoc" end
    if not chromium then return pending "needs Chromium" end
    local frames = {}
    for _, name in ipairs(names) do
      for _, width in ipairs { 390, 1280 } do
        frames[#frames + 1] = ('<iframe width="%d" height="800" src="%s"></iframe>'):format(width, name)
      end
    end
    local said = shown(table.concat(frames) .. [[<pre id="all"></pre><script>
      addEventListener("load", () => {
        const lines = [...document.querySelectorAll("iframe")].map(frame =>
          `${frame.getAttribute("src")} ${frame.width} ${frame.contentDocument.documentElement.scrollWidth}`)
        document.querySelector("#all").textContent = lines.join("\n") + "\n"
        for (const frame of document.querySelectorAll("iframe")) frame.remove()
      })
    </script>]])
    local count = 0
    for name, width, measured in said:gmatch "([%w_.-]+%.html) (%d+) (%d+)" do
      assert.equal(width, measured, name)
      count = count + 1
    end
    assert.equal(#names * 2, count, said)
  end)
end)
