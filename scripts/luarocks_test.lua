-- What `luarocks test` runs, with the Lua that it was asked to test: `make spec` for that one.
local status = os.execute(("make spec LUA='%s'"):format(arg[-1]))
os.exit((status == true or status == 0) and 0 or 1)
