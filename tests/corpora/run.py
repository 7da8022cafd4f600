#!/usr/bin/env python3
"""run.py LUA FOLDER-WITH-TCP.SO CORPORA [NAME...]: decodes and encodes the documents of other
people's JSON corpora, those that are in the folder CORPORA, and compares what came of each with
Python's decoder, and with what the corpus says of it. Prints how many there were.

Nothing is fetched. A corpus is a repository's clone or an unpacked package under its own name; the
list is in documents.py. Python accepts more than the module. Each such document is counted under
the reason for which the module refuses it; any other difference is a fault."""

import json
import math
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import documents
from documents import ACCEPT, EITHER, REFUSE

HERE = Path(__file__).resolve().parent
DEPTH = 128
POINTERS = 6


class Refused(Exception):
    """Why Python does not accept a document."""


def no_constant(name):
    raise Refused(name)


class Big(str):
    """The digits of an integer that Lua may not hold."""


def parse(data):
    """What Python makes of the document, its integers as digits."""
    try:
        text = data.decode()
        return json.loads(text, parse_constant=no_constant, parse_int=Big)
    except (ValueError, Refused) as why:
        raise Refused(str(why)) from None
    except RecursionError:
        raise Refused("Python's recursion") from None


def float_form(number):
    """Each bit of a float."""
    if number == 0:
        return b"d-0;" if math.copysign(1, number) < 0 else b"d0;"
    fraction, exponent = math.frexp(number)
    return b"d%d:%d;" % (int(fraction * 2**53), exponent)


class Form:
    """Writes values as decode.lua does, for a Lua with integers of 64 bits or without."""

    def __init__(self, has_integers, big="float"):
        self.has_integers, self.big = has_integers, big

    def of(self, value):
        out = []
        self.put(value, out)
        return b"".join(out)

    def put(self, value, out):
        if value is None:
            out.append(b"n")
        elif isinstance(value, bool):
            out.append(b"t" if value else b"f")
        elif isinstance(value, Big):
            out.append(self.integer(value))
        elif isinstance(value, str):
            data = value.encode()
            out.append(b"s%d:%s" % (len(data), data))
        elif isinstance(value, float):
            out.append(float_form(value))
        elif isinstance(value, list):
            out.append(b"[")
            for each in value:
                self.put(each, out)
            out.append(b"]")
        else:
            out.append(b"{")
            for name in sorted(value, key=str.encode):
                self.put(name, out)
                self.put(value[name], out)
            out.append(b"}")

    def integer(self, digits):
        number = int(digits)
        # The one integer that is a float in every Lua.
        if digits == "-0":
            return b"d-0;"
        fits = -2**63 <= number < 2**63 if self.has_integers else abs(number) <= 2**53
        if fits:
            return b"i%d;" % number if self.has_integers else float_form(float(number))
        if self.big == "string":
            return b"s%d:%s" % (len(digits), digits.encode())
        return float_form(float(digits))


def strictness(value):
    """The reason for which the module refuses what Python accepts, or None."""
    stack = [(value, 1)]
    while stack:
        each, depth = stack.pop()
        if isinstance(each, Big):
            if abs(float(each)) == float("inf"):
                return "a number out of range"
        elif isinstance(each, str):
            if re.search("[\ud800-\udfff]", each):
                return "half of a surrogate pair"
        elif isinstance(each, float):
            if abs(each) == float("inf"):
                return "a number out of range"
        elif isinstance(each, (list, dict)):
            if depth > DEPTH:
                return f"nested deeper than {DEPTH}"
            stack += [(inner, depth + 1) for inner in (each.values() if isinstance(each, dict) else each)]
            if isinstance(each, dict):
                stack += [(name, depth) for name in each]
    return None


def pointers(value):
    """Some pointers into a value, and what each leads to. Always the same ones."""
    chosen, pick = [("", value)], random.Random(1)
    if isinstance(value, (list, dict)):
        chosen.append(("/no such name", None))
    for _ in range(POINTERS):
        pointer, here = "", value
        while isinstance(here, (list, dict)) and here and (not pointer or pick.random() < 0.9):
            if isinstance(here, list):
                index = pick.randrange(len(here))
                pointer, here = f"{pointer}/{index}", here[index]
            else:
                name = pick.choice(list(here))
                pointer, here = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", here[name]
        chosen.append((pointer, here))
    return chosen


def has_twins(data):
    """Whether an object has a name twice: get takes the first one, decode the last."""
    twins = []

    def note(pairs):
        twins.append(len(pairs) > len(dict(pairs)))

    json.loads(data, object_pairs_hook=note)
    return any(twins)


class Case:
    """A document, and what Python makes of it."""

    def __init__(self, document):
        self.document, self.value, self.pointers = document, None, []
        try:
            self.value = parse(document.data)
        except Refused as why:
            self.verdict, self.reason = REFUSE, str(why)
        else:
            self.reason = strictness(self.value)
            self.verdict = REFUSE if self.reason else ACCEPT
        if self.verdict is ACCEPT and not has_twins(document.data):
            self.pointers = pointers(self.value)

    def write(self, jobs):
        for text in (self.document.data, str(len(self.pointers)).encode(),
                     *(pointer.encode() for pointer, _ in self.pointers)):
            jobs.write(b"%d\n%s" % (len(text), text))

    def check(self, take, has_integers):
        """Reads what came of the document, and yields each fault."""
        form, digits = Form(has_integers), Form(has_integers, "string")
        decoded, as_string, written, again, laid_out = (take() for _ in range(5))
        found = [(take(), take()) for _ in self.pointers]
        streamed, rest = take(), take()
        is_refused = decoded.startswith(b"refused: ")
        says = self.document.verdict
        if says is not EITHER and (says is REFUSE) != is_refused and not self.excused(is_refused):
            yield f"the corpus says {says}: {decoded[:80]}"
        if self.verdict is REFUSE:
            if not is_refused:
                yield f"accepted, and Python says {self.reason}"
            elif b"line " not in decoded:
                yield f"no place in {decoded[:80]}"
            yield from self.check_refused_stream(streamed, rest)
            return
        expected = form.of(self.value)
        if is_refused:
            yield f"{decoded[:80]}, and Python accepts it"
            return
        if isinstance(self.document, documents.Number):
            yield from self.check_number(decoded, has_integers)
        yield from differs("decode", decoded, expected)
        yield from differs("bigint", as_string, digits.of(self.value))
        yield from differs("the second decode", again, expected)
        for how, text in (("encode", written), ("the layout", laid_out)):
            try:
                yield from differs(how, form.of(parse(text)), expected)
            except Refused as why:
                yield f"{how}: Python refuses it: {why}"
        if not laid_out.isascii():
            yield "ascii: another byte"
        for (pointer, value), (single, together) in zip(self.pointers, found):
            wanted = b"nothing" if pointer == "/no such name" else form.of(value)
            yield from differs(f"get {pointer!r}", single, wanted)
            yield from differs(f"get {pointer!r} of several", together, wanted)
        yield from differs("read_json", streamed, expected)
        if rest.strip(b" \t\r\n"):
            yield f"read_json left {rest[:40]}"

    def excused(self, is_refused):
        """Whether the module refuses for a reason of its own what the corpus wants accepted."""
        return is_refused and self.reason in REASONS

    def check_refused_stream(self, streamed, rest):
        """A stream may begin with a value; what follows it is for the next read."""
        if not streamed.startswith(b"refused: ") and not rest.strip(b" \t\r\n"):
            yield f"read_json took all of it: {streamed[:80]}"

    def check_number(self, decoded, has_integers):
        bits = struct.unpack("<d", struct.pack("<Q", self.document.bits))[0]
        if decoded[:1] == b"i":
            if float(int(decoded[1:-1])) != bits:
                yield f"{decoded[:40]} is not {bits!r}"
        elif decoded != float_form(bits):
            yield f"{decoded[:40]} is not {bits!r}"


REASONS = ("half of a surrogate pair", "a number out of range", f"nested deeper than {DEPTH}")


def differs(what, ours, theirs):
    if ours != theirs:
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        start = max(0, at - 20)
        yield f"{what}: {ours[start:at + 30]} is not {theirs[start:at + 30]}, at {at}"


def run(lua, library, cases):
    """Yields the results of a list of cases, each as a function that takes the next string."""
    environment = {**os.environ, "LUA_CPATH": f"{library}/?.so", "LC_ALL": "C"}
    with tempfile.TemporaryDirectory(prefix="corpora-") as folder:
        jobs, results = Path(folder, "jobs"), Path(folder, "results")
        with jobs.open("wb") as file:
            for case in cases:
                case.write(file)
        subprocess.run([lua, str(HERE / "decode.lua"), str(jobs), str(results)], env=environment,
                       check=True, timeout=1800)
        with results.open("rb") as file:
            yield lambda: file.read(int(file.readline()))


def version(folder):
    describe = ["git", "-C", str(folder), "log", "-1", "--format=%h of %cs"]
    if (folder / ".git").exists():
        return subprocess.run(describe, capture_output=True, text=True).stdout.strip()
    package = folder / "package.json"
    return json.loads(package.read_text())["version"] if package.exists() else "?"


def main():
    lua, library, corpora = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    only = sys.argv[4:]
    has_integers = subprocess.run([lua, "-e", "os.exit(math.type and 0 or 1)"]).returncode == 0
    print(f"{lua}\n\n| corpus | version | documents | accepted | refused | "
          "of these accepted by Python | faults |\n|---|---|---|---|---|---|---|")
    faults, reasons, total = [], Counter(), 0
    for name, read in documents.ALL:
        folder = corpora / name
        if only and name not in only:
            continue
        if not folder.is_dir():
            print(f"| {name} | not in {corpora} | | | | | |")
            continue
        cases = [Case(document) for document in read(folder)]
        bad, strict = 0, Counter(case.reason for case in cases if case.reason in REASONS)
        for take in run(lua, library, cases):
            for case in cases:
                found = list(case.check(take, has_integers))
                bad += bool(found)
                faults += [f"{name}/{case.document.name}: {fault}" for fault in found]
        reasons += strict
        total += len(cases)
        refused = sum(case.verdict is REFUSE for case in cases)
        print(f"| {name} | {version(folder)} | {len(cases)} | {len(cases) - refused} | {refused} | "
              f"{sum(strict.values())} | {bad} |", flush=True)
    for reason, count in reasons.most_common():
        print(f"\n{count} that Python accepts have {reason}.", end="")
    print()
    for fault in faults[:200]:
        print(fault)
    if not total:
        print(f"nothing was run: no corpus is in {corpora}")
    sys.exit(1 if faults or not total else 0)


if __name__ == "__main__":
    sys.setrecursionlimit(20000)
    main()
