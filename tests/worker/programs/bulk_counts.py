"""Print what a process counts for a bulk whose result was saved: its id is the argument."""

from __future__ import annotations

import json
import sys
from typing import Any

import django

import tests.celery  # noqa: F401  (the app)

django.setup()

from cereal_methods import BulkResult  # noqa: E402

result: Any = BulkResult.restore(sys.argv[1])
counts = result.counts()
keys = sorted(failure.key for failure in result.failures())
print(json.dumps([counts.total, counts.succeeded, counts.failed, counts.missing, keys]))
