-- Prints the cargo feature of the interpreter that runs this: lua51 .. lua55, luajit.
io.write(jit and "luajit" or "lua" .. _VERSION:gsub("%D", ""), "\n")
