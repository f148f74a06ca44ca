"""A Celery app without the library, for contracts with Celery itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from celery import Celery, _state
from celery.backends.cache import CacheBackend
from celery.worker import state


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """Return an app that is not the current one, with a queue and results of its own."""
    # Without the shared tasks, which are the tests' and the library's.
    finalizers = {
        each for each in _state._on_app_finalizers if each.__module__ == "celery.app.builtins"
    }
    monkeypatch.setattr(_state, "_on_app_finalizers", finalizers)
    made = Celery("contract", set_as_current=False, broker="memory://", backend="cache+memory://")
    made.conf.update(task_store_eager_result=True, task_default_queue="contract")
    yield made
    # Both are the process's.
    CacheBackend(app=made, backend="memory").forget("an-id")
    state.revoked.discard("an-id")
    made.control.purge()
    made.close()


@pytest.fixture(autouse=True)
def _keep_the_process_as_it_is() -> Iterator[None]:
    """Restore the current app and the root logger, which a worker takes for itself."""
    current, default = _state.get_current_app(), _state.default_app
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    current.set_current()
    _state.set_default_app(default)
    root.setLevel(level)
    root.handlers[:] = handlers
