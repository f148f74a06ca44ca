"""Helpers for the tests of projects: which tasks were sent, running them, counting fetches.

They need no broker, no worker and no result backend, and work in Django's
``TestCase``, in pytest and elsewhere. pytest finds them as fixtures too.
"""

from __future__ import annotations

from .calls import Call
from .fetches import assert_num_fetches
from .messages import SentTask
from .recorder import RecordedTasks, record_tasks

__all__ = ["Call", "RecordedTasks", "SentTask", "assert_num_fetches", "record_tasks"]
