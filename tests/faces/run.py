#!/usr/bin/env python3
"""run.py LUA FOLDER-WITH-TCP.SO CLIENTS: runs the suites of LuaSocket's and LuaSec's clients that
are in the folder CLIENTS, on LuaSocket and LuaSec, and on tcp.luasocket in their place. Prints how
many tests passed on each.

Nothing is fetched. A suite is a repository's clone under its own name: luasocket, luasec,
redis-lua, pgmoon, luamqtt, lua-websockets, copas, lua-memcached; to run them also
telescope, moonscript, binaryheap.lua and timerwheel.lua. Each runs in a copy, in which the
addresses of other machines are replaced by the loopback's, and in a network namespace of its own
where that can be had."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "support"))

import suites  # noqa: E402
from alone import in_namespace  # noqa: E402


class Place:
    """Where a suite runs: a copy of its repository, and the Lua that it runs on."""

    def __init__(self, lua, library, clients, name, face):
        self.lua, self.face, self.clients = lua, face, clients
        self.folder = Path(tempfile.mkdtemp(prefix=f"faces-{name}-"))
        self.repository = self.folder / name
        shutil.copytree(clients / name, self.repository, symlinks=True)
        self.started = []
        paths = [clients / "binaryheap.lua/src", clients / "timerwheel.lua/src",
                 clients / "copas/src", clients / "telescope", clients / "moonscript"]
        lua_path = "".join(f"{path}/?.lua;{path}/?/init.lua;" for path in paths)
        self.environment = {
            **os.environ,
            "LUA_INIT": f"@{HERE / 'start.lua'}",
            "LUA_PATH": f"{lua_path};",
            "LUA_CPATH": f"{library}/?.so;;",
            "TCP_FACE": "1" if face else "0",
            "HOME": str(self.folder),
        }

    def edit(self, path, *pairs):
        """Replaces patterns in a file of the copy."""
        file = self.repository / path
        text = file.read_text(errors="surrogateescape")
        for pattern, replacement in pairs:
            text = re.sub(pattern, replacement, text, flags=re.M)
        file.write_text(text, errors="surrogateescape")

    def start(self, command, port=None, cwd=None, **environment):
        """Starts a server, and waits until its port is open."""
        log = open(self.folder / "server.log", "a")
        process = subprocess.Popen(command, cwd=cwd or self.repository, stdout=log, stderr=log,
                                   start_new_session=True,
                                   env={**self.environment, **environment})
        self.started.append(process)
        if port:
            ready(port, process)
        return process

    def run(self, command, cwd=None, timeout=300, **environment):
        """Runs a command to its end: its code and output. 124 is a timeout."""
        with open(self.folder / "output", "w+b") as output:
            process = subprocess.Popen(command, cwd=cwd or self.repository, stdout=output,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       start_new_session=True,
                                       env={**self.environment, **environment})
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
                code = 124
            output.seek(0)
            return code, output.read().decode(errors="replace")

    def stop(self, process):
        self.started.remove(process)
        try:
            os.killpg(process.pid, 15)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            try:
                os.killpg(process.pid, 9)
            except ProcessLookupError:
                pass
            process.wait()

    def end(self):
        for process in list(self.started):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)


def ready(port, process):
    """Waits until a server listens at a port, without connecting to it, or has ended."""
    wanted, until = f":{port:04X} ", time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        lines = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        if any(wanted in line and " 0A " in line for line in lines.splitlines()):
            return
        time.sleep(0.05)


def version(folder):
    describe = ["git", "-C", str(folder), "log", "-1", "--format=%h of %cs"]
    found = subprocess.run(describe, capture_output=True, text=True)
    return found.stdout.strip() or "?"


def main():
    lua, library, clients = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    only = sys.argv[4:]
    alone = in_namespace()
    print(f"{lua}; network: {'the loopback alone' if alone else 'not separated'}\n")
    print("| suite | version | LuaSocket, LuaSec | tcp.luasocket | |")
    print("|---|---|---|---|---|")
    worse = False
    for name, title, suite in suites.ALL:
        if only and name not in only and title not in only:
            continue
        if not (clients / name).is_dir():
            print(f"| {title} | not in {clients} | | | |", flush=True)
            continue
        outcomes = []
        for face in (False, True):
            place = Place(lua, library, clients, name, face)
            try:
                outcomes.append(suite(place))
            except suites.Missing as why:
                outcomes.append(None)
                print(f"| {title} | {version(clients / name)} | needs {why} | | |", flush=True)
                break
            finally:
                place.end()
        if None in outcomes:
            continue
        theirs, ours = outcomes
        lost = sorted(set(theirs.passed) - set(ours.passed))
        worse = worse or bool(lost)
        note = "the same" if not lost else "not " + ", ".join(lost)
        print(f"| {title} | {version(clients / name)} | {theirs} | {ours} | {note} |", flush=True)
    sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
