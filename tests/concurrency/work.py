"""Work for many at once: to write and read messages, and to pickle the same rows plainly.

Each piece of work has one right output. What is in the messages gives way to others
while it is written and while it is read, where nothing but that would.
"""

from __future__ import annotations

import copyreg
import json
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

import kombu.utils.json as kombu_json
from django.db.models import Model
from kombu.serialization import registry

from cereal_methods import ModelReference
from tests.shop.models import Customer, Order
from tests.unit.bodies import FORMATS, call_body, decode, encode, stored


class Restless:
    """A value that lets others run whenever it is written or read."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> dict[str, int]:
        time.sleep(0)
        return {"number": self.number}

    def __setstate__(self, state: dict[str, int]) -> None:
        time.sleep(0)
        self.__dict__.update(state)

    def __json__(self) -> int:
        time.sleep(0)
        return self.number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Restless) and other.number == self.number

    def __hash__(self) -> int:
        return self.number


ORDERS: Final = [
    stored(Order, pk=pk, number=f"2026-{pk:04}", note="secret" * 5) for pk in range(1, 6)
]
REFERENCES: Final = [ModelReference("shop.Order", pk, "default") for pk in range(1, 6)]
CUSTOMER: Final = stored(Customer, pk=7, name="Ada")
STEP: Final = {"task": "shop.next", "args": [ORDERS[1]], "kwargs": {}, "options": {}}


def message(name: str) -> Any:
    """Write a body, read it twice as a worker does, and write what was read once more."""
    restless = [Restless(8)] if name in ("cereal-pickle", "cereal-json") else []
    order = {"first": ORDERS[0], "customer": CUSTOMER}
    body = call_body(
        [ORDERS, order, *restless], {"this": ORDERS[0], "more": [1, "ü"]}, chain=[STEP]
    )
    payload = encode(body, name)
    args, kwargs, embed = decode(payload, name)
    piped = pickle.loads(pickle.dumps((args, kwargs)))
    plain = piped[0].with_references(), piped[1].with_references()
    again = encode((args.with_references(), kwargs, dict(embed)), name)
    if restless and name == "cereal-pickle":
        assert plain[0][2] == restless[0]
    assert plain[0][0] == REFERENCES
    assert plain[1]["this"] == REFERENCES[0]
    return payload, repr(args), repr(kwargs), repr(embed.with_references()), again


def plainly() -> Any:
    """Pickle rows as anyone may, and read them back."""
    pickled = pickle.dumps([*ORDERS, Restless(9)]), pickle.dumps(ORDERS[0], 2)
    *rows, restless = pickle.loads(pickled[0])
    assert [row.note for row in rows] == ["secret" * 5] * 5
    return *pickled, [row.number for row in rows], restless.number, pickle.dumps(Order)


def kombus() -> Any:
    """Write and read with kombu's own formats."""
    written = registry.dumps({"a": [1, Restless(2)]}, "json"), registry.dumps(ORDERS[:1], "pickle")
    return written, json.dumps({"a": 1}), registry.loads(*reversed_type(written[0]))


def reversed_type(written: tuple[str, str, Any]) -> tuple[Any, str, str]:
    """Return what ``dumps`` gives in the order that ``loads`` takes."""
    content_type, encoding, data = written
    return data, content_type, encoding


WORKS: Final[dict[str, Callable[[], Any]]] = {
    "plain": plainly,
    "kombu": kombus,
    **{name: (lambda name=name: message(name)) for name in FORMATS},  # type: ignore[misc]
}


def state() -> dict[str, Any]:
    """Return all that a serializer could change for the whole process."""
    hooks = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    return {
        "copyreg": dict(copyreg.dispatch_table),
        "pickle": dict(vars(pickle)),
        "picklers": dict(pickle._Pickler.dispatch),  # type: ignore[attr-defined]
        "json": (dict(vars(json)), json.JSONEncoder.default, dict(vars(json.decoder))),
        "models": [{hook: vars(model).get(hook) for hook in hooks} for model in (Model, Order)],
        "inherited": [{hook: getattr(model, hook) for hook in hooks[:2]} for model in (Order,)],
        "encoders": dict(registry._encoders),
        "decoders": dict(registry._decoders),
        "types": (dict(registry.type_to_name), dict(registry.name_to_type)),
        "disabled": set(registry._disabled_content_types),
        "default": (registry._default_encode, registry._default_content_type),
        "kombu json": (dict(kombu_json._encoders), dict(kombu_json._decoders)),
        "recursion": sys.getrecursionlimit(),
    }


class Crew:
    """Many that do the works, each one of them, until the time is over."""

    def __init__(self, seconds: float) -> None:
        self.expected = {name: work() for name, work in WORKS.items()}
        self.until = time.monotonic() + seconds
        self.rounds = dict.fromkeys(WORKS, 0)
        self.wrong: list[str] = []

    def run(self, number: int) -> None:
        """Do one of the works again and again; note what comes out wrong."""
        name = list(WORKS)[number % len(WORKS)]
        done = 0
        while done == 0 or time.monotonic() < self.until:
            try:
                if WORKS[name]() != self.expected[name]:
                    self.wrong.append(f"{name}: another output")
            except Exception:
                self.wrong.append(f"{name}: {traceback.format_exc()}")
            done += 1
        self.rounds[name] += done

    def report(self) -> str:
        """Return how often each work was done, and what went wrong, as JSON."""
        return json.dumps([self.rounds, self.wrong[:3], len(self.wrong)])
