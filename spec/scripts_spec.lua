-- The script that runs the specs: what it makes of a file that fails beside others.

local helper = require "spec.support.helper"

describe("scripts/spec", function()
  -- A flavor of its own has logs of its own; that of Lua 5.5 is known by how it begins.
  local folder, flavor

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    flavor = (_VERSION == "Lua 5.5" and "lua55-" or "none-") .. folder:match "[^/]+$"
  end)

  after_each(function()
    helper.output(("rm -r %s .build/spec/%s .build/spec/seconds/none_*"):format(folder, flavor))
  end)

  -- Runs spec files of these contents beside each other, or one at a time. Gives what is said
  -- without the times, and whether it went well.
  local function run(bodies, jobs)
    local paths = {}
    for i, body in ipairs(bodies) do
      paths[i] = ("%s/none_%d_spec.lua"):format(folder, i)
      local file = assert(io.open(paths[i], "w"))
      file:write(("it('is tried', function() %s end)"):format(body))
      file:close()
    end
    local said = helper.output(("TCP_SPEC_FILTER= JOBS=%d scripts/spec %s %s %s 2>&1 && echo well"):format(
      jobs, helper.interpreter(), flavor, table.concat(paths, " ")))
    return said:gsub(folder .. "/", ""):gsub(" : [%d.]+ seconds", ""), said:find "well\n$" ~= nil
  end

  local passing = "assert(true)"

  -- Fails the first time that it runs.
  local function failing_once()
    return ("local mark = %q if not io.open(mark) then io.open(mark, 'w'):close() assert(false, 'not yet') end"):format(
      folder .. "/mark")
  end

  it("runs once more, alone, what failed beside others, and tells both", function()
    local said, is_well = run({ failing_once(), passing }, 2)
    assert.is_true(is_well, said)
    local log = (".build/spec/%s/none_1_spec.lua.first.log"):format(flavor)
    assert.matches("none_1_spec.lua +1 success%w* / 0 failures / 0 errors / 0 pending "
      .. "%(failed beside others; its first output is in " .. log:gsub("%p", "%%%0") .. "%)\n", said)
    assert.matches("    .-not yet", said)
    assert.matches("not yet", helper.contents(log))
    assert.matches("none_2_spec.lua +1 success%w* / 0 failures / 0 errors / 0 pending\n", said)
    assert.matches("\n2 successes / 0 failures / 0 errors / 0 pending\n", said)
  end)

  it("fails where it fails alone, too", function()
    local said, is_well = run({ "assert(false, 'never')", passing }, 2)
    assert.is_false(is_well, said)
    assert.matches("failed beside others", said)
    assert.matches("never.-  and alone:\n.-never", said)
    assert.matches("\n1 successes / 1 failures / 0 errors / 0 pending\n", said)
  end)

  it("fails at once where nothing runs beside", function()
    local said, is_well = run({ failing_once(), passing }, 1)
    assert.is_false(is_well, said)
    assert.not_matches("beside others", said)
  end)
end)
