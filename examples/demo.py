"""Runs the four examples against the servers of servers.py, each in a process of its own:

    python3 examples/demo.py LUA CPATH

with LUA as the interpreter and CPATH as its LUA_CPATH. Prints what each got and how long it took;
exits with 0 only if each printed what its server alone could have told it.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import servers as local

HERE = os.path.relpath(os.path.dirname(os.path.abspath(__file__)))
LONGEST = 20  # seconds for one example


def environment(cpath, ca):
    """Ours without its Lua settings; the throw-away CA is the one that is trusted."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUA_", "SSL_CERT_"))}
    return dict(kept, LUA_CPATH=cpath, SSL_CERT_FILE=ca)


def run(lua, env, title, script, arguments, expected, typed=""):
    """Runs one example; whether it ended well and printed all that is expected."""
    print("== %s (examples/%s %s)" % (title, script, " ".join(arguments)), flush=True)
    started = time.monotonic()
    try:
        done = subprocess.run([lua, os.path.join(HERE, script), *arguments], env=env, input=typed, encoding="utf-8",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        print("   FAILED: not done after %d s\n" % LONGEST)
        return False
    took = time.monotonic() - started
    for line in done.stdout.splitlines():
        print("   | " + line)
    faults = ["exit status %d" % done.returncode] if done.returncode != 0 else []
    faults += ["%r was not received" % text for text in expected if text not in done.stdout]
    print("   %s in %.3f s\n" % ("FAILED (%s)" % "; ".join(faults) if faults else "done", took), flush=True)
    return not faults


def main(lua, cpath):
    if os.sep in lua:
        lua = os.path.abspath(lua)
    # What only the servers know: an example that prints it has been there.
    version = "1.%d" % random.randrange(1000, 9999)
    user = "Ana %d" % random.randrange(1000, 9999)
    greeting = "Page number %d." % random.randrange(1000, 9999)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        servers = local.Servers(folder, version, user, greeting)
        env = environment(cpath, servers.ca)
        host = "127.0.0.1"
        results = [
            run(lua, env, "Simple HTTP", "simple_http.lua", [host, str(servers.page.port), "/hello"],
                [greeting, "You asked for /hello."]),
            run(lua, env, "JSON API client over TLS", "json_api.lua", [str(servers.api.port)],
                ["Usuário:\t" + user, "success:\ttrue"]),
            run(lua, env, "TCP service monitoring", "monitor.lua",
                [host, str(servers.monitored.port), host, str(servers.refused.port)],
                ["is online", "version " + version, "is offline", "refused"]),
            run(lua, env, "Bidirectional chat", "chat.lua", [host, str(servers.chat.port)],
                ["Recebido:\teco: Olá", "Recebido:\teco: tchau", ": closed: "], typed="Olá\ntchau\nsair\n"),
        ]
    print("%d of %d examples did their work, in %.1f s" % (
        sum(results), len(results), time.monotonic() - started))
    return 0 if all(results) else 1


if __name__ == "__main__":
    # Asked to end: as with Ctrl-C, subprocess.run takes its child along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
