"""Records of many tasks, read from each kind of result backend."""

from __future__ import annotations

import uuid
from typing import Any
from unittest import mock

import pytest
from celery.backends.base import KeyValueStoreBackend
from django.core.cache import cache

from cereal_methods.celery_api.backends import records_of
from tests.celery import app


class CacheBackend(KeyValueStoreBackend):
    """As that of django-celery-results on Django's cache: it has no ``mget``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.serializer = "pickle"
        self.cache_backend: Any = cache

    def get(self, key: Any) -> Any:
        return cache.get(key.decode())

    def set(self, key: Any, value: Any) -> None:
        cache.set(key.decode(), value)

    def encode(self, data: Any) -> Any:
        return data

    def decode(self, payload: Any) -> Any:
        return payload


@pytest.mark.parametrize("has_cache", [True, False])
def test_results_in_django_s_cache_are_read(has_cache: bool) -> None:
    backend = CacheBackend(app)
    if not has_cache:
        backend.cache_backend = None
    task_id = str(uuid.uuid4())
    backend.store_result(task_id, 5, "SUCCESS")

    records = records_of(backend, [task_id, "other"])

    assert list(records) == [task_id]
    assert records[task_id]["result"] == 5


def test_a_cache_may_have_keys_of_text() -> None:
    backend = CacheBackend(app)
    backend.get_key_for_task = lambda task_id: f"text-{task_id}"  # type: ignore[method-assign]
    cache.set("text-x", {"status": "SUCCESS", "result": 1})

    assert records_of(backend, ["x", "y"])["x"]["result"] == 1


def test_a_backend_may_answer_with_a_dict() -> None:
    task_id = str(uuid.uuid4())
    app.backend.store_result(task_id, 5, "SUCCESS")
    keys = [app.backend.get_key_for_task(task_id), app.backend.get_key_for_task("other")]
    values = {keys[0]: app.backend.get(keys[0])}

    with mock.patch.object(type(app.backend), "mget", return_value=values):
        records = records_of(app.backend, [task_id, "other"])

    assert list(records) == [task_id]
    assert records[task_id]["result"] == 5


def test_other_backends_are_asked_for_each_task() -> None:
    backend = mock.Mock(spec=["get_task_meta"])
    backend.get_task_meta.side_effect = lambda task_id, cache: {"id": task_id}

    assert records_of(backend, ["x", "y"]) == {"x": {"id": "x"}, "y": {"id": "y"}}


def test_results_of_django_celery_results_are_read() -> None:
    rows = [mock.Mock(task_id="x", status="SUCCESS", result="encoded")]
    backend = mock.Mock(spec=["TaskModel", "decode_content", "meta_from_decoded"])
    backend.TaskModel._default_manager.filter.side_effect = lambda task_id__in: [
        row for row in rows if row.task_id in task_id__in
    ]
    backend.decode_content.return_value = 5
    backend.meta_from_decoded.side_effect = dict

    records = records_of(backend, ["x", *map(str, range(1000))])

    assert records == {"x": {"status": "SUCCESS", "result": 5}}
    assert backend.TaskModel._default_manager.filter.call_count == 2


@pytest.mark.parametrize("decodes", [True, False])
def test_results_of_sqlalchemy_are_read(decodes: bool) -> None:
    row = mock.Mock(**{"to_dict.return_value": {"task_id": "x", "result": 5}})
    more = ["_decode_stored_result"] if decodes else []
    backend = mock.MagicMock(spec=["ResultSession", "task_cls", "meta_from_decoded", *more])
    backend.ResultSession = mock.MagicMock()
    session = backend.ResultSession.return_value.__enter__.return_value
    session.query.return_value.filter.return_value = [row]
    backend.meta_from_decoded.side_effect = dict
    if decodes:
        backend._decode_stored_result.side_effect = lambda value: value + 1

    assert records_of(backend, ["x"]) == {"x": {"task_id": "x", "result": 6 if decodes else 5}}
