"""What result backends have of many tasks, read in as few round trips as each of them can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from celery.backends.base import BaseKeyValueStoreBackend


def read(backend: Any, ids: Iterable[str]) -> dict[str, Any]:
    """Return the records that a backend has of tasks, by their ids."""
    ids = list(ids)
    if not ids:
        return {}
    if isinstance(backend, BaseKeyValueStoreBackend):
        return dict(_get(backend, ids))
    if hasattr(backend, "ResultSession"):  # celery.backends.database
        return dict(_select(backend, ids))
    if hasattr(backend, "TaskModel"):  # django-celery-results
        return dict(_filter(backend, ids))
    return {task_id: backend.get_task_meta(task_id, cache=False) for task_id in ids}


def _get(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    keys = [backend.get_key_for_task(task_id) for task_id in ids]
    try:
        values: Any = backend.mget(keys)
    except NotImplementedError:
        values = _of_cache(backend, keys)
    if hasattr(values, "items"):  # memcached leaves out what is not there
        values = [values.get(key) for key in keys]
    for task_id, value in zip(ids, values, strict=True):
        if value:
            yield task_id, backend.decode_result(value)


def _of_cache(backend: Any, keys: Sequence[Any]) -> list[Any]:
    cache = getattr(backend, "cache_backend", None)  # django-celery-results on Django's cache
    if cache is None:
        return [backend.get(key) for key in keys]
    names = [key.decode() if isinstance(key, bytes) else key for key in keys]
    found = cache.get_many(names)
    return [found.get(name) for name in names]


def _filter(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    rows = backend.TaskModel._default_manager
    for start in range(0, len(ids), 1000):
        for row in rows.filter(task_id__in=ids[start : start + 1000]):
            meta = {"status": row.status, "result": backend.decode_content(row, row.result)}
            yield row.task_id, backend.meta_from_decoded(meta)


def _select(backend: Any, ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    table = backend.task_cls
    with backend.ResultSession() as session:
        for start in range(0, len(ids), 1000):
            wanted = ids[start : start + 1000]
            for row in session.query(table).filter(table.task_id.in_(wanted)):
                meta = row.to_dict()
                if hasattr(backend, "_decode_stored_result"):  # Celery 5.7
                    meta["result"] = backend._decode_stored_result(meta["result"])
                yield meta["task_id"], backend.meta_from_decoded(meta)
