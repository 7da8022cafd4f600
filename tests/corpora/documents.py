"""The corpora that are known: where their documents lie in a repository's clone or an unpacked
package, and what each says of them."""

import json
import lzma
import re

ACCEPT, REFUSE, EITHER = "accept", "refuse", "either"

# An older checker wanted an array or object at the top, and no more than 19 levels: RFC 8259 has
# neither rule. Their own authors exclude these files, or count them as good ones.
OLDER_RULES = re.compile(r"(fail0?1|fail18)(_EXCLUDE)?$|.*_EXCLUDE$")
# What the corpora of parsers for 64-bit integers refuse, and JSON does not.
LIMITS_OF_OTHERS = re.compile(r"fail4[01]_|fail69$")
# RFC 7159 allowed UTF-16, RFC 8259 does not: the later edition of the suite has this file as i_.
OLDER_ENCODING = re.compile(r"y_string_utf16$")


class Document:
    """A text by its name, and what its corpus says: that it must be accepted, or refused."""

    def __init__(self, name, data, verdict=EITHER):
        self.name, self.data, self.verdict = name, data, verdict


def by_name(stem):
    """The verdict that is in a file's name."""
    if any(rule.match(stem) for rule in (OLDER_RULES, LIMITS_OF_OTHERS, OLDER_ENCODING)):
        return EITHER
    if re.match(r"y_|pass\d|roundtrip\d", stem):
        return ACCEPT
    if re.match(r"n_|fail\d", stem):
        return REFUSE
    return EITHER


def files(*patterns, verdict=by_name):
    """The files of a folder, packed ones too, one document each; of `.ndjson` one for each line."""
    def read(folder):
        for pattern in patterns:
            for path in sorted(folder.glob(pattern)):
                data = path.read_bytes()
                name = str(path.relative_to(folder))
                if path.suffix == ".xz":
                    data, path = lzma.decompress(data), path.with_suffix("")
                if path.suffix == ".ndjson":
                    for number, line in enumerate(data.splitlines(), 1):
                        yield Document(f"{name}:{number}", line)
                else:
                    yield Document(name, data, verdict(path.stem))
    return read


def good(_):
    return ACCEPT


def script(folder):
    """A list of documents in a module of JavaScript; `error` says whether each is one."""
    for path in sorted((folder / "data").glob("*.js")):
        text = path.read_text().partition("export default ")[2].strip().rstrip(";")
        for case in json.loads(text):
            verdict = {True: REFUSE, False: ACCEPT, None: EITHER}[case.get("error")]
            yield Document(f"{path.stem}/{case['name']}", case["input"].encode(), verdict)


class Number(Document):
    """A document that is one number, and the double that it is."""

    def __init__(self, name, data, bits):
        grammar = rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?"
        super().__init__(name, data, EITHER if re.fullmatch(grammar, data) else REFUSE)
        self.bits = bits


def numbers(folder):
    """Lines of half, single and double in hexadecimal, and the text that they were read from."""
    for path in sorted((folder / "data").glob("*.txt")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            _, _, double, text = line.split(b" ", 3)
            yield Number(f"{path.name}:{number}", text, int(double, 16))


# By the folder's name.
ALL = [
    ("JSONTestSuite", files("test_parsing/*.json", "test_transform/*.json")),
    ("json-test-suite", script),
    ("json_test_data", files("*/*.json", "*/test_parsing/*.json")),
    ("nativejson-benchmark", files("data/*.json", "data/*/*.json")),
    ("orjson", files("data/*.json.xz", "data/*/*.json", "data/*/*.json.xz")),
    ("simdjson", files("jsonexamples/*.json", "jsonexamples/*.ndjson", verdict=good)),
    ("simdjson-data", files("jsonchecker/**/*json", "jsonexamples/**/*json")),
    ("simd-json", files("data/*.json", "data/*/*.json")),
    ("JSON-Schema-Test-Suite", files("tests/**/*.json", "remotes/**/*.json", "output-tests/**/*.json",
                                     verdict=good)),
    ("parse-number-fxx-test-data", numbers),
]
