"""What ``celery_api.backends`` relies on, asked of the backends that are installed."""

from __future__ import annotations

import datetime
import sys
import threading
from importlib import import_module
from typing import Any

import pytest
from celery import Celery, chain, chord
from celery.app.task import Context
from celery.backends.base import Backend, DisabledBackend
from celery.backends.cache import CacheBackend
from celery.backends.rpc import RPCBackend
from celery.states import FAILURE, SUCCESS

from cereal_methods.celery_api import backends as api
from tests.unit.contracts import untested

from .test_tasks import made


def test_every_function_has_a_test() -> None:
    assert untested(api, sys.modules[__name__]) == []


def kept_in(app: Celery, url: str) -> Any:
    """Return a backend of an app by its URL."""
    app.conf.result_backend = url
    app._backend_cache = None
    app._local.__dict__.pop("backend", None)
    return app.backend


def test_keeps_results_is_false_of_disabled_and_of_rpc(app: Celery) -> None:
    assert api.keeps_results(app.backend)
    assert not api.keeps_results(kept_in(app, "disabled://"))
    assert not api.keeps_results(kept_in(app, "rpc://"))
    assert isinstance(kept_in(app, "disabled://"), DisabledBackend)
    assert isinstance(kept_in(app, "rpc://"), RPCBackend)


@pytest.mark.parametrize(
    ("expires", "seconds"), [(60, 60.0), (datetime.timedelta(hours=1), 3600.0), (None, 86400.0)]
)
def test_seconds_kept_is_the_setting_s(app: Celery, expires: Any, seconds: float) -> None:
    if expires is not None:
        app.conf.result_expires = expires

    assert api.seconds_kept(kept_in(app, "cache+memory://")) == seconds
    assert api.seconds_kept(object()) is None


def test_result_key_is_where_a_record_lies(app: Celery) -> None:
    app.backend.store_result("an-id", 5, SUCCESS)

    assert app.backend.get(api.result_key(app.backend, "an-id")) is not None
    assert app.backend.get(api.result_key(app.backend, "another")) is None


def stored(backend: Any) -> None:
    """Store results of several kinds."""
    backend.store_result("one", {"a": [1, None]}, SUCCESS)
    backend.store_result("two", ValueError("wrong"), FAILURE)


def check_records(backend: Any) -> None:
    """Assert that the records are those that the backend itself gives, without any missing."""
    stored(backend)

    records = api.records_of(backend, ["one", "two", "three"])

    for task_id in ("one", "two"):
        own = backend.get_task_meta(task_id, cache=False)
        assert records[task_id]["status"] == own["status"]
        assert repr(records[task_id]["result"]) == repr(own["result"])
    assert "three" not in records or records["three"]["status"] == "PENDING"
    for task_id in ("one", "two"):
        backend.forget(task_id)


def test_records_of_a_cache(app: Celery) -> None:
    check_records(app.backend)


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_records_of_a_database(app: Celery, serializer: str, tmp_path: Any) -> None:
    pytest.importorskip("sqlalchemy")
    app.conf.result_serializer = serializer
    app.conf.accept_content = ["json", "pickle"]
    backend = kept_in(app, f"db+sqlite:///{tmp_path}/results.sqlite")
    try:
        check_records(backend)
    finally:
        for engine in backend.session_manager._engines.values():
            engine.dispose()


def test_records_of_any_other_backend(app: Celery) -> None:
    class Other(Backend):
        def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
            return {"status": SUCCESS, "result": task_id, "cache": cache}

    assert api.records_of(Other(app=app), ["one"]) == {
        "one": {"status": SUCCESS, "result": "one", "cache": False}
    }


def test_records_of_asks_a_cache_once(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(app.backend)
    asked: list[Any] = []
    mget = CacheBackend.mget

    def counting(self: Any, keys: Any) -> Any:
        asked.append(keys)
        return mget(self, keys)

    monkeypatch.setattr(CacheBackend, "mget", counting)
    api.records_of(app.backend, ["one", "two", "three"])

    assert len(asked) == 1
    app.backend.forget("one")
    app.backend.forget("two")


def test_is_chord_part_of_redis(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis")
    redis = import_module("celery.backends.redis")
    encoded: list[Any] = []

    class Recorded(redis.RedisBackend):  # type: ignore[name-defined,misc]
        def encode(self, data: Any) -> Any:
            encoded.append(data)
            raise LookupError("this is as far as it goes")

    backend = Recorded(app=app, url="redis://localhost:1/0")
    request = Context({"id": "an-id", "group": "a group", "chord": {"task": "one"}})
    with pytest.raises(LookupError):
        backend.on_chord_part_return(request, SUCCESS, 5)

    assert encoded != []
    assert api.is_chord_part(encoded[0])


@pytest.mark.parametrize("value", [5, [1, 2, 3, 4], ["1", "id", SUCCESS, 5], [1, "id", "x", 5]])
def test_is_chord_part_is_false_of_others(value: Any) -> None:
    assert not api.is_chord_part(value)


def ended(app: Celery, end: Any) -> list[tuple[Any, ...]]:
    """Return how a chord's backend is called if the first task of a chain in its header ends so."""
    told: list[tuple[Any, ...]] = []
    messages: list[Any] = []

    class Told(CacheBackend):
        def on_chord_part_return(self, request: Any, state: Any, result: Any, **_: Any) -> None:
            told.append((request.id, bool(request.group)))

        def store_result(self, *args: Any, **kwargs: Any) -> Any: ...

    def send(original: Any, producer: Any, name: str, message: Any, **options: Any) -> None:
        messages.append(message)

    task = made(app, "one")
    put_back = api.replace_message_functions(app, lambda create, *a, **k: create(*a, **k), send)
    header = chain(task.si().set(task_id="first"), task.si(), task.si().set(task_id="last"))
    chord([header, task.si()], task.si()).apply_async()
    put_back()
    (request,) = (
        Context({"id": "first", **message.body[2]})
        for message in messages
        if message.headers["id"] == "first"
    )
    end(Told(app=app, backend="memory"), request)
    return told


def test_end_chain_reports_to_a_chord_as_a_failure_does(app: Celery) -> None:
    failed = ended(
        app,
        lambda backend, request: backend.mark_as_failure("first", ValueError(), request=request),
    )
    ignored = ended(app, lambda backend, request: api.end_chain(backend, request.chain))

    assert ignored == failed == [("last", True)]


def test_keyvaluestorebackend_needs_five_functions(app: Celery) -> None:
    class Kept(api.KeyValueStoreBackend):
        def __init__(self, app: Any) -> None:
            self.kept: dict[Any, Any] = {}
            super().__init__(app=app)

        def get(self, key: Any) -> Any:
            return self.kept.get(key)

        def mget(self, keys: Any) -> Any:
            return [self.kept.get(key) for key in keys]

        def set(self, key: Any, value: Any) -> None:
            self.kept[key] = value

        def delete(self, key: Any) -> None:
            self.kept.pop(key, None)

    check_records(Kept(app))


def test_replace_backend_holds_in_all_threads(app: Celery) -> None:
    before, other, seen = app.backend, object(), []
    put_back = api.replace_backend(app, other)
    thread = threading.Thread(target=lambda: seen.append(app.backend))
    thread.start()
    thread.join()

    assert [app.backend, *seen] == [other, other]
    put_back()
    assert app.backend is before


@pytest.mark.parametrize("namespace", [None, "CELERY"])
def test_replace_setting_returns_a_function_that_restores_it(namespace: str | None) -> None:
    app = Celery("contract", set_as_current=False)
    source = type("Settings", (), {"CELERY_TASK_ALWAYS_EAGER": True, "task_always_eager": True})
    app.config_from_object(source, namespace=namespace)
    assert app.conf.task_always_eager

    put_back = api.replace_setting(app, "task_always_eager", False)
    assert not app.conf.task_always_eager

    put_back()
    assert app.conf.task_always_eager
    app.close()


def test_replace_setting_of_an_app_that_has_read_no_settings_yet() -> None:
    app = Celery("contract", set_as_current=False, task_always_eager=True)
    put_back = api.replace_setting(app, "task_always_eager", False)
    assert not app.conf.task_always_eager

    put_back()
    assert app.conf.task_always_eager
    app.close()


def test_replace_setting_that_nobody_has_set(app: Celery) -> None:
    api.replace_setting(app, "task_always_eager", True)()

    assert not app.conf.task_always_eager


def test_replace_message_functions_sees_each_message(app: Celery) -> None:
    seen: list[Any] = []

    def create(original: Any, task_id: str, name: str, *args: Any, **kwargs: Any) -> Any:
        seen.append((task_id, name, args[2] if len(args) > 2 else kwargs.get("countdown")))
        return original(task_id, name, *args, **kwargs)

    def send(original: Any, producer: Any, name: str, message: Any, **options: Any) -> Any:
        seen.append((message.headers["id"], name, list(message.body[0])))

    task = made(app, "one")
    put_back = api.replace_message_functions(app, create, send)
    task.apply_async([5], countdown=3, task_id="an-id")

    assert seen == [("an-id", "one", 3), ("an-id", "one", [5])]
    put_back()
    task.apply_async([5])
    assert len(seen) == 2


def test_replace_attribute_restores_the_previous_value() -> None:
    class Owner:
        own = 1

    owner = Owner()
    put_back = api.replace_attribute(owner, "own", 2)
    assert owner.own == 2
    put_back()
    assert (owner.own, vars(owner)) == (1, {})

    owner.own = 3
    api.replace_attribute(owner, "own", 4)()
    assert owner.own == 3


def test_declares_replies_is_true_of_rpc_alone(app: Celery) -> None:
    assert api.declares_replies(RPCBackend(app))
    assert not api.declares_replies(DisabledBackend(app))


def test_counts_parts_again_is_true_of_redis_alone(app: Celery) -> None:
    assert not api.counts_parts_again(CacheBackend(app=app, url="memory://"))

    pytest.importorskip("redis")
    redis = import_module("celery.backends.redis")
    assert api.counts_parts_again(redis.RedisBackend(app=app, url="redis://127.0.0.1"))
