"""Draws what bench/run.py measured, as SVG: a panel for each Lua, a bar for this module in each row, marks
for the others. `python3 bench/chart.py [RESULT [CHART]]` draws an earlier result again.
"""

import json
import sys
from xml.sax.saxutils import escape

WIDTH, LEFT, PANEL, GAP = 860, 284, 250, 50
TOP, ROW, BAR = 104, 25, 14
MOST = 1.4  # what is longer is cut there

# What stands for a peer, drawn around 0, 0.
MARKS = {
    "cqueues": '<circle r="4"/>',
    "luv": '<path d="M0-5 5 0 0 5-5 0z"/>',
    "limit": '<path d="M-1.5-9h3V9h-3z"/>',
}
NAMES = {"cqueues": "cqueues", "luv": "luv", "limit": "C, without Lua and JSON"}

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11px; fill: #59636e }
  .value { font-weight: 600 }
  .page { fill: #fff } .bar { fill: #0b6bcb } .grid { stroke: #d8dee4 } .one { stroke: #59636e; stroke-width: 1.5 }
  .cqueues { fill: #d4622a } .luv { fill: #2c8a4b } .limit { fill: #1f2328 } .mark { stroke: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9aa4af }
    .page { fill: #0d1117 } .bar { fill: #2f81d8 } .grid { stroke: #2b323b } .one { stroke: #9aa4af }
    .cqueues { fill: #f0883e } .luv { fill: #56d364 } .limit { fill: #e6edf3 } .mark { stroke: #0d1117 }
  }"""


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x, top, bottom, kind):
    return f'<path d="M{x:.1f} {top}V{bottom}" class="{kind}"/>'


def place(ratio):
    return min(ratio, MOST) / MOST * PANEL


def mark(peer, x, y):
    return f'<g transform="translate({x:.1f} {y:.1f})" class="mark {peer}">{MARKS[peer]}</g>'


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


def legend(y):
    parts, x = [f'<rect x="16" y="{y - 10}" width="22" height="11" class="bar"/>', text(43, y, "tcp, this module")], 150
    for peer, name in NAMES.items():
        parts += [mark(peer, x, y - 4), text(x + 10, y, name)]
        x += 30 + 6.6 * len(name)
    return parts


def panel(left, lua, rows, names, bottom):
    parts = [text(left, TOP - 10, lua)]
    for step in (0, 0.5):
        parts += [line(left + place(step), TOP, bottom, "grid"),
                  text(left + place(step), bottom + 14, f"{step:g}", "small", "middle")]
    parts += [line(left + place(1), TOP, bottom, "one"), text(left + place(1), bottom + 14, "1", "small", "middle")]
    for number, name in enumerate(names):
        medians = rows.get(name, {}).get("medians", {})
        middle = TOP + ROW * number + ROW / 2
        if "tcp" in medians:
            ratio = medians["tcp"]["wall_ratio"]
            parts += [
                f'<rect x="{left}" y="{middle - BAR / 2}" width="{place(ratio):.1f}" height="{BAR}" class="bar"/>',
                text(left - 8, middle + 4, f"{ratio:.2f}", "value", "end")]
        parts += [mark(peer, left + place(medians[peer]["wall_ratio"]), middle) for peer in NAMES if peer in medians]
    return parts


def draw(result, path):
    luas = result["luas"]
    titles = {name: row["title"] for rows in luas.values() for name, row in rows.items()}
    bottom = TOP + ROW * len(titles)
    height = bottom + 50
    parts = heading(result)
    for number, title in enumerate(titles.values()):
        parts.append(text(16, TOP + ROW * number + ROW / 2 + 4, title))
    for number, (lua, rows) in enumerate(luas.items()):
        name = result["versions"]["lua"].get(lua) or lua
        parts += panel(LEFT + number * (PANEL + GAP), name, rows, titles, bottom)
    parts += legend(height - 12)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                   f'height="{height}" role="img" aria-label="Wall time of each scenario by that of LuaSocket">\n'
                   f"<style>{STYLE}\n</style>\n" f'<rect width="{WIDTH}" height="{height}" class="page"/>\n'
                   + "\n".join(parts) + "\n</svg>\n")


if __name__ == "__main__":
    with open(sys.argv[1] if len(sys.argv) > 1 else ".build/bench/result.json", encoding="utf-8") as source:
        draw(json.load(source), sys.argv[2] if len(sys.argv) > 2 else "bench/chart.svg")
