#!/usr/bin/env python3
"""run.py LUA FOLDER-WITH-TCP.SO TLSFUZZER [SCRIPT...]: runs tlsfuzzer's scripts against a listener
of ours and against `openssl s_server`, and compares which of their conversations pass. It fails
where one passes on s_server alone, and where our server ends, hangs, is late, keeps descriptors, or
fails in words that are not documented.

Nothing is fetched: TLSFUZZER is a clone of the repository. PYTHON names an interpreter that can
import tlslite-ng. Each script runs NUMBER of its conversations, chosen alike on both sides, for at
most SECONDS; all in a network namespace of its own where that can be had."""

import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "support"))

import scripts  # noqa: E402
from alone import in_namespace  # noqa: E402

PYTHON = os.environ.get("PYTHON") or sys.executable
NUMBER = os.environ.get("NUMBER") or "8"
SECONDS = float(os.environ.get("SECONDS") or 60)


def make_certificates(folder):
    """A certificate that has signed itself for each kind of key."""
    kinds = {"rsa": ["rsa:2048"], "client": ["rsa:2048"], "ed25519": ["ed25519"], "ed448": ["ed448"],
             "ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
             "rsapss": ["rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"]}
    for name, key in kinds.items():
        subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-newkey", *key,
                        "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"],
                       check=True, capture_output=True)


class Server:
    """A server under test. Its process is started again where it has ended."""

    def __init__(self, command, name, log):
        self.command, self.name, self.log = command, name, log
        self.faults = []
        self.start()

    def start(self):
        self.output = open(self.log, "ab+")
        at = self.output.tell()
        self.process = subprocess.Popen(self.command(self), stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.output,
                                        env={**os.environ, "LUA_PATH": ";", **self.environment()})
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if self.is_ready(at) and self.is_alive():
                time.sleep(0.5)
                self.base = self.descriptors()
                return
            time.sleep(0.05)
        raise SystemExit(f"{self.name} does not start: {Path(self.log).read_text()}")

    def environment(self):
        return {}

    def text(self, at=0):
        return Path(self.log).read_bytes()[at:].decode(errors="replace")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def is_alive(self):
        """Whether it still serves: a handshake and a page within some seconds."""
        if self.process.poll() is not None:
            return False
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.client:
            context.load_cert_chain(*self.client)
        try:
            with socket.create_connection(("127.0.0.1", self.port), 8) as plain:
                plain.settimeout(8)
                with context.wrap_socket(plain) as conn:
                    conn.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    return b"200" in conn.recv(4096)
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.output.close()


class Ours(Server):
    def __init__(self, lua, library, kind, client, log):
        self.client, self.library = client, library
        super().__init__(lambda _: [lua, str(HERE / "server.lua"), json.dumps(kind.options)],
                         "ours", log)

    def environment(self):
        return {"LUA_CPATH": f"{self.library}/?.so"}

    def is_ready(self, at):
        found = re.match(r"(\d+)\n", self.text(at))
        self.port = int(found[1]) if found else 0
        return bool(found)


class Theirs(Server):
    def __init__(self, kind, client, log):
        self.client = client
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        super().__init__(lambda _: ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}",
                                    "-www", "-quiet", *kind.arguments], "s_server", log)

    def is_ready(self, at):
        wanted = f":{self.port:04X} 00000000:0000 0A"
        return wanted in Path("/proc/net/tcp").read_text()


class Outcome:
    """Which conversations passed; one that ran twice passed twice or not."""

    def __init__(self, output, is_whole):
        self.passed, self.failed, self.is_whole = set(), set(), is_whole
        name = None
        for line in output.splitlines():
            begun = re.fullmatch(r'"(.+)" repeat \d+(?:\.\.\.)?|(\S.*) \.\.\.', line)
            if begun:
                self.end(name)
                name = begun[1] or begun[2]
            elif line == "OK" and name is not None:
                self.passed.add(name)
                name = None
            elif line == "Test end":
                break
        self.end(name)
        self.passed -= self.failed
        self.why = "" if self.passed or self.failed else output.strip().splitlines()[-1:]

    def end(self, name):
        if name is not None and self.is_whole:
            self.failed.add(name)

    def __str__(self):
        more = "" if self.is_whole else ", not all in time"
        return f"{len(self.passed)} of {len(self.passed) + len(self.failed)}{more}"


def some(source):
    """The arguments that limit a script to some of its conversations, where it has such."""
    options = re.search(r'getopt\.getopt\(\s*argv,\s*"([^"]*)"', source)
    return ["-n", NUMBER] if options and "n:" in options[1] else []


class Script:
    """One of tlsfuzzer's scripts, with its arguments."""

    def __init__(self, tlsfuzzer, name, arguments, common):
        self.title = " ".join([name, *(each for each in arguments if "/" not in each)])
        self.path, self.arguments = tlsfuzzer / "scripts" / f"test-{name}.py", [*common, *arguments]
        app = tlsfuzzer / f"tlsfuzzer/_apps/test_{name.replace('-', '_')}.py"
        self.exists = self.path.exists() and app.exists()
        self.some = some(app.read_text()) if self.exists else []

    def command(self, port):
        return [self.path, "-h", "127.0.0.1", "-p", str(port), *self.some, *self.arguments]


class Client(Script):
    """tlslite-ng's own client, whose one conversation is all of it."""

    def __init__(self, arguments):
        self.title = " ".join(["tls.py client", *arguments])
        self.path, self.arguments = Path(PYTHON).parent / "tls.py", arguments
        self.exists = self.path.exists()

    def command(self, port):
        return [self.path, "client", *self.arguments, f"localhost:{port}"]


def run(tlsfuzzer, folder, script, server, keep):
    """What a script says of a server."""
    log = keep / f"{re.sub(r'[^A-Za-z0-9]+', '_', script.title)[:80]}-{server.name}.log"
    with open(log, "wb") as output:
        process = subprocess.Popen([PYTHON, "-u", *script.command(server.port)], stdout=output,
                                   stderr=subprocess.STDOUT, cwd=folder, stdin=subprocess.DEVNULL,
                                   env={**os.environ, "PYTHONPATH": f"{folder}:{tlsfuzzer}",
                                        "PYTHONHASHSEED": "0"})
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
    text = log.read_text(errors="replace")
    if isinstance(script, Client):
        text = f"it ...\n{text}\n" + ("OK\n" if code == 0 and "Handshake time" in text else "")
    return Outcome(text, code is not None)


def settle(server):
    """The faults of our server, once the connections of a script have ended."""
    until = time.monotonic() + 14
    while server.process.poll() is None and server.descriptors() > server.base:
        if time.monotonic() > until:
            yield f"{server.descriptors() - server.base} descriptors more"
            break
        time.sleep(0.1)
    if server.process.poll() is not None:
        yield f"the server ended: {server.process.returncode}"
    elif not server.is_alive():
        yield "the server does not serve any more"


def lines_of(server, at):
    return [line for line in server.text(at).splitlines() if line.startswith(("late: ", "odd: ", "lua"))]


def main():
    lua, library, tlsfuzzer = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    only = sys.argv[4:]
    alone = in_namespace()
    if not (tlsfuzzer / "scripts").is_dir():
        raise SystemExit(f"nothing was run: there is no tlsfuzzer in {tlsfuzzer}")
    if subprocess.run([PYTHON, "-c", "import tlslite"], capture_output=True).returncode:
        raise SystemExit(f"nothing was run: {PYTHON} has no tlslite-ng; PYTHON names another one")
    describe = ["git", "-C", str(tlsfuzzer), "log", "-1", "--format=%h of %cs"]
    version = subprocess.run(describe, capture_output=True, text=True).stdout.strip() or "?"
    print(f"{lua}; tlsfuzzer {version}; {NUMBER} conversations of each script, {SECONDS:.0f} s; "
          f"network: {'the loopback alone' if alone else 'not separated'}\n")
    keep = ROOT / ".build" / "tlsfuzzer"
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tlsfuzzer-") as folder:
        # Both sides get the same conversations of those that a script chooses among at random.
        Path(folder, "sitecustomize.py").write_text("import random\nrandom.seed(7)\n")
        make_certificates(folder)
        Place(lua, library, tlsfuzzer, Path(folder), keep).compare(only)


class Comparison:
    """A server of each make, and the scripts that both are put to."""

    def __init__(self, title, kind, place):
        self.title, self.place = title, place
        client = (kind.common[3], kind.common[1]) if kind.common else None
        log = str(place.keep / re.sub(r"\W", "_", title))
        for side in ("ours", "s_server"):
            Path(f"{log}-{side}.txt").unlink(missing_ok=True)
        self.ours = Ours(place.lua, place.library, kind, client, f"{log}-ours.txt")
        self.theirs = Theirs(kind, client, f"{log}-s_server.txt")

    def run(self, script, server):
        return run(self.place.tlsfuzzer, self.place.folder, script, server, self.place.keep)

    def compare(self, script):
        """Counts, prints a line, and says whether ours is worse."""
        expected = self.run(script, self.theirs)
        if not self.theirs.is_alive():
            print(f"| {self.title} | {script.title} | ended, or serves no more | | |")
            self.theirs.stop()
            self.theirs.start()
        got, faults = self.try_ours(script)
        lost = expected.passed & got.failed
        if lost:
            # Some conversations measure time: what fails twice counts.
            again, more = self.try_ours(script)
            lost, faults = lost & again.failed, faults + more
        notes = [f"not {name}" for name in sorted(lost)] + faults
        gained = len(got.passed & expected.failed)
        if not notes:
            notes = [f"{gained} more"] if gained else ["the same"]
        if not expected.passed | expected.failed:
            notes = [f"ran nothing: {expected.why}"]
        print(f"| {self.title} | {script.title} | {expected} | {got} | {'; '.join(notes)} |", flush=True)
        totals = self.place.totals
        totals["scripts"] += 1
        totals["worse"] += bool(lost or faults)
        totals["all"] += len(expected.passed | expected.failed)
        totals["theirs"] += len(expected.passed)
        totals["ours"] += len(got.passed)

    def try_ours(self, script):
        at = len(Path(self.ours.log).read_bytes())
        got = self.run(script, self.ours)
        faults = [*settle(self.ours), *lines_of(self.ours, at)]
        if self.ours.process.poll() is not None:
            self.ours.start()
        return got, faults

    def stop(self):
        size = rss(self.ours.process.pid)
        self.ours.stop()
        self.theirs.stop()
        print(f"| {self.title} | | | | our server had {size} kB |")


class Place:
    """What all comparisons share."""

    def __init__(self, lua, library, tlsfuzzer, folder, keep):
        self.lua, self.library, self.tlsfuzzer = lua, library, tlsfuzzer
        self.folder, self.keep = folder, keep
        self.totals = dict.fromkeys(("scripts", "all", "theirs", "ours", "worse"), 0)

    def scripts(self, kind, only):
        found = [Script(self.tlsfuzzer, name, more, kind.common) for name, more in kind.scripts.items()
                 if not only or name in only]
        found += [Client(arguments) for arguments in kind.clients if not only or "tls.py" in only]
        return [script for script in found if script.exists]

    def compare(self, only):
        print("| server | script | s_server | ours | |\n|---|---|---|---|---|")
        for title, kind in scripts.kinds(self.folder).items():
            chosen = self.scripts(kind, only)
            if not chosen:
                continue
            comparison = Comparison(title, kind, self)
            try:
                for script in chosen:
                    comparison.compare(script)
            finally:
                comparison.stop()
        print("\n{scripts} scripts, {all} conversations: s_server passes {theirs}, ours {ours}; "
              "ours is worse in {worse} scripts.".format(**self.totals))
        sys.exit(1 if self.totals["worse"] or not self.totals["scripts"] else 0)


def rss(pid):
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return found[1] if found else "?"
    except OSError:
        return "?"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Who ends this program ends its servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
