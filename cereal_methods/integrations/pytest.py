"""Fixtures for pytest, which finds them once the package is installed.

pytest imports this module in every project, also in those that do not use Django or Celery.
The fixtures therefore import the library when a test asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

__all__ = ["assert_num_fetches", "recorded_tasks"]

if TYPE_CHECKING:
    from ..testing import RecordedTasks


@pytest.fixture
def recorded_tasks() -> Iterator[RecordedTasks]:
    """Return a recorder of the tasks that the test sends; see ``record_tasks``."""
    from ..testing import record_tasks

    with record_tasks() as tasks:
        yield tasks


@pytest.fixture
def assert_num_fetches() -> Callable[[int], AbstractContextManager[list[str]]]:
    """Return ``cereal_methods.testing.assert_num_fetches``."""
    from ..testing import assert_num_fetches

    return assert_num_fetches
