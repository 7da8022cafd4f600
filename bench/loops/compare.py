#!/usr/bin/env python3
"""Ten thousand connections at once in one Lua process, each exchanging packets: `make bench-loops`, or in
the project's folder: bench/loops/compare.py LUA MODULES [CONNECTIONS [PACKETS [ROUNDS]]].

The module in a loop of cqueues and of luv, beside cqueues' own sockets and luv's, each in a process of its own
and in turn; the other end is bench/loops/echo.c. Prints medians over the rounds: packets per second by those
of the better of the two others in the same round (over 1: more), the same for CPU time, and the memory of
each connection. MODULES is the folder of tcp.so.

"C" makes the same system calls in C (bench/loops/exchange.c). A "floor" is a coroutine in that loop which sends,
waits and receives, and has nothing else (bench/native/least.c).
"""

import datetime
import json
import os
import resource
import statistics
import subprocess
import sys

PEERS = ["tcp+luv", "tcp+cqueues", "luv", "cqueues", "C", "floor+luv", "floor+cqueues"]
OTHERS = PEERS[2:4]
WANTED = 1.00  # packets per second by those of the better of the others
FOLDER = ".build/bench"
ECHO = f"{FOLDER}/echo"


def measure(lua, peer, connections, packets):
    """Wall seconds, CPU seconds, and bytes for each connection."""
    with subprocess.Popen([ECHO, "300"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
        port = echo.stdout.readline().decode().strip()
        client = [f"{FOLDER}/exchange"] if peer == "C" else [lua, "bench/loops/client.lua", peer]
        command = client + [port, str(connections), str(packets)]
        output = subprocess.run(command, check=True, timeout=300, stdout=subprocess.PIPE).stdout
        echo.stdin.close()
    return [float(word) for word in output.split()]


def main(lua, modules, connections=9900, packets=10, rounds=5):
    connections, packets, rounds = int(connections), int(packets), int(rounds)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.environ["LUA_CPATH"] = f"{modules}/?.so;{FOLDER}/?.so;;"
    os.makedirs(FOLDER, exist_ok=True)
    for program in ["echo", "exchange"]:
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", f"{FOLDER}/{program}", f"bench/loops/{program}.c"],
                       check=True)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", f"{FOLDER}/least.so", "bench/native/least.c", "-lssl",
                    "-lcrypto"], check=True)

    figures = {peer: [] for peer in PEERS}
    for turn in range(rounds):
        for peer in PEERS[turn % len(PEERS):] + PEERS[:turn % len(PEERS)]:
            figures[peer].append(measure(lua, peer, connections, packets))
    print("%s: %d connections, %d packets there and back on each, median of %d rounds" % (
        lua, connections, packets, rounds))
    print("%-14s %8s %8s %10s" % ("", "packets", "CPU", "memory"))
    rows = {}
    for peer in PEERS:
        ratios = [statistics.median(
            min(figures[other][turn][which] for other in OTHERS) / figures[peer][turn][which]
            for turn in range(rounds)) for which in (0, 1)]
        memory = statistics.median(figure[2] for figure in figures[peer])
        rows[peer] = {"packets": ratios[0], "cpu": ratios[1], "memory": memory}
        misses = "  misses %.2f" % WANTED if peer.startswith("tcp") and ratios[0] < WANTED else ""
        print("%-14s %8.2f %8.2f %8.0f B%s" % (peer, *ratios, memory, misses))
    idle = measure(lua, "tcp idle", connections, 1)[2]
    print("An idle connection without a coroutine: %.0f B" % idle)
    result = {"date": datetime.date.today().isoformat(), "connections": connections, "packets": packets,
              "rounds": rounds, "wanted": WANTED, "rows": rows, "idle": idle}
    with open(f"{FOLDER}/loops.{os.path.basename(os.path.normpath(modules))}", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)


main(*sys.argv[1:])
