"""Celery's result backends, and how a recording replaces them; see the package.

Other modules call the public methods of ``celery.backends.base.Backend`` directly:
``store_result``, ``get_task_meta``, ``mark_as_failure``, ``encode`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from celery.app.task import Context
from celery.backends.base import BaseKeyValueStoreBackend, DisabledBackend
from celery.backends.base import KeyValueStoreBackend as KeyValueStoreBackend
from celery.backends.rpc import RPCBackend
from celery.states import READY_STATES

#: How many rows one query reads.
_ROWS: Final = 1000


def keeps_results(backend: Any) -> bool:
    """Whether any process can read a backend's results, more than once."""
    # Else: store a result, and read it twice.
    return not isinstance(backend, (DisabledBackend, RPCBackend))


def seconds_kept(backend: Any) -> float | None:
    """Return for how many seconds a backend keeps a result, or None if that is not known."""
    # app.conf.result_expires is the setting, but some backends have an option of their own.
    expires = getattr(backend, "expires", None)
    if not expires:
        return None
    return float(getattr(expires, "total_seconds", lambda: expires)())


def result_key(backend: Any, task_id: str) -> Any:
    """Return the key under which a key-value backend stores the record of a task."""
    # It has a prefix, and is bytes. Else: read the record, which decodes it.
    return backend.get_key_for_task(task_id)


def records_of(backend: Any, ids: Sequence[str]) -> dict[str, Any]:
    """Return the records that a backend has of tasks, by their ids, in few round trips."""
    # get_task_meta takes a round trip for each task, and get_many waits for unfinished tasks.
    if isinstance(backend, BaseKeyValueStoreBackend):
        return dict(_in_key_value_store(backend, ids))
    if hasattr(backend, "ResultSession"):  # celery.backends.database
        return dict(_in_database(backend, ids))
    if hasattr(backend, "TaskModel"):  # django-celery-results
        return dict(_in_django(backend, ids))
    return {task_id: backend.get_task_meta(task_id, cache=False) for task_id in ids}


def _in_key_value_store(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    keys = [result_key(backend, task_id) for task_id in ids]
    try:
        values: Any = backend.mget(keys)
    except NotImplementedError:
        values = _in_cache(backend, keys)
    if hasattr(values, "items"):  # memcached leaves out missing keys
        values = [values.get(key) for key in keys]
    for task_id, value in zip(ids, values, strict=True):
        if value:
            yield task_id, backend.decode_result(value)


def _in_cache(backend: Any, keys: Sequence[Any]) -> list[Any]:
    cache = getattr(backend, "cache_backend", None)  # django-celery-results on Django's cache
    if cache is None:
        return [backend.get(key) for key in keys]
    names = [key.decode() if isinstance(key, bytes) else key for key in keys]
    values = cache.get_many(names)
    return [values.get(name) for name in names]


def _in_database(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    table = backend.task_cls
    with backend.ResultSession() as session:
        for start in range(0, len(ids), _ROWS):
            wanted = ids[start : start + _ROWS]
            for row in session.query(table).filter(table.task_id.in_(wanted)):
                meta = row.to_dict()
                if hasattr(backend, "_decode_stored_result"):  # from Celery 5.7 on
                    meta["result"] = backend._decode_stored_result(meta["result"])
                yield meta["task_id"], backend.meta_from_decoded(meta)


def _in_django(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    rows = backend.TaskModel._default_manager
    for start in range(0, len(ids), _ROWS):
        for row in rows.filter(task_id__in=ids[start : start + _ROWS]):
            meta = {"status": row.status, "result": backend.decode_content(row, row.result)}
            yield row.task_id, backend.meta_from_decoded(meta)


def is_chord_part(value: Any) -> bool:
    """Whether a value is what the Redis backend stores for a task in a chord's header."""
    # The result serializer encodes it, and it reaches the chord's body unchanged.
    return (
        isinstance(value, (list, tuple))
        and len(value) == 4
        and value[0] == 1
        and isinstance(value[1], str)
        and value[2] in READY_STATES
    )


def end_chain(backend: Any, chain: Any) -> None:
    """Count the rest of a chain as done, so that a chord does not wait for it for ever."""
    # Backend.mark_as_failure does this for tasks that fail, and nothing does it for tasks that are
    # ignored.
    elements = list(chain or ())
    for element in elements:
        context: Any = Context(element)
        context.update(context.options)
        context.id, context.group = context.options.get("task_id"), context.options.get("group_id")
        if "chord" in context.options:
            backend.mark_as_done(context.id, None, request=context)
        kind, parts = getattr(context, "subtask_type", None), context.kwargs or {}
        if kind == "chord" and parts.get("body") is not None:
            elements.append(parts["body"])
        elif kind == "group":
            elements.extend(parts.get("tasks") or ())


# For recordings, which replace parts of an app.


def replace_backend(app: Any, backend: Any) -> Callable[[], None]:
    """Make an app use a result backend in all threads. Return a function that undoes this."""
    # The documented setting result_backend is read once, and names a class.
    before = app._backend_cache
    app._backend_cache = backend

    def put_back() -> None:
        app._backend_cache = before

    return put_back


def replace_setting(app: Any, name: str, value: Any) -> Callable[[], None]:
    """Set a setting of an app. Return a function that undoes this."""
    # Before 5.6 Celery reads Django's settings first, by their names with a prefix, so setting
    # app.conf.name has no effect.
    app.conf.get(name)  # reads the settings, so that they do not replace the change later
    changes, keys = app.conf.changes, set(app.conf._to_keys(name))
    before = {key: changes[key] for key in keys if key in changes}
    changes.update(dict.fromkeys(keys, value))

    def put_back() -> None:
        # Not the same dict as before, if the app has read its configuration in the meantime.
        changes = app.conf.changes
        for key in keys:
            changes.pop(key, None)
        changes.update(before)

    return put_back


def replace_message_functions(
    app: Any, create: Callable[..., Any], send: Callable[..., Any]
) -> Callable[[], None]:
    """Wrap the functions of an app that make and send messages. Return a function that undoes this.

    ``create`` and ``send`` are called with the app's own function, followed by its arguments:
    ``task_id, name, args, kwargs, ...`` and ``producer, name, message, ...``.
    """
    # They have the message as it is sent, routed and with all headers. Signals do not have the
    # encoded body. Else: kombu's transport in memory, for which each app must be configured.
    undo = [
        replace_attribute(app.amqp, name, _first(wrapper, getattr(app.amqp, name)))
        for name, wrapper in (("create_task_message", create), ("send_task_message", send))
    ]

    def put_back() -> None:
        for undo_one in undo:
            undo_one()

    return put_back


def _first(wrapper: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(function, *args, **kwargs)

    return wrapped


def replace_attribute(owner: Any, name: str, value: Any) -> Callable[[], None]:
    """Set an attribute of an object. Return a function that undoes this."""
    before = vars(owner).get(name)
    setattr(owner, name, value)

    def put_back() -> None:
        if before is None:
            del vars(owner)[name]
        else:
            setattr(owner, name, before)

    return put_back


def declares_replies(backend: Any) -> bool:
    """Whether a result backend has to declare the queue of its replies before a task is sent."""
    # Backend.on_task_call does this, but on Redis it takes a round trip for each task.
    return isinstance(backend, RPCBackend)


def counts_parts_again(backend: Any) -> bool:
    """Whether a part of a chord may be counted twice, because its position identifies it."""
    # Other backends count a duplicate as another part, and start the body too early. By name,
    # because the module can be imported only if the package redis is installed.
    return any(base.__module__ == "celery.backends.redis" for base in type(backend).__mro__)
