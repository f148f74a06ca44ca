"""Threads that write messages; ``tests/concurrency`` has more of them."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.shop.models import Customer, Order

from ..bodies import call_body, encode, stored

THREADS = 16

ORDERS = [stored(Order, pk=pk, number=f"2026-{pk:04}", note="secret" * 5) for pk in range(1, 6)]
BODY = call_body(
    [ORDERS, {"first": ORDERS[0], "customer": stored(Customer, pk=7, name="Ada")}],
    {"this": ORDERS[0], "more": [1, "ü", None]},
    chain=[{"task": "shop.next", "args": [ORDERS[1]], "kwargs": {}, "options": {}}],
)


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
        errors = list(pool.map(refuse, range(THREADS)))

    assert errors == [(index, "EncodingFailed") for index in range(THREADS)]
