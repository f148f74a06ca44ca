"""Checks of the project's Celery apps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks

from cereal_methods.checks import registry

from .checking import SHIP, Checked, told


def test_no_celery_app_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "active_apps", list)

    assert told(run_checks(tags=["cereal_methods"], databases=[])) == [
        (
            "W007",
            "This process has no Celery app. Tasks would be sent by Celery's default app to a "
            "broker on this machine, without the project's settings.",
            "Import the app when Django starts: 'from .celery import app' in the __init__.py "
            "beside settings.py.",
        )
    ]


def test_celerys_default_app_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    default = SimpleNamespace(main="default")
    monkeypatch.setattr(registry, "active_apps", lambda: [default])

    assert [message.id for message in run_checks(tags=["cereal_methods"], databases=[])] == [
        "cereal_methods.W007"
    ]


def test_protocol_1_is_reported(checked: Checked) -> None:
    assert checked(SHIP, task_protocol=1) == [
        (
            "E009",
            "The Celery app 'fresh' uses message protocol 1, which cereal serializers do not "
            "support.",
            "Remove CELERY_TASK_PROTOCOL from the settings. The default is protocol 2.",
        )
    ]


@pytest.mark.parametrize(
    "broker",
    [
        {"broker_url": "amqp://localhost//"},
        {"broker_url": "amqps://localhost//;redis://localhost"},
        {"broker_url": ["pyamqp://localhost//"]},
        {"broker_url": None},
        {"broker_write_url": "amqp://localhost//"},
        {"broker_url": "localhost", "broker_transport": "pyamqp"},
    ],
    ids=str,
)
def test_a_rabbitmq_without_confirms_is_reported(checked: Checked, broker: Any) -> None:
    assert checked(SHIP, **broker) == [
        (
            "W009",
            "The Celery app 'fresh' does not ask RabbitMQ to confirm messages. If RabbitMQ refuses "
            "a message or cannot route it, the message is lost and delay() does not raise.",
            "CELERY_BROKER_TRANSPORT_OPTIONS = {'confirm_publish': True}",
        )
    ]
    assert checked(SHIP, **broker, broker_transport_options={"confirm_publish": True}) == []
    assert checked(**broker) == []


@pytest.mark.parametrize("url", ["redis://localhost", "sqs://", "memory://"])
def test_other_brokers_are_not_asked_to_confirm(checked: Checked, url: str) -> None:
    assert checked(SHIP, broker_url=url) == []
