"""Fixtures for pytest, which finds them where the package is installed.

pytest imports this module wherever it runs, so that nothing of Django, Celery or
the library is imported before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import RecordedTasks


@pytest.fixture
def recorded_tasks() -> Iterator[RecordedTasks]:
    """Record what the test sends: ``cereal_methods.testing.record_tasks()`` around it."""
    from .testing import record_tasks

    with record_tasks() as tasks:
        yield tasks


@pytest.fixture
def assert_num_fetches() -> Callable[[int], AbstractContextManager[list[str]]]:
    """Give ``cereal_methods.testing.assert_num_fetches``."""
    from .testing import assert_num_fetches

    return assert_num_fetches
