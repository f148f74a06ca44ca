"""Small bodies that would take much time or memory, read in a process with little of both.

``python -m tests.fuzz.bombs <format>`` writes a line of JSON for each.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
import time
import tracemalloc
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

#: Bytes of address space that a process gets for its bombs, beyond what it has.
MEMORY: Final = 1 << 30
#: Seconds of processor time that it gets for all of them.
SECONDS: Final = 60

HEADER: Final = '{"cereal":1,"refs":[["shop.Order",5,"default"]],"call":%d}\n'


#: Integers that have one hash, which Python does not randomize.
ALIKE: Final = [each * (2**61 - 1) for each in range(1, 30_000)]


def _order(key: int) -> str:
    return f'["shop.Order",{key},"default"]'


def _uuid(key: int) -> str:
    return json.dumps({"uuid": str(uuid.UUID(int=key))})


def framed(blob: str | bytes) -> bytes:
    """Return the body of a call whose arguments are a blob."""
    data = blob.encode() if isinstance(blob, str) else blob
    return (HEADER % len(blob)).encode() + data


def headed(refs: str) -> bytes:
    """Return the body of a call with other references."""
    return b'{"cereal":1,"refs":%s,"call":7}\n[[],{}]' % refs.encode()


def forged(pickled: bytes) -> bytes:
    """Return a body of cereal-pickle that nobody has signed."""
    return b"\x01" + b"\x00" * 32 + framed(pickled)


def _laughs(line: str, levels: int, first: str) -> str:
    names = "abcdefghijklm"
    return first + "".join(
        line.format(name=name, refs=", ".join([f"*{before}"] * 9))
        for before, name in itertools.pairwise(names[: levels + 1])
    )


# What all formats have in common is in the header.
_HEADS: Final[dict[str, Callable[[], bytes]]] = {
    "a header of lists in lists": lambda: headed("[" * 100_000 + "]" * 100_000),
    "a key of lists in lists": lambda: headed(
        '[["shop.Order",' + "[" * 900 + "]" * 900 + ',"default"]]'
    ),
    "a header with a huge number": lambda: headed("9" * 1_000_000),
    "a key that is a huge number": lambda: headed(f'[["shop.Order",{"9" * 4_000},"default"]]'),
    "a decimal of a huge exponent": lambda: headed(
        '[["shop.Order",{"decimal":"1e999999999"},"default"]]'
    ),
    "a decimal of an exponent that can be computed": lambda: headed(
        '[["shop.Order",{"decimal":"1e1000000"},"default"]]'
    ),
    "keys of one hash": lambda: headed(
        f'[["shop.Order",[{",".join(map(str, ALIKE))}],"default","rows"]]'
    ),
    "references of one hash": lambda: headed(f"[{','.join(_order(key) for key in ALIKE)}]"),
    "UUIDs of one hash": lambda: headed(
        f'[["shop.Document",[{",".join(_uuid(key) for key in ALIKE)}],"default","rows"]]'
    ),
    "many references": lambda: headed(
        "[" + ",".join(f'["shop.Order",{key},"default"]' for key in range(10_000)) + "]"
    ),
    "many rows": lambda: headed(
        f'[["shop.Order",[{",".join(map(str, range(100_000)))}],"default","rows"]]'
    ),
    "a header without an end": lambda: b'{"cereal":1,"call":' + b" " * 1_000_000,
    "a long version": lambda: b'{"cereal":"%s","call":0}\n' % (b"x" * 1_000_000),
    "a long label": lambda: headed('[["%s",5,"default"]]' % ("x" * 1_000_000)),
    "many lines": lambda: b"\n" * 1_000_000,
    "huge lengths": lambda: b'{"cereal":1,"call":%s}\n[[],{}]' % (b"9" * 4_000),
}

BOMBS: Final[dict[str, dict[str, Callable[[], bytes]]]] = {
    "cereal-json": {
        "lists in lists": lambda: framed("[" * 100_000 + "]" * 100_000),
        "dicts in dicts": lambda: framed('{"a":' * 50_000 + "1" + "}" * 50_000),
        "a huge number": lambda: framed(f"[[{'9' * 1_000_000}],{{}}]"),
        "a huge exponent": lambda: framed("[[1e999999999],{}]"),
        "a decimal of a huge exponent": lambda: framed(
            '[[{"__type__":"decimal","__value__":"1e999999999"}],{}]'
        ),
        "a reference many times": lambda: framed(
            f'[[{",".join(["""{"$ref":0}"""] * 50_000)}],{{}}]'
        ),
    },
    "cereal-yaml": {
        "a billion laughs": lambda: framed(
            _laughs("- &{name} [{refs}]\n", 12, "- &a [lol]\n") + "- {}\n"
        ),
        "a billion merges": lambda: framed(
            _laughs("{name}: &{name} {{<<: [{refs}]}}\n", 12, "a: &a {x: 1}\n")
        ),
        "a list in itself": lambda: framed("- &a [*a, *a, *a]\n- {}\n"),
        "a number in base 60": lambda: framed(f"- [{':'.join(['1'] * 10_000)}]\n- {{}}\n"),
        "a huge number": lambda: framed(f"- [{'9' * 20_000}]\n- {{}}\n"),
        "a huge number in hex": lambda: framed(f"- [0x{'f' * 20_000}]\n- {{}}\n"),
        "lists in lists": lambda: framed("[" * 20_000),
        "lists in lists, indented": lambda: framed("- " * 20_000),
        "keys in keys": lambda: framed("? " * 3_000),
        "many anchors": lambda: framed("".join(f"- &a{each} 1\n" for each in range(1_000))),
        "a long tag": lambda: framed("- !<" + "a" * 20_000 + "> 1\n"),
    },
    "cereal-msgpack": {
        # In each a list that says to have as many items as there are bytes.
        "lists of promised items": lambda: framed(
            b"".join(b"\xdd" + (999_000 - 5 * at).to_bytes(4, "big") for at in range(900))
            + b"\x00" * 995_000
        ),
        "dicts of promised items": lambda: framed(
            b"".join(b"\xdf\x00\x0f\x00\x00\xc0" for at in range(900)) + b"\x00" * 995_000
        ),
        "a promised string": lambda: framed(b"\x92\x91\xdb\xff\xff\xff\xff"),
        "promised bytes": lambda: framed(b"\x92\x91\xc6\xff\xff\xff\xff"),
        "a promised extension": lambda: framed(b"\x92\x91\xc9\xff\xff\xff\xff\x43$ref0"),
        "lists in lists": lambda: framed(b"\x91" * 1_000_000),
        "dicts in dicts": lambda: framed(b"\x81\xa1a" * 300_000),
        "a place that is a huge number": lambda: framed(
            b"\x92\x91\xc9\x00\x0f\x42\x44\x43$ref" + b"9" * 1_000_000 + b"\x80"
        ),
    },
    "cereal-pickle": {
        # Opcodes that would work without end, of a body that nobody has signed.
        "promised bytes": lambda: forged(b"\x80\x05\x96\xff\xff\xff\xff\x0f\x00\x00\x00."),
        "a call": lambda: forged(b"\x80\x05cbuiltins\nrange\n(I0\nI9999999999\ntR\x8c\x01a."),
        "a long memo": lambda: forged(b"\x80\x05]r\xff\xff\xff\x7f."),
        "lists of lists": lambda: forged(b"\x80\x05" + b"(l2\x85" * 100_000 + b"."),
    },
}


def bombs(name: str) -> dict[str, bytes]:
    """Return the bombs of a format, in bodies with a header and in those without."""
    start = b"\x01" + b"\x00" * 32 if name == "cereal-pickle" else b""
    empty = b"\x92\x90\x80" if name == "cereal-msgpack" else b"[[],{}]"
    heads = {
        f"{kind} (header)": start
        + make().replace(b'"call":7}\n[[],{}]', b'"call":%d}\n' % len(empty) + empty)
        for kind, make in _HEADS.items()
    }
    framed_bombs = {kind: make() for kind, make in BOMBS[name].items()}
    plain = {f"{kind} (plain)": _without_header(body, name) for kind, body in framed_bombs.items()}
    return {**heads, **framed_bombs, **plain}


def _without_header(body: bytes, name: str) -> bytes:
    """Return the same bomb in a body as kombu's own serializer writes it."""
    if name == "cereal-pickle":
        return body[33:].partition(b"\n")[2]
    blob = body.partition(b"\n")[2]
    if name == "cereal-yaml":
        return blob + b"- {callbacks: null}\n"
    if name == "cereal-msgpack":
        return b"\x93" + blob[1:] + b"\x81\xa9callbacks\xc0"
    return blob[:-1] + b',{"callbacks":null}]'


def main(name: str) -> None:
    """Read the bombs of a format, and write what became of them and at what cost."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from .outcomes import judge, judge_result, watched

    with watched() as watch:
        payloads = bombs(name)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        tracemalloc.start()
        for kind, payload in payloads.items():
            tracemalloc.reset_peak()
            before, began = tracemalloc.get_traced_memory()[0], time.process_time()
            outcome: Any = judge(payload, name, watch)
            judge_result(payload, name, watch)
            told = {
                "kind": kind,
                "size": len(payload),
                "outcome": type(outcome).__name__,
                "memory": tracemalloc.get_traced_memory()[1] - before,
                "seconds": time.process_time() - began,
            }
            del outcome
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
