#!/usr/bin/env python3
"""What a call costs, each method by each usual shape of call: `make bench-calls`, or in the project's folder

  bench/calls/compare.py LUA MODULES [--old FOLDER] [--rounds N] [--seconds S] [--setting NAME]...

MODULES is the folder of tcp.so. Prints microseconds of CPU time for each call (bench/calls/client.lua), for each
setting: blocking calls of `tcp`, of `tcp.safe`, calls that a function traces, calls in a coroutine of cqueues, of
luv, and of a loop of the script's own; and what blocking calls take by their counterparts of LuaSocket and
lua-cjson. FOLDER holds another build of tcp.so, which is measured by turns with the first: each figure is followed
by its ratio to that one's.

Every figure is the median, over the rounds, of the fastest batch of a process, and every ratio the median of the
ratios of two processes that ran one after the other. Below the table stand ratios between rows.
"""

import argparse
import os
import socket
import statistics
import subprocess
import threading

SETTINGS = ["plain", "safe", "traced", "cqueues", "luv", "own"]
PEER = "luasocket"
CLIENT = "bench/calls/client.lua"
DOCUMENTS = "bench/json"

# What the server sends so many times of.
ITEMS = {b"l": b"abcdef\n", b"L": b"x" * 59 + b"\n", b"j": b'{"id":17}\n', b"p": b'\0\0\0\x09{"id":17}'}
REQUEST = 8

# Rows whose times by those of another, in the same process, say what a shape of call costs. On LuaJIT read_line() is
# compiled, so that others have nothing to do with it.
PAIRS = [
    ("read_line(100)", "read_packet()"),
    ("read_until('\\n')", "read_packet()"),
    ("read(7)", "read_packet()"),
    ("pending()", "read_packet()"),
    ("is_open()", "read_packet()"),
    ("connect(.., {timeout = 5}), close()", "connect(.., 5), close()"),
    ("json.decode small, bad", "json.decode small"),
    ("json.decode 22 KB, bad", "json.decode 22 KB"),
]


def feed(peer):
    """Sends what each request asks for: a letter, and how often in seven digits."""
    with peer, peer.makefile("rb") as requests:
        while request := requests.read(REQUEST):
            peer.sendall(ITEMS[request[:1]] * int(request[1:]))


def swallow(peer):
    with peer:
        while peer.recv(1 << 20):
            pass


def in_thread(answer):
    def guarded(peer):
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer(peer)
        except ConnectionError:
            pass  # the client checks what it needs

    return lambda peer: threading.Thread(target=guarded, args=[peer], daemon=True).start()


def serve(answer):
    """The port of a server that answers each connection so, as long as this process runs."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)

    def accept():
        while True:
            answer(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


class Bench:
    def __init__(self, lua, seconds):
        self.lua, self.seconds = lua, seconds
        self.ports = [serve(in_thread(feed)), serve(in_thread(swallow)), serve(socket.socket.close)]

    def measure(self, setting, modules):
        """The microseconds of each case in one process."""
        path = f"{modules}/?.so;;"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUA_", "TCP_DEBUG"))}
        command = [self.lua, CLIENT, setting, *map(str, self.ports), str(self.seconds), DOCUMENTS]
        done = subprocess.run(command, env=kept | {"LUA_CPATH": path}, check=True, timeout=600,
                              stdout=subprocess.PIPE, text=True)
        *lines, end = done.stdout.splitlines()
        assert end == "end", f"{setting}: {done.stdout}"
        return {name: float(figure) for name, figure in (line.split("\t") for line in lines)}


def median_ratio(ones, others, name):
    """Of a case in processes that ran by pairs; none where either has no such case."""
    pairs = [(one[name], other[name]) for one, other in zip(ones, others) if name in one and name in other]
    return statistics.median(one / other for one, other in pairs) if pairs else None


def text(value, form="{:.2f}"):
    return "-" if value is None else form.format(value)


def cell(new, old, name):
    figures = [each[name] for each in new if name in each]
    if not figures:
        return "-"
    figure = "{:.3g}".format(statistics.median(figures))
    return figure if old is None else f"{figure} ({text(median_ratio(new, old, name))})"


def print_table(runs, settings, old):
    width = 13 if old else 8
    names = list(runs[settings[0], "new"][0])
    print(f"{'':35}" + "".join(f"{each:>{width}}" for each in settings) + f"{'LuaSocket':>11} {'by it':>6}")
    for name in names:
        cells = [cell(runs[each, "new"], runs.get((each, "old")), name) for each in settings]
        peer = runs[PEER, "new"]
        by_peer = median_ratio(runs[settings[0], "new"], peer, name)
        print(f"{name:35}" + "".join(f"{each:>{width}}" for each in cells)
              + f"{cell(peer, None, name):>11} {text(by_peer):>6}")


def print_pairs(runs, settings):
    print("\nOne row by another:")
    for one, other in PAIRS:
        ratios = [statistics.median(each[one] / each[other] for each in runs[setting, "new"]) for setting in settings]
        print(f"{one:35}" + "".join(f"{ratio:>8.2f}" for ratio in ratios) + f"   by {other}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("lua")
    parser.add_argument("modules")
    parser.add_argument("--old")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.02, help="for each case in a process")
    parser.add_argument("--setting", action="append", choices=SETTINGS)
    options = parser.parse_args()

    settings = options.setting or SETTINGS
    builds = {"new": options.modules} | ({"old": options.old} if options.old else {})
    bench = Bench(options.lua, options.seconds)
    runs = {}
    for number in range(options.rounds):
        for setting in [*settings, PEER]:
            for build in sorted(builds, reverse=number % 2 == 1):
                if setting != PEER or build == "new":
                    runs.setdefault((setting, build), []).append(bench.measure(setting, builds[build]))
    by_old = ", and by those of the old build" if options.old else ""
    print(f"{options.lua}: microseconds of CPU time for a call{by_old}; median of {options.rounds} processes")
    print_table(runs, settings, options.old)
    print_pairs(runs, settings)


main()
