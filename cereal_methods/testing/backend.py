"""A result backend in memory, for the time of a recording."""

from __future__ import annotations

import threading
from typing import Any, NoReturn

from celery.backends.base import KeyValueStoreBackend
from celery.states import IGNORED, READY_STATES

from ..exceptions import RecordingError


class RecordedResults(KeyValueStoreBackend):
    """Keeps results as any key-value backend does: encoded with the result serializer.

    Nothing else runs while someone waits for a result, so waiting for one that is
    not there raises ``RecordingError`` in the place of waiting for ever.
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
        """Forget a key."""
        self._store.pop(key, None)

    def incr(self, key: Any) -> int:
        """Count the tasks of a chord that are done."""
        with self._lock:
            self._store[key] = self._store.get(key, 0) + 1
            count: int = self._store[key]
            return count

    def is_cached(self, task_id: str) -> bool:
        """Whether a result is at hand; the error of a chord names its part by that."""
        return self.get_key_for_task(task_id) in self._store

    def get_many(self, task_ids: Any, *args: Any, **options: Any) -> Any:
        """Give the records of tasks that have ended. Raises what ``wait_for`` raises."""
        ids = list(task_ids)
        for task_id in ids:
            self.wait_for(task_id)
        return super().get_many(ids, *args, **options)

    def wait_for(self, task_id: str, *args: Any, **options: Any) -> Any:
        """Return the record of a task that has ended. Raises ``RecordingError`` if it has not."""
        meta = self.get_task_meta(task_id)
        if meta["status"] == IGNORED:
            raise RecordingError(
                f"Task {task_id} was discarded: its result is never ready, and get() on it waits "
                "for its timeout. Look at its state.",
                task_id,
            )
        if meta["status"] not in READY_STATES:
            self.refuse_to_wait(task_id)
        return meta

    def refuse_to_wait(self, about: str) -> NoReturn:
        """Raise ``RecordingError``: what is waited for has not run."""
        raise RecordingError(
            f"The result {about} is not there: its task is recorded, and has not run. Call run() "
            "of the recorder before you ask for results.",
            about,
        )
