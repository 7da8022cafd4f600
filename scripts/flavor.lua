-- Prints the cargo feature of this interpreter: lua51 .. lua55, luajit.
io.write(jit and "luajit" or "lua" .. _VERSION:gsub("%D", ""), "\n")
