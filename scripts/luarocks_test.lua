-- `luarocks test` runs this: `make spec` for the Lua that LuaRocks is set to.
local status = os.execute(("make spec LUA='%s'"):format(arg[-1]))
os.exit((status == true or status == 0) and 0 or 1)
