"""Runs a program of spec/support/, serve.py with the patience that valgrind takes."""

import sys

sys.argv.pop(0)
with open(sys.argv[0], encoding="utf-8") as file:
    code = file.read()
exec(compile(code.replace("\nLONGEST = 10 ", "\nLONGEST = 40 "), sys.argv[0], "exec"))
