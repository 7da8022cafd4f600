#!/usr/bin/env python3
"""Many checks at once in one Lua process: `make bench-many`, or in the project's folder:
bench/many/compare.py LUA MODULES [TCP_CHECKS [TLS_CHECKS [ROUNDS]]].

`tcp.map`, the module in loops of cqueues and of luv, and cqueues' and luv's own sockets (luv has no TLS),
each in a process of its own and in turn. Prints medians over the rounds: wall seconds, CPU seconds, and
the memory of each check at the peak. MODULES is the folder of tcp.so.
"""

import os
import resource
import statistics
import subprocess
import sys

ECHO = ".build/bench/echo"
CERTIFICATES = ".build/spec/certificates"


def measure(server, lua, peer, count, *more):
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        port = other.stdout.readline().decode().strip()
        command = [lua, "bench/many/client.lua", peer, port, str(count), *more]
        output = subprocess.run(command, check=True, timeout=300, stdout=subprocess.PIPE).stdout
        other.stdin.close()
    return [float(word) for word in output.split()]


def compare(title, rounds, peers, run):
    figures = {peer: [] for peer in peers}
    for turn in range(rounds):
        for peer in peers[turn % len(peers):] + peers[:turn % len(peers)]:
            figures[peer].append(run(peer))
    print(title)
    print("%-12s %8s %8s %10s" % ("", "wall", "CPU", "memory"))
    for peer in peers:
        medians = [statistics.median(column) for column in zip(*figures[peer])]
        print("%-12s %6.2f s %6.2f s %8.0f B" % (peer, *medians))


def main(lua, modules, tcp_checks=10000, tls_checks=2000, rounds=3):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.environ["LUA_CPATH"] = modules + "/?.so;;"
    os.makedirs(os.path.dirname(ECHO), exist_ok=True)
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", ECHO, "bench/loops/echo.c"], check=True)
    subprocess.run(["sh", "spec/support/make_ca.sh", CERTIFICATES], check=True)

    compare(
        "%s: %s checks over TCP, median of %s rounds" % (lua, tcp_checks, rounds), int(rounds),
        ["tcp", "tcp+cqueues", "tcp+luv", "cqueues", "luv"],
        lambda peer: measure([ECHO, "300"], lua, peer, tcp_checks))
    server = ["python3", "bench/many/tls_server.py", CERTIFICATES + "/good.pem", CERTIFICATES + "/good.key", "300"]
    compare(
        "%s: %s checks over TLS, median of %s rounds" % (lua, tls_checks, rounds), int(rounds),
        ["tcp", "tcp+cqueues", "tcp+luv", "cqueues"],
        lambda peer: measure(server, lua, peer, tls_checks, CERTIFICATES + "/root.pem"))


main(*sys.argv[1:])
