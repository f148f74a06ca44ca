"""A received message that is sent again: the same body, other headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cereal_methods.running.requests.resending import send_again, send_part

from .deliveries import deliver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("new_models")]

Sent = Callable[[], list[Any]]


def test_the_body_is_sent_unchanged(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b", compression="zlib", priority=3)

    send_again(delivery.request, cereal_crashes=2)

    (message,) = sent()
    assert message.body == delivery.message.body
    assert message.content_type == delivery.message.content_type
    assert "compression" not in message.headers
    headers = {**delivery.message.headers, "cereal_crashes": 2}
    headers.pop("compression")
    assert message.headers == headers
    assert message.properties["priority"] == 3
    assert message.properties["correlation_id"] == delivery.id


def test_a_message_without_properties_is_sent_again(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.message.properties = None

    send_again(delivery.request)

    (message,) = sent()
    assert message.properties["delivery_mode"] == 2
    assert message.properties["priority"] == 0


def test_a_part_has_a_header_for_its_rows(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b", "c")

    send_part(delivery.request, 1, 3, "part", crashes=1)

    (message,) = sent()
    assert message.headers["id"] == message.properties["correlation_id"] == "part"
    assert message.headers["parent_id"] == delivery.id
    assert message.headers["cereal_rows"] == [1, 3]
    assert message.headers["cereal_crashes"] == 1


def test_a_part_of_a_part_counts_from_the_first_row(sent: Sent) -> None:
    delivery = deliver(sent, *"abcd", headers={"cereal_rows": [1, 4]})

    send_part(delivery.request, 1, 2, "part")

    (message,) = sent()
    assert message.headers["cereal_rows"] == [2, 3]
