"""Runs a program of spec/support/, serve.py with the patience that valgrind takes; or `-c CODE`."""

import sys

sys.argv.pop(0)
if sys.argv[0] == "-c":
    code = sys.argv.pop(1)
else:
    with open(sys.argv[0], encoding="utf-8") as file:
        code = file.read()
exec(compile(code.replace("\nLONGEST = 10 ", "\nLONGEST = 40 "), sys.argv[0], "exec"))
