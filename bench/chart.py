"""Draws what bench/run.py measured, as SVG: a panel for each Lua. Each row has a bar for this module as the README
has it, thin ones for the other ways to write the same, and marks for the others. Below stands JSON, of
bench/json/compare.lua, if it was measured. `python3 bench/chart.py [RESULT [CHART]]` draws an earlier result again;
JSON is taken from the files json.FLAVOR in the folder of RESULT.
"""

import json
import os
import sys
from xml.sax.saxutils import escape

WIDTH, LEFT, PANEL, GAP = 860, 284, 250, 50
TOP, ROW, JSON_ROW, BAR, THIN = 104, 30, 20, 11, 3
MOST = 1.4  # what is longer is cut there
RESULT, CHART = ".build/bench/result.json", "bench/chart.svg"

# What stands for a peer, drawn around 0, 0.
MARKS = {
    "cqueues": '<circle r="4"/>',
    "luv": '<path d="M0-5 5 0 0 5-5 0z"/>',
    "net": '<path d="M-4-4h8v8h-8z"/>',
    "limit": '<path d="M-1.5-9h3V9h-3z"/>',
    "simdjson": '<circle r="4"/>',
    "rapidjson": '<path d="M0-5 5 0 0 5-5 0z"/>',
    "floor": '<path d="M-1.5-9h3V9h-3z"/>',
}
NAMES = {"cqueues": "cqueues", "luv": "luv", "net": "lua-net", "limit": "C alone"}
JSON_NAMES = {"simdjson": "lua-simdjson", "rapidjson": "lua-rapidjson", "floor": "floor: tables and strings alone"}
WAYS = {"options": "with options", "safe": "tcp.safe", "run": "in tcp.run"}

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11px; fill: #59636e }
  .value { font-weight: 600 }
  .page { fill: #fff } .bar { fill: #0b6bcb } .grid { stroke: #d8dee4 } .one { stroke: #59636e; stroke-width: 1.5 }
  .options { fill: #5aa2e6 } .safe { fill: #8e6fd0 } .run { fill: #1e9c9c }
  .cqueues, .simdjson { fill: #d4622a } .luv, .rapidjson { fill: #2c8a4b } .net { fill: #b3368d }
  .limit, .floor { fill: #1f2328 } .mark { stroke: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9aa4af }
    .page { fill: #0d1117 } .bar { fill: #2f81d8 } .grid { stroke: #2b323b } .one { stroke: #9aa4af }
    .options { fill: #79b8f2 } .safe { fill: #a78be0 } .run { fill: #3fc1c1 }
    .cqueues, .simdjson { fill: #f0883e } .luv, .rapidjson { fill: #56d364 } .net { fill: #e07cc4 }
    .limit, .floor { fill: #e6edf3 } .mark { stroke: #0d1117 }
  }"""


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x, top, bottom, kind):
    return f'<path d="M{x:.1f} {top}V{bottom}" class="{kind}"/>'


def place(ratio):
    return min(ratio, MOST) / MOST * PANEL


def mark(peer, x, y):
    return f'<g transform="translate({x:.1f} {y:.1f})" class="mark {peer}">{MARKS[peer]}</g>'


def bar(left, y, height, ratio, kind):
    return f'<rect x="{left}" y="{y:.1f}" width="{place(ratio):.1f}" height="{height}" class="{kind}"/>'


def heading(result):
    known = result["versions"]
    libraries = ", ".join(f"{name} {known[key]}" for name, key in [
        ("LuaSec", "ssl"), ("lua-cjson", "cjson"), ("cqueues", "cqueues"), ("luv", "luv")])
    return [
        text(16, 26, "Wall time, LuaSocket + LuaSec + lua-cjson = 1; shorter is faster", "title"),
        text(16, 46, f"{result['date']}, {known['tcp']}, {known['socket']}, {libraries}, {known['openssl']}", "small"),
        text(16, 62, f"{known['system']}, {known['processors']} processors; {result['command']}; "
             f"medians of {result['rounds']} rounds", "small"),
    ]


def legend(y, bars, names):
    parts, x = [], 16
    for kind, name in bars.items():
        parts += [f'<rect x="{x}" y="{y - 10}" width="22" height="11" class="{kind}"/>', text(x + 27, y, name)]
        x += 50 + 6.6 * len(name)
    for peer, name in names.items():
        parts += [mark(peer, x + 6, y - 4), text(x + 16, y, name)]
        x += 36 + 6.6 * len(name)
    return parts


def panel(left, top, height, lua, rows, names, peers):
    """`rows` has the ratios of each row by peer; "tcp" is ours."""
    bottom = top + height * len(names)
    parts = [text(left, top - 10, lua)]
    for step, kind in ((0, "grid"), (0.5, "grid"), (1, "one")):
        parts += [line(left + place(step), top, bottom, kind),
                  text(left + place(step), bottom + 14, f"{step:g}", "small", "middle")]
    for number, name in enumerate(names):
        ratios = rows.get(name, {})
        y = top + height * number + 4
        if "tcp" in ratios:
            parts += [bar(left, y, BAR, ratios["tcp"], "bar"),
                      text(left - 8, y + BAR - 1, f"{ratios['tcp']:.2f}", "value", "end")]
        for way in WAYS:
            if way in ratios:
                parts.append(bar(left, y + BAR + 1 + list(WAYS).index(way) * (THIN + 0.5), THIN, ratios[way], way))
        parts += [mark(peer, left + place(ratios[peer]), y + BAR / 2) for peer in peers if peer in ratios]
    return parts


def section(top, height, titles, panels, peers):
    """A table of rows of such a height: `titles` by name, and for each Lua its name and rows."""
    parts = [text(16, top + height * number + 4 + BAR - 1, title) for number, title in enumerate(titles.values())]
    for number, (lua, rows) in enumerate(panels):
        parts += panel(LEFT + number * (PANEL + GAP), top, height, lua, rows, list(titles), peers)
    return parts


def json_results(folder, count):
    """What bench/json/compare.lua has left, for Lua 5.4 and LuaJIT; nothing if one is missing."""
    paths = [os.path.join(folder, f"json.{flavor}") for flavor in ("lua54", "luajit")][:count]
    if not all(os.path.exists(path) for path in paths):
        return []
    results = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            results.append(json.load(file))
    return results


def json_rows(result):
    """Times by those of lua-cjson, by row."""
    rows = {}
    for row in result["rows"]:
        figures = row["figures"]
        theirs = {"tcp": 1} | {name: figures[name] for name in JSON_NAMES if name in figures}
        rows[f"{row['action']} {row['document']}"] = {name: time / figures["cjson"] for name, time in theirs.items()}
    return rows


def json_titles(result):
    return {f"{row['action']} {row['document']}": f"{row['action']} {row['document']}"
            + (f" (as {row['like']})" if row.get("like") else "") for row in result["rows"]}


def draw(result, path, folder=os.path.dirname(RESULT)):
    luas = result["luas"]
    titles = {name: row["title"] for rows in luas.values() for name, row in rows.items()}
    names = [result["versions"]["lua"].get(lua) or lua for lua in luas]
    ratios = [{name: {peer: each["wall_ratio"] for peer, each in row["medians"].items()}
               for name, row in rows.items()} for rows in luas.values()]
    parts = heading(result) + section(TOP, ROW, titles, zip(names, ratios), NAMES)
    bottom = TOP + ROW * len(titles) + 38
    parts += legend(bottom, {"bar": "tcp, this module"} | WAYS, NAMES)
    results = json_results(folder, len(luas))
    if results:
        top = bottom + 82
        versions = ", ".join(f"lua-{name} {version}" for name, version in results[0]["versions"].items())
        parts += [
            text(16, top - 48, "JSON: CPU time, lua-cjson = 1; shorter is faster", "title"),
            text(16, top - 30, f"{results[0]['date']}, {versions}; make bench-json; medians of {results[0]['rounds']} "
                 "rounds", "small"),
        ] + section(top, JSON_ROW, json_titles(results[0]), zip(names, map(json_rows, results)), JSON_NAMES)
        bottom = top + JSON_ROW * len(json_titles(results[0])) + 38
        parts += legend(bottom, {"bar": "tcp, this module"}, JSON_NAMES)
    height = bottom + 12
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                   f'height="{height}" role="img" aria-label="Wall time of each scenario by that of LuaSocket">\n'
                   f"<style>{STYLE}\n</style>\n" f'<rect width="{WIDTH}" height="{height}" class="page"/>\n'
                   + "\n".join(parts) + "\n</svg>\n")


if __name__ == "__main__":
    source = sys.argv[1] if len(sys.argv) > 1 else RESULT
    with open(source, encoding="utf-8") as opened:
        draw(json.load(opened), sys.argv[2] if len(sys.argv) > 2 else CHART, os.path.dirname(source))
