"""Test helpers, which record the tasks that are sent, run them and count fetches.

They do not need a broker, a worker or a result backend. They work in Django's ``TestCase`` and
in pytest, which also finds them as fixtures.
"""

from __future__ import annotations

from .calls import Call
from .fetches import assert_num_fetches
from .messages import SentTask
from .recorder import RecordedTasks, record_tasks

__all__ = ["Call", "RecordedTasks", "SentTask", "assert_num_fetches", "record_tasks"]
