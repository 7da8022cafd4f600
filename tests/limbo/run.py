#!/usr/bin/env python3
"""run.py LUA FOLDER-WITH-TCP.SO LIMBO.JSON [ID...]: verifies each chain of x509-limbo as a script
does, by connecting to a server that shows it, or by serving a client that does. Compares what came
of it with what the suite expects, and with what `openssl verify` says to the same. It fails where
`openssl verify` is right and the module is not, and where a verdict takes over SECONDS.

Nothing is fetched. A chain is shown by a few lines of TLS that need no private key, so that each of
them can be. Cases of another day need Debian's libfaketime."""

import base64
import datetime
import glob
import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import wire  # noqa: E402
from alone import in_namespace  # noqa: E402

SECONDS = 5
REFUSED, ACCEPTED = "FAILURE", "SUCCESS"
FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
# The module has no option for these.
NOT_OURS = {"max-chain-depth": "the length of a path cannot be limited"}


def der(pem):
    body = re.search(r"-----BEGIN [^-]+-----(.*?)-----END", pem, re.S)[1]
    return base64.b64decode(body)


class Case:
    def __init__(self, test):
        self.test, self.id = test, test["id"]
        self.is_client = test["validation_kind"] == "CLIENT"
        self.expected = test["expected_result"]
        self.chain = [der(pem) for pem in (test["peer_certificate"], *test["untrusted_intermediates"])]
        self.outcome, self.seconds, self.message = {}, 0, {}

    def left_out(self):
        for feature in self.test["features"]:
            if feature in NOT_OURS:
                return NOT_OURS[feature]
        if self.time() and not FAKETIME:
            return "libfaketime is not there"
        return None

    def time(self):
        return self.test["validation_time"]

    def name(self):
        name = self.test["expected_peer_name"]
        return name["value"] if name else False

    def job(self, partial, port, cert_file):
        job = {"id": self.id, "ca": "".join(self.test["trusted_certs"]), "partial_chain": partial}
        if self.is_client:
            return {**job, "cert_file": cert_file}
        if self.test["crls"]:
            job["crl"] = "".join(self.test["crls"])
        return {**job, "port": port, "name": self.name()}

    def note(self, partial, answer):
        code, text = answer.get("code"), answer.get("message", "")
        is_accepted = code == "tls" and "internal error" in text
        if answer["went_through"] or not (is_accepted or code in ("certificate", "tls")):
            raise SystemExit(f"{self.id}: neither accepted nor refused: {answer}")
        self.outcome[partial] = ACCEPTED if is_accepted else REFUSED
        self.message[partial] = text
        self.seconds = max(self.seconds, answer["seconds"])

    def openssl(self, folder, partial, strict):
        """The verdict of `openssl verify`."""
        for name, pems in (("ca", self.test["trusted_certs"]), ("leaf", [self.test["peer_certificate"]]),
                           ("sent", self.test["untrusted_intermediates"]), ("crl", self.test["crls"])):
            Path(folder, f"{name}.pem").write_text("".join(pems))
        command = ["openssl", "verify", "-CAfile", "ca.pem", "-no-CApath", "-no-CAstore", "-auth_level", "2",
                   "-purpose", "sslclient" if self.is_client else "sslserver"]
        if self.test["untrusted_intermediates"]:
            command += ["-untrusted", "sent.pem"]
        if self.test["crls"]:
            command += ["-crl_check_all", "-CRLfile", "crl.pem"]
        if self.name():
            kind = {"IP": "-verify_ip", "DNS": "-verify_hostname"}[self.test["expected_peer_name"]["kind"]]
            command += [kind, self.name()]
        if self.time():
            command += ["-attime", str(int(datetime.datetime.fromisoformat(self.time()).timestamp()))]
        command += ["-partial_chain"] * partial + ["-x509_strict"] * strict
        done = subprocess.run([*command, "leaf.pem"], cwd=folder, capture_output=True, timeout=60)
        return REFUSED if done.returncode else ACCEPTED


class Peers:
    """Servers, each of which shows one chain, in a thread."""

    def __init__(self, cases):
        self.ports, self.listeners = {}, {}
        for case in cases:
            listener = socket.create_server(("127.0.0.1", 0))
            self.listeners[listener.fileno()] = (listener, case)
            self.ports[case.id] = listener.getsockname()[1]
        self.is_over = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        poll = select.poll()
        for descriptor in self.listeners:
            poll.register(descriptor, select.POLLIN)
        while not self.is_over:
            for descriptor, _ in poll.poll(100):
                listener, case = self.listeners[descriptor]
                conn, _ = listener.accept()
                with conn:
                    conn.settimeout(10)
                    try:
                        wire.receive_until(conn, 1)
                        conn.sendall(wire.server_flight(case.chain))
                        while conn.recv(4096):
                            pass
                    except (OSError, EOFError):
                        pass

    def stop(self):
        self.is_over = True
        self.thread.join()
        for listener, _ in self.listeners.values():
            listener.close()


def show_as_client(port, case):
    with socket.create_connection(("127.0.0.1", port), 10) as conn:
        conn.settimeout(10)
        conn.sendall(wire.client_hello())
        wire.receive_until(conn, 14)
        conn.sendall(wire.client_flight(case.chain))
        try:
            while conn.recv(4096):
                pass
        except OSError:
            pass


def verify(lua, library, folder, time, cases, partial):
    """Has the module verify the chains of one day."""
    peers = Peers([case for case in cases if not case.is_client])
    cert_file = f"{folder}/server.pem"
    jobs = [case.job(partial, peers.ports.get(case.id), cert_file) for case in cases]
    Path(folder, "cases.json").write_text(json.dumps(jobs))
    environment = {**os.environ, "LUA_CPATH": f"{library}/?.so", "TZ": "UTC"}
    if time:
        day = datetime.datetime.fromisoformat(time)
        environment |= {"LD_PRELOAD": FAKETIME, "DONT_FAKE_MONOTONIC": "1",
                        "FAKETIME": day.strftime("%Y-%m-%d %H:%M:%S")}
    process = subprocess.Popen([lua, str(HERE / "check.lua"), f"{folder}/cases.json"],
                               stdout=subprocess.PIPE, text=True, env=environment)
    by_id = {case.id: case for case in cases}
    pending = [case for case in cases if case.is_client]
    try:
        for line in process.stdout:
            answer = json.loads(line)
            if "port" in answer:
                show_as_client(answer["port"], pending.pop(0))
            else:
                by_id.pop(answer["id"]).note(partial, answer)
    finally:
        peers.stop()
    if process.wait(60) or by_id:
        raise SystemExit(f"check.lua ended with {process.returncode}; without an answer: {list(by_id)}")


def report(cases, left_out):
    groups = defaultdict(list)
    for case in cases:
        groups["::".join(case.id.split("::")[:-1])].append(case)
    print("| group | cases | as expected | with partial_chain | `openssl verify` | with -x509_strict |")
    print("|---|---|---|---|---|---|")
    columns = (False, True, "openssl", "strict")
    for group, members in [*groups.items(), ("all", cases)]:
        counts = [sum(case.outcome[column] == case.expected for case in members) for column in columns]
        print(f"| {group} | {len(members)} | " + " | ".join(map(str, counts)) + " |")
    for reason, ids in left_out.items():
        print(f"\n{len(ids)} were left out: {reason}.", end="")
    print(f"\nThe longest verdict took {max(case.seconds for case in cases):.2f} s.\n")
    for case in cases:
        if case.outcome[False] != case.expected:
            others = [name for name, column in (("partial_chain", True), ("openssl verify", "openssl"),
                                                ("-x509_strict", "strict"))
                      if case.outcome[column] == case.expected]
            did = "refused" if case.outcome[False] == REFUSED else "accepted"
            print(f"{case.id}: {did}" + (f"; right: {', '.join(others)}" if others else "")
                  + (f" ({case.message[False]})" if did == "refused" else ""))
        elif case.outcome["openssl"] != case.expected:
            print(f"{case.id}: right; not so: openssl verify")


def worse(case):
    for partial, column in ((False, "openssl"), (True, "openssl partial")):
        if case.outcome[partial] != case.expected == case.outcome[column]:
            yield f"{case.id}: openssl verify is right, the module is not{' with partial_chain' * partial}"
    if case.seconds > SECONDS:
        yield f"{case.id}: the verdict took {case.seconds:.1f} s"


def main():
    lua, library, limbo = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    only = sys.argv[4:]
    in_namespace()
    if not limbo.is_file():
        raise SystemExit(f"nothing was run: there is no {limbo}")
    cases, left_out, days = [], defaultdict(list), defaultdict(list)
    for test in json.loads(limbo.read_text())["testcases"]:
        case = Case(test)
        if only and case.id not in only:
            continue
        reason = case.left_out()
        if reason:
            left_out[reason].append(case.id)
        else:
            cases.append(case)
            days[case.time()].append(case)
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.strip()
    print(f"{lua}, {version}\n")
    with tempfile.TemporaryDirectory(prefix="limbo-") as folder:
        subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=server",
                        "-newkey", "rsa:2048", "-keyout", f"{folder}/server.key", "-out",
                        f"{folder}/server.pem"], check=True, capture_output=True)
        with open(f"{folder}/server.pem", "a") as pem:
            pem.write(Path(folder, "server.key").read_text())
        for time, members in days.items():
            for partial in (False, True):
                verify(lua, library, folder, time, members, partial)
        for case in cases:
            case.outcome["openssl"] = case.openssl(folder, False, False)
            case.outcome["openssl partial"] = case.openssl(folder, True, False)
            case.outcome["strict"] = case.openssl(folder, True, True)
    report(cases, left_out)
    faults = [fault for case in cases for fault in worse(case)]
    for fault in faults:
        print(fault)
    sys.exit(1 if faults or not cases else 0)


if __name__ == "__main__":
    main()
