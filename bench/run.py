#!/usr/bin/env python3
"""This module beside the libraries that it replaces, in one run: `make bench`, or in the project's folder

  bench/run.py [--quick] [--rounds N] [--lua NAME]... [--scenario NAME]... [--peer NAME]... [--chart]
               [--before FOLDER] [--path FOLDER]
  bench/run.py --one SCENARIO PEER [--lua NAME] [--with 'strace -c -f']

Each figure comes from processes of its own, a server and a client. The peers of a scenario take turns,
round by round, in an order that shifts; a ratio is the median, over the rounds, of a peer's figure by that
of LuaSocket, LuaSec and lua-cjson in the same round. So only ratios are printed; the times behind them
are in .build/bench/result.json. `--chart` draws bench/chart.svg of them. `--quick` does a tenth of the
work, to try. `--one` runs one client alone, under another command if wanted. With `--before`, another
build of the module takes its turn, too; it is FOLDER/FLAVOR/tcp.so, FLAVOR as in .build.

The module stands there in four ways that scripts write: `tcp` as the README has it, `options` with a table
of options for each connection and a limit for each read that takes one, `safe` with tcp.safe, and `run` in
a task of tcp.run. The code is the same, bench/clients/tcp.lua; they are peers of their own.

It wants a C compiler, OpenSSL's headers, and the module built for each Lua (`make module LUA=luajit`). A
peer that is not installed, or has no TLS, gets a dash. With `--path`, modules are looked for in FOLDER/FLAVOR, too,
where a peer that no package has may have been built; `net` is mah0x211's lua-net. What is compared with other
programs besides (`others`) has their figures in the next line.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys

FOLDER = ".build/bench"
CERTIFICATES = ".build/spec/certificates"
MIB = 1 << 20

STACK = "luasocket"
PEERS = {
    "tcp": "tcp",
    "options": "tcp with options",
    "safe": "tcp.safe",
    "run": "tcp in tcp.run",
    "before": "the build before",
    "luasocket": "LuaSocket + LuaSec + cjson",
    "cqueues": "cqueues + cjson",
    "luv": "luv + cjson",
    "net": "lua-net + cjson",
    "limit": "C",
    "floor": "the least for a Lua module",
    "socat": "socat",
}
# The ways to write a script with this module, besides that of the README.
WAYS = ["options", "safe", "run"]
OURS = ["tcp", *WAYS, "before"]
# Peers that are programs of their own, for scenarios that name them.
PROGRAMS = ["socat"]
# What bench/clients/net.lua does.
NET = ["round_trips", "read_packets", "write_packets", "read_lines", "lines", "read_once", "read_often", "connects",
       "unix_lines", "require"]
LUAS = ["lua5.4", "luajit"]


class Scenario:
    """What is done: `count` times, of `size` bytes where that means something. `reach` is the ratio that
    is wanted on Lua 5.4, and on LuaJIT where that is another one; it is one of wall times by those of `by`, and
    wanted of `of`, one of OURS. `memory` is the most bytes at the peak. With a `floor`, there is something that
    no module for Lua can do without: the copy that a string is, OpenSSL's libraries, the table that a packet is
    made from or becomes, the wait of a connect that has a deadline. It is bench/clients/floor.lua. `ways` is
    whether the ways of WAYS are told apart, `others` are programs that do the same."""

    def __init__(self, name, title, count, size, reach, luajit=None, memory=None, without=(), floor=False, others=(),
                 by=STACK, of="tcp", ways=True):
        self.name, self.title, self.count, self.size = name, title, count, size
        self.reach = {"lua5.4": reach, "luajit": luajit or reach}
        self.by, self.of = by, of
        self.memory = memory
        self.floor, self.others = floor, others
        self.without = ([*without] + ([] if name in NET else ["net"]) + ([] if floor else ["floor"])
                        + ([] if ways else WAYS) + [each for each in PROGRAMS if each not in others])

    def scaled(self, quick):
        if not quick:
            return self.count, self.size
        if self.name in ("read_once", "read_tls", "copy"):
            return self.count, self.size // 10
        return max(self.count // 10, 10), self.size


SCENARIOS = [
    Scenario("round_trips", "20,000 round trips of 1 KB JSON", 20_000, 1024, 0.62, luajit=0.70, floor=True),
    Scenario("round_trips_tls", "the same over TLS", 20_000, 1024, 0.70, luajit=0.75, without=["luv"], floor=True),
    Scenario("read_packets", "read 200,000 JSON packets of 300 B", 200_000, 300, 0.42, floor=True),
    Scenario("write_packets", "write 200,000 JSON packets of 300 B", 200_000, 300, 0.56, floor=True),
    Scenario("read_lines", "2,000,000 x read_line, 60 B", 2_000_000, 60, 0.80, luajit=0.35, floor=True),
    Scenario("lines", "2,000,000 lines by an iterator, 60 B", 2_000_000, 60, 0.36, luajit=0.13, floor=True),
    Scenario("read_once", "read until EOF, 1 GiB once", 1, 1024 * MIB, 0.52, memory=2.05 * 1024 * MIB, floor=True,
             ways=False),
    Scenario("read_often", "read until EOF, 100 x 8 MiB", 100, 8 * MIB, 0.48, floor=True),
    Scenario("read_tls", "512 MiB over TLS", 1, 512 * MIB, 1.03, by="limit", without=["luv"]),
    Scenario("handshakes", "500 verified TLS handshakes", 500, 0, 1.03, by="limit", without=["luv"]),
    Scenario("resumed", "500 resumed, by 500 full", 500, 1, None, without=["luasocket", "cqueues", "luv"], ways=False),
    Scenario("connects", "5,000 connects to an address", 5_000, 0, 0.93, luajit=0.85, floor=True, of="options"),
    Scenario("unix_lines", "50,000 round trips by Unix socket", 50_000, 60, None),
    Scenario("copy", "hand on 2 GiB", 1, 2048 * MIB, None, others=["socat"], ways=False),
    Scenario("read_two", "read 200,000 packets, 2-byte length", 200_000, 300, None),
    Scenario("write_two", "write 200,000 packets, 2-byte length", 200_000, 300, None),
    Scenario("read_varint", "read 200,000 packets, varint length", 200_000, 300, None),
    Scenario("write_varint", "write 200,000 packets, varint length", 200_000, 300, None),
    Scenario("match_lines", "500,000 lines by a pattern", 500_000, 60, None),
    Scenario("require", "require and exit", 100, 0, 0.60, floor=True, ways=False),
]

REQUIRES = {
    **dict.fromkeys(OURS, 'require "tcp"'),
    "luasocket": 'require "socket" require "ssl" require "cjson"',
    "cqueues": 'require "cqueues" require "cqueues.socket" require "openssl.ssl.context" require "cjson"',
    "luv": 'require "luv" require "cjson"',
    "net": 'require "net.stream.inet" require "cjson"',
    "limit": "",  # the interpreter alone
    "floor": 'require "openssl_only"',
}

# Blocks as large as those of `copy_to`, and not the 8 KiB that socat has by itself.
SOCAT = ["socat", "-u", "-b", "262144"]

# What a run of a client gives, in the order in which `measure` prints it.
FIGURES = ["wall", "whole", "user", "system", "peak"]


def flavor(lua):
    return subprocess.check_output([lua, "scripts/flavor.lua"], text=True).strip()


def prepare(luas, before=None):
    """Compiles the C programs, and copies what is measured: the modules, certificates, packets."""
    os.makedirs(FOLDER, exist_ok=True)
    for program in ["server", "client", "measure"]:
        libraries = [] if program == "measure" else ["-lssl", "-lcrypto"]
        subprocess.check_call(
            ["cc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-o", f"{FOLDER}/{program}", f"bench/native/{program}.c"]
            + libraries)
    subprocess.check_call(["sh", "spec/support/make_ca.sh", CERTIFICATES])
    for file, source in [("root.pem", "root.pem"), ("server.pem", "good.pem"), ("server.key", "good.key")]:
        shutil.copy(f"{CERTIFICATES}/{source}", f"{FOLDER}/{file}")
    for name, size in [("small", 300), ("large", 1024)]:
        packet = subprocess.check_output([luas[0], "bench/support/data.lua", name])
        assert len(packet) == size, f"{name}: {len(packet)} bytes"
        with open(f"{FOLDER}/{name}.json", "wb") as file:
            file.write(packet)
    for lua in luas:
        os.makedirs(f"{FOLDER}/{flavor(lua)}", exist_ok=True)
        shutil.copy(f".build/{flavor(lua)}/tcp.so", f"{FOLDER}/{flavor(lua)}/tcp.so")
        if before:
            os.makedirs(f"{FOLDER}/before/{flavor(lua)}", exist_ok=True)
            shutil.copy(f"{before}/{flavor(lua)}/tcp.so", f"{FOLDER}/before/{flavor(lua)}/tcp.so")
        for module, source in [("openssl_only", "openssl"), ("least", "least")]:
            subprocess.check_call(
                ["cc", "-O2", "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", f"{FOLDER}/{flavor(lua)}/{module}.so",
                 f"bench/native/{source}.c", "-lssl", "-lcrypto"])


# The folder of `--path`.
more = None


def environment(lua, peer=None):
    name = flavor(lua)
    path = f"{FOLDER}/{name}/?.so;" + (f"{more}/{name}/?.so;" if more else "") + ";"
    if peer == "before":
        path = f"{FOLDER}/before/{name}/?.so;{path}"
    names = {"LUA_CPATH": path, "LUA_CPATH_5_4": path, "LC_ALL": "C"}
    if more:
        names |= {"LUA_PATH": f"{more}/{name}/?.lua;;"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LUA_")}
    return kept | names


def is_there(lua, peer):
    if peer in ("limit", "floor"):
        return True
    if peer in PROGRAMS:
        if not shutil.which(peer):
            print(f"there is no {peer}", file=sys.stderr)
        return shutil.which(peer) is not None
    status = subprocess.run([lua, "-e", REQUIRES[peer]], env=environment(lua, peer), stderr=subprocess.PIPE, text=True)
    if status.returncode != 0:
        print(f"{lua} has no {PEERS[peer]}: {status.stderr.splitlines()[0]}", file=sys.stderr)
    return status.returncode == 0


def client(scenario, peer, lua, port, count, size):
    arguments = [scenario.name, str(port), str(count), str(size), FOLDER]
    if peer == "limit":
        return [f"{FOLDER}/client"] + arguments
    if peer == "socat":
        return SOCAT + [f"TCP4:127.0.0.1:{port},nodelay"] * 2
    if peer in OURS:
        return [lua, "bench/clients/tcp.lua"] + arguments + ([peer] if peer in WAYS else [])
    return [lua, f"bench/clients/{peer}.lua"] + arguments


def serve(scenario, count, size):
    """A server for one run, and its port, or the path of its Unix socket."""
    server = subprocess.Popen(
        [f"{FOLDER}/server", scenario.name, str(count), str(size), FOLDER], stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().strip()


def watched(command, lua, peer):
    """The figures of a process."""
    done = subprocess.run([f"{FOLDER}/measure"] + command, env=environment(lua, peer), stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(command)} failed")
    return dict(zip(FIGURES, map(float, done.stdout.split())))


def run(scenario, peer, lua, quick):
    """One run of one client: its figures."""
    count, size = scenario.scaled(quick)
    if scenario.name == "require":
        runs = [watched([lua, "-e", REQUIRES[peer]], lua, peer) for _ in range(count)]
        total = {name: sum(each[name] for each in runs) for name in FIGURES}
        return total | {"peak": max(each["peak"] for each in runs)}
    server, port = serve(scenario, count, size)
    try:
        figures = watched(client(scenario, peer, lua, port, count, size), lua, peer)
        if server.wait(timeout=10) != 0:
            sys.exit(f"{scenario.name}, {peer}: the server is not content")
        return figures
    finally:
        server.kill()
        server.wait()


def measure(scenario, peers, lua, rounds, quick):
    """The runs of each peer, round by round."""
    runs = {peer: [] for peer in peers}
    for number in range(rounds):
        turn = number % len(peers)
        for peer in peers[turn:] + peers[:turn]:
            runs[peer].append(run(scenario, peer, lua, quick))
    return runs


def cpu(figures):
    return figures["user"] + figures["system"]


def ratio(runs, stack, figure):
    return statistics.median(figure(one) / figure(other) for one, other in zip(runs, stack))


def wall(figures):
    return figures["wall"]


def summary(runs, stack):
    """The medians of a peer's runs, and their ratios to those of the stack."""
    result = {name: statistics.median(each[name] for each in runs) for name in FIGURES}
    result["wall_ratio"] = ratio(runs, stack, wall)
    result["cpu_ratio"] = ratio(runs, stack, cpu)
    return result


def reached(scenario, runs):
    """What is to be compared with `scenario.reach`; nothing where one of the two did not run."""
    of, by = (runs.get(peer) for peer in (scenario.of, scenario.by))
    return ratio(of, by, wall) if of and by else None


def text(value, form="{:.2f}"):
    return "-" if value is None else form.format(value)


def verdict(scenario, lua, result, figure):
    """Whether this module reaches what is wanted; nothing where nothing is."""
    if scenario.reach.get(lua) is None or figure is None:
        return None
    return figure <= scenario.reach[lua] and (not scenario.memory or result["tcp"]["peak"] <= scenario.memory)


# The columns of the table behind that of `tcp`: wall time alone.
COLUMNS = [*WAYS, "before", "cqueues", "luv", "net", "limit", "floor"]


def print_head(lua, rounds, quick):
    print(f"\n{lua}: wall time (of tcp: CPU time) by that of {PEERS[STACK]}; peak memory in MiB; median of {rounds}"
          + ("; a tenth of the work" if quick else ""))
    names = ["C" if peer == "limit" else peer for peer in COLUMNS]
    print(f"{'':36} {'tcp':>11} " + "".join(f"{name:>8}" for name in names)
          + f"   {'tcp':>5} {'stack':>5}   wanted, reached")


def print_row(scenario, lua, result, figure):
    def pair(peer):
        each = result.get(peer)
        return f"{each['wall_ratio']:.2f} ({each['cpu_ratio']:.2f})" if each else "-"

    def one(peer):
        return text(result[peer]["wall_ratio"] if peer in result else None)

    def peak(peer):
        return text(result[peer]["peak"] / MIB if peer in result else None, "{:.0f}")

    verdict_words = {True: "", False: ", misses", None: ""}[verdict(scenario, lua, result, figure)]
    wanted = ""
    if scenario.reach.get(lua) is not None:
        with_what = f" of {scenario.of}" * (scenario.of != "tcp") + " by C" * (scenario.by == "limit")
        wanted = f"   {scenario.reach[lua]:.2f}, {text(figure)}{with_what}{verdict_words}"
    print(f"{scenario.title:36} {pair('tcp'):>11} " + "".join(f"{one(peer):>8}" for peer in COLUMNS)
          + f"   {peak('tcp'):>5} {peak(STACK):>5}{wanted}", flush=True)
    for other in scenario.others:
        if other in result:
            print(f"{'':43} {other} {pair(other)}, peak {peak(other)}", flush=True)


def versions(luas):
    def line(command, **options):
        return subprocess.run(command, capture_output=True, text=True, **options).stdout.strip()

    probe = """
for _, each in ipairs { { "tcp", "_VERSION" }, { "socket", "_VERSION" }, { "ssl", "_VERSION" },
    { "cjson", "_VERSION" }, { "cqueues", "VERSION" }, { "luv", "version_string" } } do
  local ok, library = pcall(require, each[1])
  local version = ok and library[each[2]]
  if type(version) == "function" then version = version() end
  print(each[1] .. "=" .. tostring(version or "none"))
end"""
    first = luas[0]
    libraries = dict(each.split("=", 1) for each in line([first, "-e", probe], env=environment(first)).splitlines())
    if shutil.which("dpkg-query"):  # cqueues has forgotten to count
        package = line(["dpkg-query", "-W", "-f", "${Version}", "lua-cqueues"])
        libraries["cqueues"] = package.split("-")[0] or libraries["cqueues"]
    release = ".".join(platform.release().split(".")[:2])
    return {
        "system": f"{platform.system()} {release} {platform.machine()}",
        "processors": os.cpu_count(),
        "commit": line(["git", "describe", "--always", "--dirty"]),
        "openssl": " ".join(line(["openssl", "version"]).split()[:2]),
        "lua": {lua: line(f"{lua} -v 2>&1", shell=True).split("  ")[0].split(" -- ")[0] for lua in luas},
    } | libraries


def one(options):
    """A client alone."""
    name, peer = options.one
    lua = (options.lua or LUAS)[0]
    prepare([lua])
    scenario = next(each for each in SCENARIOS if each.name == name)
    count, size = scenario.scaled(options.quick)
    prefix = shlex.split(options.under)
    if name == "require":
        sys.exit(subprocess.call(prefix + [lua, "-e", REQUIRES[peer]], env=environment(lua)))
    server, port = serve(scenario, count, size)
    try:
        sys.exit(subprocess.call(prefix + client(scenario, peer, lua, port, count, size), env=environment(lua)))
    finally:
        server.kill()
        server.wait()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--lua", action="append")
    parser.add_argument("--scenario", action="append", choices=[each.name for each in SCENARIOS])
    parser.add_argument("--peer", action="append", choices=list(PEERS))
    parser.add_argument("--chart", action="store_true")
    parser.add_argument("--before", metavar="FOLDER")
    parser.add_argument("--path", metavar="FOLDER")
    parser.add_argument("--one", nargs=2, metavar=("SCENARIO", "PEER"))
    parser.add_argument("--with", dest="under", default="")
    options = parser.parse_args()
    global more
    more = options.path and os.path.abspath(options.path)
    if options.one:
        one(options)

    if options.scenario and "resumed" in options.scenario:
        options.scenario.append("handshakes")  # what it is compared with
    luas, rounds = options.lua or LUAS, options.rounds or (3 if options.quick else 5)
    wanted = [each for each in PEERS if each in (options.peer or PEERS) or each == STACK]
    if options.before:
        wanted = list(dict.fromkeys([*wanted, "before"]))
    elif "before" in wanted:
        wanted.remove("before")
    prepare(luas, options.before)
    result = {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(sys.argv),
        "rounds": rounds,
        "quick": options.quick,
        "versions": versions(luas),
        "luas": {},
    }
    misses = 0
    for lua in luas:
        peers = [peer for peer in wanted if is_there(lua, peer)]
        if STACK not in peers:
            sys.exit(f"{lua}: nothing to compare with")
        rows = result["luas"][lua] = {}
        print_head(lua, rounds, options.quick)
        stack = {}
        for scenario in SCENARIOS:
            if options.scenario and scenario.name not in options.scenario:
                continue
            runs = measure(scenario, [each for each in peers if each not in scenario.without], lua, rounds, options.quick)
            stack[scenario.name] = runs.get(STACK) or stack["handshakes"]
            row = {peer: summary(each, stack[scenario.name]) for peer, each in runs.items()}
            figure = reached(scenario, runs)
            print_row(scenario, lua, row, figure)
            misses += verdict(scenario, lua, row, figure) is False
            rows[scenario.name] = {
                "title": scenario.title, "reach": scenario.reach.get(lua), "reached": figure, "of": scenario.of,
                "by": scenario.by, "medians": row, "runs": runs,
            }
    with open(f"{FOLDER}/result.json", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    print(f"\n{misses} rows miss what they are to reach" if misses else "\nevery row reaches what it is to reach")
    if options.chart:
        import chart
        chart.draw(result, "bench/chart.svg")


main()
