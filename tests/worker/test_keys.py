"""Signing keys that change while messages are on their way, and where keys are never seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from cereal_methods.exceptions import SignatureMismatch
from tests.celery import app
from tests.shop.models import Order
from tests.shop.tasks import wait

from .conftest import POOLS
from .workers import Worker

SECONDS = 30
OLD = settings.SECRET_KEY
NEW = "k3y-n3w"
MISMATCH = (
    "The signature of a cereal-pickle message does not match, so the message was not read. It was "
    "changed on its way, sent by someone without the key, or signed with a key that is neither "
    "SECRET_KEY (or CEREAL_METHODS['SIGNING_KEY']) nor one of its fallbacks here. Compare the keys "
    "of sender and worker, and check who can write to the broker."
)

#: How a process is given a key and those before or after it, in the environment and in a test.
SETTINGS: dict[str, Any] = {
    "SECRET_KEY": (
        lambda key, *others: {
            "TEST_SECRET_KEY": key,
            "TEST_SECRET_KEY_FALLBACKS": ",".join(others),
        },
        lambda key, *others: {"SECRET_KEY": key, "SECRET_KEY_FALLBACKS": others},
    ),
    "SIGNING_KEY": (
        lambda key, *others: {
            "TEST_SIGNING_KEY": key,
            "TEST_SIGNING_KEY_FALLBACKS": ",".join(others),
        },
        lambda key, *others: {
            "CEREAL_METHODS": {
                **settings.CEREAL_METHODS,
                "SIGNING_KEY": key,
                "SIGNING_KEY_FALLBACKS": list(others),
            }
        },
    ),
}


@pytest.fixture(params=SETTINGS)
def given(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The ways to give keys, to a worker and to this process."""
    found: tuple[Any, Any] = SETTINGS[request.param]
    return found


@pytest.fixture
def orders(transactional_db: None) -> list[Order]:
    return [Order.objects.create(number=str(number)) for number in range(12)]


def no_key_is_in(text: str) -> None:
    """Assert that no key is in a text that people read."""
    assert OLD not in text
    assert NEW not in text


def test_no_message_is_lost_while_the_key_changes(
    given: tuple[Any, Any], orders: list[Order], tmp_path: Path, route: Any
) -> None:
    for_worker, here = given
    before = Worker(tmp_path, *POOLS["solo"], **for_worker(OLD, NEW))
    after = Worker(tmp_path, *POOLS["solo"], "-l", "DEBUG", **for_worker(NEW, OLD))
    after.queue = before.queue
    after.environment["TEST_QUEUE"] = before.queue

    with before:
        route(before)
        with override_settings(**here(OLD)):
            results = [wait.delay(order, 0.2) for order in orders[:6]]
        with override_settings(**here(NEW)):  # of a sender that is ahead
            results += [wait.delay(order, 0.2) for order in orders[6:]]
        before.wait_for(lambda: results[1].state == "SUCCESS", "some of them to run")
    left = [result for result in results if result.state == "PENDING"]
    with after, override_settings(**here(NEW, OLD)):
        values = [result.get(timeout=SECONDS) for result in results]

    assert left, "all had run before the key changed"
    assert values == [order.number for order in orders]
    for worker in (before, after):
        assert " raised unexpected: " not in worker.log.read_text()
        no_key_is_in(worker.log.read_text())


def test_a_message_of_a_key_that_the_worker_does_not_know_fails_and_says_what_to_do(
    worker: Worker, given: tuple[Any, Any], orders: list[Order]
) -> None:
    _, here = given
    with override_settings(**here(NEW)):
        result = orders[0].ship.delay("dhl")

    with pytest.raises(SignatureMismatch) as caught:
        result.get(timeout=SECONDS)

    assert str(caught.value) == MISMATCH
    assert result.state == "FAILURE"
    assert orders[1].ship.delay("dhl").get(timeout=SECONDS) == "shipped"
    log = worker.log.read_text()
    told = [line for line in log.splitlines() if result.id in line and "ERROR" in line]
    assert len(told) == 1
    assert f"[{result.id}] raised unexpected: SignatureMismatch(" in told[0]
    no_key_is_in(log)


def test_a_result_of_a_key_that_the_caller_does_not_know_is_not_read(
    worker: Worker, orders: list[Order]
) -> None:
    result = orders[0].ship.delay("dhl")
    worker.wait_for(lambda: result.state == "SUCCESS", "the task to run")

    with override_settings(SECRET_KEY=NEW), pytest.raises(Exception) as caught:  # noqa: PT011
        app.AsyncResult(result.id).get(timeout=SECONDS)

    assert isinstance(caught.value.args[0], SignatureMismatch)
    assert str(caught.value) == MISMATCH
    with override_settings(SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=[OLD]):
        assert app.AsyncResult(result.id).get(timeout=SECONDS) == "shipped"


def test_a_worker_tells_no_key_to_who_asks_for_its_settings(start_worker: Any) -> None:
    keys = {
        "TEST_SIGNING_KEY": NEW,
        "TEST_SIGNING_KEY_FALLBACKS": f"{NEW}-1,{NEW}-2",
        "TEST_SECRET_KEY_FALLBACKS": f"{NEW}-3",
    }
    worker = start_worker(*POOLS["solo"], "-l", "DEBUG", **keys)
    inspect = app.control.inspect([worker.name], timeout=5)

    for with_defaults in (False, True):
        told = inspect.conf(with_defaults=with_defaults)
        assert told, "the worker did not answer"
        no_key_is_in(repr(told))
    for told in (inspect.report(), inspect.stats()):
        assert told
        no_key_is_in(repr(told))
    no_key_is_in(worker.log.read_text())
