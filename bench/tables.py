#!/usr/bin/env python3
"""Prints the tables of bench/README.md from what was measured last: `bench/tables.py [FOLDER]`, with --write into that
file, between its lines `<!-- NAME: bench/tables.py -->` and `<!-- end -->`. FOLDER is .build/bench, where `make bench`,
`make bench-json` and `make bench-loops` leave their figures, the last two for each Lua. What is missing is left as it
is.
"""

import json
import os
import re
import sys

README = "bench/README.md"
LUAS = {"lua5.4": ("Lua 5.4", "lua54"), "luajit": ("LuaJIT", "luajit")}
PEERS = ["cqueues", "luv", "net", "limit", "floor"]
WAYS = ["options", "safe", "run"]


def load(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def text(value):
    return "-" if value is None else f"{value:.2f}"


def wall(row, peer):
    return row["medians"].get(peer, {}).get("wall_ratio")


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(row) + " |" for row in rows]


def measured(result):
    """Where the figures of `make bench` come from."""
    known = result["versions"]
    libraries = ", ".join(f"{name} {known[key]}" for name, key in [
        ("LuaSec", "ssl"), ("lua-cjson", "cjson"), ("cqueues", "cqueues"), ("luv", "luv")])
    return (f"{result['date']}, `{result['command']}`, medians of {result['rounds']} rounds: {known['system']}, "
            f"{known['processors']} processors, {known['socket']}, {libraries}, {known['openssl']}, "
            + ", ".join(known["lua"].values()) + f"; commit {known['commit']}.")


def beside(result):
    lines = [measured(result)]
    for lua, rows in result["luas"].items():
        head = [LUAS.get(lua, (lua, ""))[0], "tcp", "CPU", *WAYS, *("C" if peer == "limit" else peer for peer in PEERS)]
        lines += [""] + table(head, [
            [row["title"], f"**{text(wall(row, 'tcp'))}**", text(row["medians"].get("tcp", {}).get("cpu_ratio"))]
            + [text(wall(row, peer)) for peer in WAYS + PEERS] for row in rows.values()])
        others = [f"`socat` took {text(wall(row, 'socat'))} for \"{row['title']}\"" for row in rows.values()
                  if "socat" in row["medians"]]
        if others:
            lines += ["", "; ".join(others) + "."]
    return lines


# A word for each row that is wanted by something else than LuaSocket's stack, or of another way.
def named(row):
    return row["title"] + (", with options" if row["of"] == "options" else "") + (
        ", by C's time" if row["by"] == "limit" else "")


def cells(row):
    """Wanted, reached, the ways, and the floor."""
    if row is None:
        return ["-"] * 4
    is_there = row["reach"] is not None and row["reached"] is not None
    mark = "**" if is_there and row["reached"] <= row["reach"] else ""
    ways = " ".join(text(wall(row, way)) for way in WAYS if way in row["medians"]) or "-"
    floor = wall(row, "floor") or wall(row, "limit")
    if row["by"] == "limit":
        floor = 1.0
    return [text(row["reach"]), mark + text(row["reached"]) + mark, ways, text(floor)]


def reach(result, jsons, loops):
    lines = []
    if result:
        names = [name for rows in result["luas"].values() for name, row in rows.items() if row["reach"] is not None]
        rows = []
        for name in dict.fromkeys(names):
            both = [result["luas"].get(lua, {}).get(name) for lua in LUAS]
            rows.append([named(next(each for each in both if each))] + cells(both[0]) + cells(both[1]))
        lines += [measured(result), ""] + table(
            ["under is better", "5.4: wanted", "reached", "options, safe, run", "floor",
             "LuaJIT: wanted", "reached", "options, safe, run", "floor"], rows)
    if all(loops):
        first = loops[0]
        rows = []
        for name in ("luv", "cqueues"):
            cell = [f"in a loop of {name}", text(first["wanted"])]
            for each in loops:
                ratio = each["rows"][f"tcp+{name}"]["packets"]
                mark = "**" if ratio >= each["wanted"] else ""
                cell += [mark + text(ratio) + mark, text(each["rows"][f"floor+{name}"]["packets"]),
                         text(each["rows"]["C"]["packets"])]
            rows.append(cell)
        lines += ["", f"{first['date']}, `make bench-loops`, {first['connections']} connections, {first['packets']} "
                  f"packets each way, medians of {first['rounds']} rounds: packets per second by those of the better of "
                  "luv's and cqueues' own sockets.", ""] + table(
            ["over is better", "wanted", "5.4: reached", "floor", "C", "LuaJIT: reached", "floor", "C"], rows)
    if all(jsons):
        rows = []
        for one, other in zip(*(each["rows"] for each in jsons)):
            if not one.get("like"):
                continue
            wanted = 1.25 if one["action"] == "decode" else 1.70
            cell = [f"{one['action']} {one['document']} (as {one['like']})", text(wanted)]
            for row in (one, other):
                figures = row["figures"]
                mark = "**" if figures["best"] >= wanted else ""
                most = figures["best"] / figures["floor"] if "floor" in figures else None
                cell += [mark + text(figures["best"]) + mark, text(most)]
            rows.append(cell)
        versions = ", ".join(f"lua-{name} {version}" for name, version in jsons[0]["versions"].items())
        lines += ["", f"{jsons[0]['date']}, `make bench-json`, medians of {jsons[0]['rounds']} rounds: speed by that of "
                  f"the best of {versions}. The floor reads and writes no JSON.", ""] + table(
            ["over is better", "wanted", "5.4: reached", "floor", "LuaJIT: reached", "floor"], rows)
    return lines


def documents(jsons):
    names = list(jsons[0]["versions"])
    lines = []
    for (lua, _), result in zip(LUAS.values(), jsons):
        lines += [""] + table([lua, "bytes", "MB/s", *(f"lua-{name}" for name in names), "floor"], [
            [f"{row['action']} {row['document']}" + (f" (as {row['like']})" if row.get("like") else ""),
             f"{row['bytes']:,}", f"{row['figures']['MB_per_second']:.0f}"]
            + [text(row["figures"].get(name)) for name in [*names, "floor"]] for row in result["rows"]])
    return [f"{jsons[0]['date']}, `make bench-json`, medians of {jsons[0]['rounds']} rounds: the time of each by ours, "
            "in one process."] + lines


def in_loops(loops):
    titles = {
        "tcp+luv": "this module in a loop of luv", "tcp+cqueues": "this module in a loop of cqueues",
        "luv": "luv's own sockets, with callbacks", "cqueues": "cqueues' own sockets", "C": "C, with epoll",
        "floor+luv": "the floor in a loop of luv", "floor+cqueues": "the floor in a loop of cqueues",
    }

    def cell(row):
        memory = f", {row['memory']:,.0f} B" if row["memory"] else ""
        return f"{row['packets']:.2f}, {row['cpu']:.2f}{memory}"

    first = loops[0]
    return [f"{first['date']}, `make bench-loops`, {first['connections']} connections, {first['packets']} packets each "
            f"way, medians of {first['rounds']} rounds."] + [""] + table(
        ["packets per second, CPU, memory", *(lua for lua, _ in LUAS.values())],
        [[title] + [cell(each["rows"][peer]) for each in loops] for peer, title in titles.items()]) + [
        "", "An idle connection without a coroutine takes "
        + " and ".join(f"{each['idle']:,.0f}" for each in loops) + " bytes."]


def main(arguments):
    folders = [each for each in arguments if each != "--write"]
    folder = folders[0] if folders else ".build/bench"
    result = load(folder, "result.json")
    jsons = [load(folder, f"json.{flavor}") for _, flavor in LUAS.values()]
    loops = [load(folder, f"loops.{flavor}") for _, flavor in LUAS.values()]
    parts = {"reach": reach(result, jsons, loops)}
    if result:
        parts["beside"] = beside(result)
    if all(jsons):
        parts["json"] = documents(jsons)
    if all(loops):
        parts["loops"] = in_loops(loops)
    if "--write" not in arguments:
        for name, lines in parts.items():
            print(f"\n<!-- {name} -->", *lines, sep="\n")
        return
    with open(README, encoding="utf-8") as file:
        whole = file.read()
    for name, lines in parts.items():
        begin = f"<!-- {name}: bench/tables.py -->\n"
        pattern = re.escape(begin) + ".*?(?=<!-- end -->)"
        assert lines == [] or re.search(pattern, whole, re.S), f"{README} has no place for {name}"
        if lines:
            block = begin + "\n" + "\n".join(lines).strip() + "\n\n"
            whole = re.sub(pattern, lambda _, block=block: block, whole, flags=re.S)
    with open(README, "w", encoding="utf-8") as file:
        file.write(whole)


main(sys.argv[1:])
