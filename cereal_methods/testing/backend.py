"""The result backend of a recording, in memory."""

from __future__ import annotations

import threading
from typing import Any, NoReturn

from celery.states import IGNORED, READY_STATES

from ..celery_api.backends import KeyValueStoreBackend, result_key
from ..exceptions import RecordingError
from ..results.waiting import NeverWaits


class RecordedResults(KeyValueStoreBackend, NeverWaits):
    """Stores results in memory, encoded by the result serializer.

    Tasks run in the same thread, so nothing can produce a result while a test waits for it.
    Waiting for a result that does not exist raises ``RecordingError``.
    """

    implements_incr = True
    persistent = True
    supports_native_join = True
    thread_safe = True

    def __init__(self, app: Any) -> None:
        self._store: dict[Any, Any] = {}
        self._lock = threading.Lock()
        super().__init__(app=app)

    def get(self, key: Any) -> Any:
        """Return what is stored under a key, or None."""
        return self._store.get(key)

    def mget(self, keys: Any) -> list[Any]:
        """Return what is stored under each of the keys."""
        return [self._store.get(key) for key in keys]

    def set(self, key: Any, value: Any) -> None:
        """Store a value."""
        self._store[key] = value

    def delete(self, key: Any) -> None:
        """Delete what is stored under a key."""
        self._store.pop(key, None)

    def incr(self, key: Any) -> int:
        """Count a completed task of a chord, and return the new number."""
        with self._lock:
            self._store[key] = self._store.get(key, 0) + 1
            count: int = self._store[key]
            return count

    def is_cached(self, task_id: str) -> bool:
        """Whether a result is stored; Celery finds the failed task of a chord with it."""
        return result_key(self, task_id) in self._store

    def get_many(self, task_ids: Any, *args: Any, **options: Any) -> Any:
        """Return the records of completed tasks. Raises the errors of ``wait_for``."""
        ids = list(task_ids)
        for task_id in ids:
            self.wait_for(task_id)
        return super().get_many(ids, *args, **options)

    def wait_for(self, task_id: str, *args: Any, **options: Any) -> Any:
        """Return the record of a completed task. Raises ``RecordingError`` if it is not."""
        meta = self.get_task_meta(task_id)
        if meta["status"] == IGNORED:
            raise RecordingError(
                f"Task {task_id} was discarded, so its result is never ready and get() would not "
                "return. Check its state instead.",
                task_id,
            )
        if meta["status"] not in READY_STATES:
            self.refuse_to_wait(task_id)
        return meta

    def refuse_to_wait(self, about: str) -> NoReturn:
        """Raise ``RecordingError``, because a task has not run yet."""
        raise RecordingError(
            f"The result {about} does not exist: its task was recorded, but has not run. Call "
            "run() of the recorder first.",
            about,
        )
