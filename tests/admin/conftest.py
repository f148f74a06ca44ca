"""Fixtures of the tests of the admin, which need no server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from celery.states import SUCCESS
from django.contrib.auth.models import Permission, User
from django.test import Client
from django_celery_results.backends import DatabaseBackend

from cereal_methods import BulkResult
from cereal_methods.results.ids import failure_record_id, message_id
from tests.celery import app
from tests.unit.conftest import eager, sent

from .models import Box

__all__ = ["eager", "sent"]

#: The list of boxes in the admin.
LIST = "/admin/warehouse/box/"

RUN = re.compile(rf"{LIST}model-tasks/([0-9a-f-]{{36}})/")


def user_with(*permissions: str, name: str = "clerk") -> User:
    """Return a new user of the admin who has permissions for boxes."""
    user = User.objects.create(username=name, is_staff=True)
    for each in permissions:
        user.user_permissions.add(Permission.objects.get(codename=f"{each}_box"))
    return user


def client_of(user: User) -> Client:
    """Return a client in which a user is logged in."""
    client = Client()
    client.force_login(user)
    return client


def boxes(many: int = 3, **fields: Any) -> list[Box]:
    """Return new boxes."""
    return Box.objects.bulk_create(Box(number=str(i), **fields) for i in range(1, many + 1))


def act(client: Client, action: str, rows: list[Box], **data: Any) -> Any:
    """Choose an action for rows of the list, and press "Go"."""
    return client.post(
        LIST,
        {"action": action, "_selected_action": [row.pk for row in rows], "index": 0, **data},
    )


def fill_in(client: Client, action: str, rows: list[Box], **arguments: Any) -> Any:
    """Send the form that an action asks with, as its page does."""
    fields = {f"argument-{name}": value for name, value in arguments.items()}
    data = {"action": action, "_selected_action": [row.pk for row in rows], "post": "yes"}
    return client.post(LIST, {**data, **fields})


def told(response: Any) -> list[str]:
    """Return the messages that a response shows next."""
    return [str(message) for message in response.wsgi_request._messages]


def rows_in(message: Any) -> list[Any]:
    """Return the keys of the rows that a message is for."""
    wire = message.decode()[1].with_references()["this"].as_wire()
    keys: list[Any] = wire[1] if len(wire) == 4 else [wire[1]]  # of one row its reference
    return keys


def run_id(response: Any) -> str:
    """Return the id of the run to whose page a response leads."""
    match = RUN.fullmatch(response.url)
    assert match, response.url
    return match[1]


def complete(bulk_id: str, *failures: tuple[int, str, Any, str]) -> None:
    """Store what workers would have: success, or by a message's number kind, key and error."""
    result = BulkResult.restore(bulk_id)
    assert result is not None
    failed = {number: rest for number, *rest in failures}
    for number in range(result.messages):
        task_id = message_id(bulk_id, number)
        if number in failed:
            kind, key, text = failed[number]
            app.backend.store_result(failure_record_id(task_id), [kind, [key], text], SUCCESS)
            app.backend.store_result(task_id, ValueError(text), "FAILURE")
        else:
            app.backend.store_result(task_id, None, SUCCESS)


@pytest.fixture
def clerk(db: None) -> Client:
    """A client of a user who may view and change boxes."""
    return client_of(user_with("view", "change"))


@pytest.fixture(params=["json", "cereal-json", "cereal-pickle"])
def django_backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> DatabaseBackend:
    """The app's backend: that of django-celery-results, in each serializer."""
    backend = DatabaseBackend(app=app, serializer=request.param)
    monkeypatch.setattr(app, "_backend_cache", backend)
    monkeypatch.setattr(app._local, "backend", backend, raising=False)
    return backend


@pytest.fixture
def silent_backend() -> Iterator[Callable[[], Any]]:
    """Let the result backend answer nothing any more, from when it is called."""
    patches = []

    def silence() -> None:
        for name in ("get_task_meta", "store_result"):
            error = ConnectionError("the backend is down")
            patches.append(mock.patch.object(type(app.backend), name, side_effect=error))
            patches[-1].start()

    yield silence
    for patch in patches:
        patch.stop()
