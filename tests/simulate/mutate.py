#!/usr/bin/env python3
"""mutate.py [SEEDS [WORDS]]: breaks a copy of the source in each of the ways of `mutations`, one at
a time, or in those whose title has these words, and has the simulator find it within SEEDS seeds
(10000). Prints the first seed that found it; fails if one was not found. The copy is in
.build/mutations; nothing else is changed."""

import os
import re
import shutil
import subprocess
import sys

FOLDER = ".build/mutations"


def mutations():
    """What is broken, the file, the text and what replaces it."""
    with open("tests/simulate/mutations", encoding="utf-8") as file:
        for block in file.read().strip().split("\n\n"):
            what, path, old, new = block.split("\n")
            yield what, path, old[2:].replace("\\n", "\n"), new[2:].replace("\\n", "\n")


def copy_source():
    listing = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             stdout=subprocess.PIPE, check=True)
    for path in listing.stdout.decode().split("\0"):
        if re.match(r"(Cargo\.|build\.rs|src/|crates/|tests/|scripts/simulate)", path) and os.path.isfile(path):
            target = os.path.join(FOLDER, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(path, target)


def simulate(seeds):
    """Its output, and whether it found nothing."""
    # What was built before serves again, and what is built is used once.
    environment = dict(os.environ, CARGO_TARGET_DIR=os.path.abspath("target/simulate"), PROFILE="dev")
    run = subprocess.run(["scripts/simulate", "--seeds", seeds], cwd=FOLDER, env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return run.stdout.decode(errors="replace"), run.returncode == 0


def main():
    seeds = sys.argv[1] if len(sys.argv) > 1 else "10000"
    words = sys.argv[2] if len(sys.argv) > 2 else ""
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    shutil.rmtree(FOLDER, ignore_errors=True)
    copy_source()
    missed = 0
    for what, path, old, new in mutations():
        if words not in what:
            continue
        target = os.path.join(FOLDER, path)
        with open(target, encoding="utf-8") as file:
            whole = file.read()
        if whole.count(old) != 1:
            sys.exit(f"mutate: {path} has {whole.count(old)} times: {old}")
        with open(target, "w", encoding="utf-8") as file:
            file.write(whole.replace(old, new))
        output, is_missed = simulate(seeds)
        with open(target, "w", encoding="utf-8") as file:
            file.write(whole)
        found = re.search(r"^simulate: seed (\d+): (?:panicked at [^\n]*\n)?([^\n]*)", output, re.MULTILINE)
        if is_missed or not found:
            missed += 1
            print(f"MISSED: {what}\n{'' if is_missed else output}", flush=True)
        else:
            print(f"seed {found[1]}: {what}\n    {found[2]}", flush=True)
    print(f"mutate: {missed} missed" if missed else "mutate: all found", flush=True)
    return missed > 0


sys.exit(main())
