"""Fixtures of the unit tests, which need no server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.celery import app


@pytest.fixture
def eager() -> Iterator[None]:
    """Run tasks where they are sent, as CELERY_TASK_ALWAYS_EAGER does."""
    before = app.conf.task_always_eager
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = before
