"""Rows of messages that are revoked, terminated or have expired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from billiard.exceptions import Terminated
from celery.states import REVOKED

from cereal_methods.running.requests import request as module
from tests.celery import app

from .deliveries import Counts, Delivery, deliver, info_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("new_models")]

Sent = Callable[[], list[Any]]


def announce(delivery: Delivery, reason: str, *, terminated: bool = False) -> None:
    delivery.request._announce_revoked(reason, terminated, None, reason == "expired")


@pytest.mark.parametrize("reason", ["revoked", "expired"])
def test_each_row_of_a_message_is_recorded(sent: Sent, reason: str) -> None:
    delivery = deliver(sent, "a", "b")

    announce(delivery, reason)

    assert delivery.result.counts() == Counts(2, **{reason: 2})
    assert delivery.result.failures() == [
        (row.pk, f"TaskRevokedError: {reason}") for row in delivery.rows
    ]
    assert app.backend.get_task_meta(delivery.id)["status"] == REVOKED


def test_a_terminated_row_is_recorded(sent: Sent) -> None:
    delivery = deliver(sent, "a", batch_size=1)

    announce(delivery, "terminated", terminated=True)

    assert delivery.result.counts() == Counts(1, revoked=1)


def test_rows_that_ended_before_a_batch_was_terminated_keep_their_result(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b", "c")
    delivery.keep('>0\n="a"\n>1\n')

    delivery.request.on_failure(info_of(Terminated(15)))

    assert delivery.result.counts() == Counts(3, succeeded=1, revoked=2)


def test_a_message_is_recorded_once(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")

    announce(delivery, "revoked")
    announce(delivery, "expired")

    assert delivery.result.counts() == Counts(2, revoked=2)


@pytest.mark.parametrize("kind", ["ignored result", "no rows"])
def test_other_messages_have_no_record(sent: Sent, kind: str) -> None:
    delivery = deliver(sent, "a", "b", ignore_result=kind == "ignored result")
    if kind == "no rows":
        delivery.request.request_dict["kwargs"] = {}

    with mock.patch.object(module, "store_or_retry") as store:
        announce(delivery, "revoked")

    store.assert_not_called()


def test_an_error_is_logged(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    delivery = deliver(sent, "a", "b")

    with mock.patch.object(module, "store_or_retry", side_effect=RuntimeError):
        announce(delivery, "revoked")

    assert f"The revoked rows of {delivery.id} could not be recorded." in caplog.messages
    assert app.backend.get_task_meta(delivery.id)["status"] == REVOKED
