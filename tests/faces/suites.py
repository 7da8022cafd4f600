"""The suites: how each is cut to the loopback, what it needs, and which of its tests passed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SILENT, SERVICE = 18399, 18388
PEERS = [sys.executable, str(HERE / "peers.py")]


class Missing(Exception):
    """A program that a suite needs is not there."""


class Outcome:
    """The names of the tests that passed, and of those that did not."""

    def __init__(self, passed=(), failed=()):
        self.passed, self.failed = list(passed), list(failed)

    def __str__(self):
        total = len(self.passed) + len(self.failed)
        return f"{len(self.passed)} of {total}"


def need(*programs):
    for program in programs:
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/bin:/usr/local/bin"):
            raise Missing(program)


def each(place, scripts, cwd=None, **options):
    """Scripts that pass where they end well."""
    outcome = Outcome()
    for script in scripts:
        code, output = place.run([place.lua, script], cwd, **options)
        (outcome.failed if code else outcome.passed).append(str(script))
        keep(place, script, output)
    return outcome


def keep(place, name, output):
    """The output of what ran, for whoever looks for a fault."""
    side = "face" if place.face else "real"
    folder = ROOT / ".build" / "faces"
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]", "_", f"{place.repository.name}-{name}-{side}.log")
    (folder / name).write_text(output, errors="replace")


def busted(place, *files, loader=None, **environment):
    """Specs, by the names of their tests."""
    need("busted")
    # busted's own script names a Lua; this one is to run it.
    command = [place.lua, "-e", "arg[0]='busted'", shutil.which("busted"), "--output=TAP"]
    if loader:
        command += ["--loaders=" + loader, "--pattern=_spec.moon"]
    outcome = Outcome()
    for file in files:
        code, output = place.run([*command, file], **environment)
        keep(place, file, output)
        for line in output.splitlines():
            found = re.match(r"(not )?ok \d+ - (.*)$", line)
            if found and "# SKIP" not in line:
                # The names of some have the address of a table in them.
                name = re.sub(r"0x[0-9a-f]+", "0x", found[2])
                (outcome.failed if found[1] else outcome.passed).append(name)
        if code == 124:
            outcome.failed.append(f"{file} (no end)")
    return outcome


# What LuaSocket makes of its own test client, which is the same whichever side is ours.
THEIRS = []


def luasocket_pair(face_serves, face_asks):
    def suite(place):
        if THEIRS and not place.face:
            return THEIRS[0]
        place.start([*PEERS, "silent", str(SILENT)], SILENT)
        # One test waits for an address that nobody has; one wants LuaSocket built otherwise.
        place.edit("test/testclnt.lua", (r'"10\.0\.0\.1", 81', f'"127.0.0.1", {SILENT}'))
        serves, asks = (face_serves, face_asks) if place.face else (False, False)
        head = [place.lua, "-e", f"host, port = '127.0.0.1', '{SERVICE}'"]
        cwd = place.repository / "test"
        place.start([*head, "testsrvr.lua"], SERVICE, cwd, ELAPSED="1", TCP_FACE=str(int(serves)))
        limited = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"]
        _, output = place.run([*limited, *head, "testclnt.lua"], cwd, ELAPSED="1",
                              TCP_FACE=str(int(asks)))
        keep(place, f"testclnt-{int(serves)}{int(asks)}", output)
        outcome = headings(output)
        if not place.face:
            THEIRS.append(outcome)
        return outcome
    return suite


def headings(output):
    """The parts of LuaSocket's test client. It stops at the first test that fails."""
    outcome, part = Outcome(), None
    for line in output.splitlines():
        if line.startswith("testing: ") and not line.startswith("testing: done"):
            part = line[9:].strip(" :")
            outcome.passed.append(part)
        elif line.startswith("ERROR") or "stack traceback" in line:
            if part in outcome.passed:
                outcome.passed.remove(part)
            outcome.failed.append(part)
            break
    if "testing: done" not in output and not outcome.failed:
        outcome.failed.append("the end")
    return outcome


def luasocket_rest(place):
    scripts = ["excepttest.lua", "test_bind.lua", "test_getaddrinfo.lua", "test_socket_error.lua",
               "ltn12test.lua", "mimetest.lua", "urltest.lua"]
    return each(place, scripts, place.repository / "test")


def redis(place):
    need("redis-server")
    place.start(["redis-server", "--port", "6379", "--bind", "127.0.0.1", "--save", ""], 6379)
    place.start([*PEERS, "silent", str(SILENT)], SILENT)
    place.edit("test/test_client.lua",
               (r"host = '169\.254\.255\.255'", f"host = '127.0.0.1', port = {SILENT}"))
    tsc = place.clients / "telescope" / "tsc"
    if not tsc.exists():
        raise Missing("telescope")
    code, output = place.run([place.lua, str(tsc), "-f", "test_client.lua"], place.repository / "test")
    keep(place, "tsc", output)
    outcome = Outcome()
    for line in output.splitlines():
        found = re.match(r"\s+(\S.*\S)\s+\[([PFEU!])\]", line)
        if found:
            (outcome.passed if found[2] == "P" else outcome.failed).append(found[1])
    return outcome


def pgmoon(place):
    need("psql")
    if not (place.clients / "moonscript").is_dir():
        raise Missing("moonscript")
    pem = ROOT / ".build/spec/certificates"
    subprocess.run(["sh", str(ROOT / "spec/support/make_ca.sh"), str(pem)], check=True)
    place.edit("spec/util.moon", (r'"9999"', f'"{SERVICE}"'))
    for spec in ("pgmoon_spec", "pgmoon_ssl_spec", "pgmoon_pool_spec"):
        place.edit(f"spec/{spec}.moon", (r'os\.execute "spec/postgres\.sh [^"]*"', "true"))
    place.start(["sh", str(ROOT / "spec/support/postgres.sh"), str(SERVICE), str(pem / "good.pem"),
                 str(pem / "good.key")], SERVICE)
    make = ["psql", "-h", "127.0.0.1", "-p", str(SERVICE), "-U", "specs", "postgres", "-c"]
    place.run([*make, "create role postgres superuser login password 'pgmoon'"])
    return busted(place, "spec/pgmoon_spec.moon", "spec/pgmoon_ssl_spec.moon",
                  "spec/pgmoon_pool_spec.moon", loader="moonscript,lua")


def luamqtt(place):
    need("mosquitto")
    pem = ROOT / ".build/spec/certificates"
    settings = place.folder / "mosquitto.conf"
    settings.write_text(f"per_listener_settings false\nallow_anonymous true\nuser root\n"
                        f"listener 1883 127.0.0.1\nlistener 8883 127.0.0.1\n"
                        f"certfile {pem}/good.pem\nkeyfile {pem}/good.key\n")
    place.start(["mosquitto", "-c", str(settings)], 1883)
    place.edit("tests/spec/mqtt-client.lua",
               (r'uri = "(mqtt\.flespi\.io|broker\.hivemq\.com)"', 'uri = "127.0.0.1"'))
    place.edit("tests/spec/ioloop.lua", (r'uri = "mqtt\.flespi\.io"', 'uri = "127.0.0.1"'))
    place.environment["LUA_PATH"] = "./?.lua;./?/init.lua;" + place.environment["LUA_PATH"]
    files = sorted(path.name for path in (place.repository / "tests/spec").glob("*.lua"))
    return busted(place, *(f"tests/spec/{name}" for name in files))


def websockets(place):
    place.start([*PEERS, "websocket", "11000"], 11000)
    path = place.repository / "src"
    place.environment["LUA_PATH"] = f"{path}/?.lua;" + place.environment["LUA_PATH"]
    return busted(place, *(f"spec/{name}_spec.lua" for name in (
        "frame", "tools", "handshake", "client", "server_copas")))


def copas(place):
    certificates(place.repository / "tests/certs")
    for script in ("timeout_errors", "timer", "tcptimeout", "http-timeout", "close"):
        path = place.repository / f"tests/{script}.lua"
        if path.exists():
            place.edit(f"tests/{script}.lua", (r'"google\.com"', '"127.0.0.1"'))
    away = {"httpredirect", "request", "no_luasocket"}  # other machines; without LuaSocket
    scripts = sorted(path.stem for path in (place.repository / "tests").glob("*.lua"))
    place.environment["LUA_PATH"] = "src/?.lua;" + place.environment["LUA_PATH"]
    # Its certificate is not for the name that it asks for, which LuaSec does not look at.
    other = {"tls-sni"}
    outcome = each(place, [f"tests/{name}.lua" for name in scripts if name not in away | other], timeout=120)
    more = each(place, [f"tests/{name}.lua" for name in other], timeout=120, VERIFY_NAMES="0")
    return Outcome(outcome.passed + more.passed, outcome.failed + more.failed)


def certificates(folder):
    """Those of LuaSec's samples, by their own scripts."""
    for name in ("rootA", "rootB", "serverA", "serverB", "clientA", "clientB"):
        subprocess.run(["sh", f"./{name}.sh"], cwd=folder, capture_output=True, check=False)


SAMPLES = ("alpn", "chain", "curve-negotiation", "dhparam", "digest", "ecdh", "info", "multicert",
           "oneshot", "sni", "verification/fail-string", "verification/fail-table",
           "verification/success", "verify", "want", "wantread", "wantwrite")


# A server and its client. Each pair has the loopback for itself where that can be: the connections
# of one keep the port busy for the next.
PAIR = """
ip link set lo up 2>/dev/null
"$1" server.lua & server=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  grep -q ':22B8 .* 0A ' /proc/net/tcp /proc/net/tcp6 && break
  kill -0 $server 2>/dev/null || break
  sleep 0.1
done
timeout 5 "$1" client.lua; code=$?
kill $server 2>/dev/null
exit $code
"""


def luasec(place):
    """Each sample's server and client. It passes where the client ends well."""
    certificates(place.repository / "samples/certs")
    alone = ["unshare", "--net"] if os.environ.get("TCP_ALONE") == "yes" else []
    outcome = Outcome()
    for name in SAMPLES:
        folder = place.repository / "samples" / name
        if not (folder / "server.lua").exists() or not (folder / "client.lua").exists():
            continue
        code, output = place.run([*alone, "sh", "-c", PAIR, "sh", place.lua], folder, timeout=15)
        keep(place, name, output)
        (outcome.failed if code else outcome.passed).append(name)
    return outcome


def memcached(place):
    need("memcached")
    if place.run([place.lua, "-e", "assert(module)"])[0]:
        raise Missing("Lua 5.1 or LuaJIT")
    place.start(["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", "11211"], 11211)
    script = place.repository / "faces.lua"
    script.write_text((HERE / "memcached.lua").read_text())
    code, output = place.run([place.lua, "faces.lua"])
    keep(place, "faces", output)
    lines = output.splitlines()
    return Outcome([line[3:] for line in lines if line.startswith("ok ")],
                   [line[7:] for line in lines if line.startswith("not ok ")])


ALL = [
    ("luasocket", "LuaSocket's test server and client: the client's side", luasocket_pair(False, True)),
    ("luasocket", "LuaSocket's test server and client: the server's side", luasocket_pair(True, False)),
    ("luasocket", "LuaSocket's test server and client: both sides", luasocket_pair(True, True)),
    ("luasocket", "LuaSocket's other tests", luasocket_rest),
    ("luasec", "LuaSec's samples", luasec),
    ("redis-lua", "redis-lua", redis),
    ("pgmoon", "pgmoon", pgmoon),
    ("luamqtt", "luamqtt", luamqtt),
    ("lua-websockets", "lua-websockets", websockets),
    ("copas", "copas", copas),
    ("lua-memcached", "lua-memcached", memcached),
]
