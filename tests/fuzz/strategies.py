"""Ways to spoil a body, for hypothesis."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st

from cereal_methods.serializers import signing

from .outcomes import SEEDS, seed

_KINDS: Final = st.sampled_from(sorted(SEEDS))
#: The kinds whose bodies have a header in every format.
_HEADED: Final = st.sampled_from(sorted(SEEDS.keys() - {"plain", "value"}))

#: Pieces that mean something in one of the formats.
_TOKENS: Final = [
    *("{", "}", "[", "]", '"', "\n", ":", ",", "\\u0000", "\\ud800", "null", "NaN", "1e999"),
    *('{"$ref":0}', '{"$ref":-1}', '{"$ref":1e9}', '{"$ref":"0"}', '{"$$ref":0}'),
    *('{"__type__":"uuid","__value__":"c4n4ry"}', '{"__type__":"c4n4ry","__value__":1}'),
    *("&a ", "*a", "<<: ", "!ref 0", "!ref c4n4ry", "!!python/name:os.system ", "!!int 1:1", "? "),
    *("!!timestamp c4n4ry", "!!binary c4n4ry", "!!set ", "- ", "--- ", "%TAG ! x\n", "0x", "~"),
    *('{"cereal":1,"call":0}\n', '{"cereal":2}\n', '{"cereal":1,"result":2}\n[]'),
    *("\xc7\x01\x43", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xc6\x7f\xff\xff\xff"),
    *("\xd4\x43$", "\xc7\x05\x43$ref9", "\xd6\xff\x00\x00\x00\x00", "\x93\x90\x80\xc0"),
    *(
        "\x01",
        "\x80\x05",
        "cos\nsystem\n",
        "\x8c\x02os",
        "\x93",
        "R.",
        "cposix\nsystem\n(S'x'\ntR.",
    ),
]

_COUNTS: Final = st.one_of(
    st.integers(-2, 200),
    st.sampled_from([2**31, 2**63, 10**30, -(10**30), 0.5, 1e300, True, None, "1", [], {}]),
)
_KEYS: Final = st.recursive(
    st.one_of(
        st.integers(),
        st.text(max_size=5),
        st.none(),
        st.booleans(),
        st.floats(),
        st.fixed_dictionaries({}, optional={"uuid": st.text(max_size=9), "date": st.just("2026")}),
        st.fixed_dictionaries({"decimal": st.sampled_from(["1", "NaN", "x", "1e999999999"])}),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
_REFERENCES: Final = st.one_of(
    st.just(["shop.Order", 5, "default"]),
    st.tuples(st.sampled_from(["shop.Order", "shop.Gone", "", ".", "a.b.c"]), _KEYS, st.text()),
    st.tuples(st.just("shop.Order"), st.lists(_KEYS, max_size=4), st.just("x"), st.just("rows")),
    _KEYS,
)
_HEADERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "cereal": st.one_of(st.just(1), _COUNTS, st.text(max_size=3)),
        "refs": st.one_of(st.lists(_REFERENCES, max_size=5), _COUNTS),
        "call": _COUNTS,
        "embed": _COUNTS,
        "result": _COUNTS,
        "fetch": _COUNTS,
        "this": _COUNTS,
        "eager": _COUNTS,
        "mark": st.one_of(st.sampled_from(["$ref", "$$ref", "", "a"]), _COUNTS),
        "other": _COUNTS,
    },
)
_NOISE: Final = st.one_of(
    st.binary(max_size=20), st.sampled_from(_TOKENS).map(lambda text: text.encode("latin-1"))
)
#: Each change: what is done, where it begins and ends (in parts of the body), what is put there.
_CHANGES: Final = st.lists(
    st.tuples(
        st.sampled_from(["cut", "drop", "put", "write", "twice", "turn", "lines", "bit"]),
        st.floats(0, 1),
        st.floats(0, 1),
        _NOISE,
    ),
    min_size=1,
    max_size=4,
)


def as_bytes(payload: Any) -> bytes:
    """Return a payload as a broker holds it."""
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def _line(header: Any) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode()


def _changed(data: bytes, change: tuple[str, float, float, bytes]) -> bytes:
    what, one, other, noise = change
    start, end = sorted((int(one * len(data)), int(other * len(data))))
    if what == "cut":
        return data[:end]
    if what == "drop":
        return data[:start] + data[end:]
    if what == "put":
        return data[:start] + noise + data[start:]
    if what == "write":
        return data[:start] + noise + data[start + len(noise) :]
    if what == "twice":
        return data[:end] + data[start:]
    if what == "turn":
        return data[start:end] + data[:start] + data[end:]
    if what == "lines":
        return b"\n".join(reversed(data.split(b"\n")))
    if start < len(data):
        return data[:start] + bytes([data[start] ^ (1 << (end % 8))]) + data[start + 1 :]
    return data


def measured(body: bytes, name: str) -> bytes:
    """Return a body with lengths in its header that are right, if it has a header at all."""
    start = max(body.find(b"{"), 0)
    line, newline, rest = body[start:].partition(b"\n")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return body
    if not newline or not isinstance(header, dict):
        return body
    size = len(rest)
    if name in ("cereal-json", "cereal-yaml"):
        text = rest.decode("utf-8", "replace")
        rest, size = text.encode(), len(text)
    call = header.get("call")
    if "embed" in header and type(call) is int and 0 <= call <= size:
        header["embed"] = size - call
    else:
        header["result" if "result" in header else "call"] = size
    return body[:start] + _line(header) + b"\n" + rest


@st.composite
def mutated(draw: st.DrawFn, name: str) -> list[bytes]:
    """Give what becomes of a sender's body, change by change, and joined with another's."""
    data = as_bytes(seed(draw(_KINDS), name))
    bodies = []
    for change in draw(_CHANGES):
        data = _changed(data, change)
        bodies.append(data)
    other = as_bytes(seed(draw(_KINDS), name))
    return [*bodies, data[: len(data) // 2] + other[len(other) // 2 :]]


@st.composite
def framed(draw: st.DrawFn, name: str) -> list[bytes]:
    """Give bodies with a header of odd values, and lengths that are right or not."""
    payload = as_bytes(seed(draw(_HEADED), name))
    start = payload.index(b"{")
    line, _, rest = payload[start:].partition(b"\n")
    header = {**json.loads(line), **draw(_HEADERS)}
    content = _line(header) + b"\n" + rest
    if name != "cereal-pickle":
        return [content]
    # One that a holder of the key has signed, and one that nobody has.
    signed = b"\x01" + signing.sign(b"\x01", content) + content
    return [signed, b"\x01" + b"\x00" * signing.SIZE + content]


@st.composite
def filled(draw: st.DrawFn, name: str) -> list[bytes]:
    """Give bodies with a header that is right, and something else in their blobs."""
    payload = as_bytes(seed(draw(_HEADED), name))
    start = payload.index(b"{")
    line, _, rest = payload[start:].partition(b"\n")
    header = json.loads(line)
    bodies = []
    for change in draw(_CHANGES):
        rest = _changed(rest, change)
        bodies.append(measured(payload[:start] + _line(header) + b"\n" + rest, name))
    return bodies


@st.composite
def random(draw: st.DrawFn, name: str) -> list[bytes]:
    """Give bytes, and pieces that mean something, with and without a header before them."""
    data = b"".join(draw(st.lists(_NOISE, max_size=12)))
    size = len(data) if name in ("cereal-msgpack", "cereal-pickle") else len(data.decode("latin-1"))
    header = b'{"cereal":1,"refs":[["shop.Order",5,"default"]],"call":%d}\n' % size
    start = b"\x01" + b"\x00" * signing.SIZE if name == "cereal-pickle" else b""
    if name in ("cereal-json", "cereal-yaml"):
        data = data.decode("latin-1").encode()
    return [data, start + data, start + header + data]


def bodies(name: str) -> st.SearchStrategy[list[bytes]]:
    """Give bodies of a format that are spoilt in one of these ways."""
    return st.one_of(mutated(name), filled(name), filled(name), framed(name), random(name))
