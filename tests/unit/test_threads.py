"""Threads that write and read messages, while others pickle the same models themselves."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.shop.models import Customer, Order

from .bodies import call_body, decode, encode, stored

THREADS = 16
TIMES = 100

ORDERS = [stored(Order, pk=pk, number=f"2026-{pk:04}", note="secret" * 5) for pk in range(1, 6)]
BODY = call_body(
    [ORDERS, {"first": ORDERS[0], "customer": stored(Customer, pk=7, name="Ada")}],
    {"this": ORDERS[0], "more": [1, "ü", None]},
    chain=[{"task": "shop.next", "args": [ORDERS[1]], "kwargs": {}, "options": {}}],
)


def through(name: str) -> Callable[[], Any]:
    """Return what writes a body, reads it and writes it again."""

    def work() -> Any:
        payload = encode(BODY, name)
        args, kwargs, embed = decode(payload, name)
        shown = repr(args), repr(kwargs), repr(embed.plainly(references=True))
        again = encode((args.plainly(references=True), kwargs, dict(embed)), name)
        return payload, shown, again, pickle.dumps((args, kwargs))

    return work


def plainly() -> Any:
    """Pickle instances as anyone may, and read them back."""
    pickled = pickle.dumps(ORDERS), pickle.dumps(ORDERS[0], 2), pickle.dumps(Order)
    return pickled, [row.__dict__.keys() for row in pickle.loads(pickled[0])]


WORKS: dict[str, Callable[[], Any]] = {
    "plain": plainly,
    **{name: through(name) for name in ["cereal-pickle", "cereal-json", "cereal-msgpack"]},
}


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let threads take turns far more often than they do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_no_thread_changes_what_another_writes_or_reads(hasty: None) -> None:
    expected = {name: work() for name, work in WORKS.items()}
    names = [list(WORKS)[index % len(WORKS)] for index in range(THREADS)]
    barrier = Barrier(THREADS)

    def repeat(name: str) -> int:
        barrier.wait()
        return sum(WORKS[name]() != expected[name] for _ in range(TIMES))

    with ThreadPoolExecutor(THREADS) as pool:
        differences = list(pool.map(repeat, names))

    assert differences == [0] * THREADS


def test_a_plain_pickle_is_whole_and_a_message_is_not() -> None:
    assert b"secret" in pickle.dumps(ORDERS)
    assert b"secret" not in encode(BODY, "cereal-pickle")


def test_each_thread_sees_its_own_error() -> None:
    barrier = Barrier(THREADS)

    def refuse(index: int) -> tuple[int, str]:
        barrier.wait()
        try:
            encode(call_body([ORDERS, {index: print}]), "cereal-json")
        except Exception as error:
            return index, type(error).__name__
        return index, "nothing"

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(refuse, range(THREADS)))

    assert found == [(index, "EncodeError") for index in range(THREADS)]
