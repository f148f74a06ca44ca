"""Running the checks on a Celery app of the test."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cereal_methods.checks import registry

Found = list[tuple[str, str, str | None]]

Checked = Callable[..., Found]


def without_addresses(value: Any) -> str:
    """Name a parameter alike in all of the processes in which tests are run."""
    return re.sub(r" at 0x\w+", "", str(value))


def told(messages: Any) -> Found:
    """Return id, message and hint of each, by their ids; Django runs checks in no order."""
    reports = [
        (message.id.removeprefix("cereal_methods."), message.msg, message.hint)
        for message in messages
    ]
    return sorted(reports)


def use(monkeypatch: pytest.MonkeyPatch, tasks: dict[str, Any], **settings: Any) -> None:
    """Let the checks see a Celery app with these tasks and settings alone."""
    accepted = ["json", "cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]
    conf = {
        "accept_content": accepted,
        "result_accept_content": None,
        "result_backend": None,
        "result_serializer": "json",
        "task_protocol": 2,
        "task_serializer": "json",
        "beat_schedule": {},
        "broker_url": "memory://",
        "broker_write_url": None,
        "broker_transport": None,
        "broker_transport_options": {},
        **settings,
    }
    fresh = SimpleNamespace(main="fresh", conf=SimpleNamespace(**conf), tasks=tasks)
    monkeypatch.setattr(registry, "active_apps", lambda: [fresh])


SHIP = "tests.shop.models.Order.ship"

ME = "tests.shop.models.Order.me"

BACKEND = {"result_backend": "cache+memory://"}
