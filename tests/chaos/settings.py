"""Settings of the processes of a run: servers of its own, which the environment names."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos"]
DATABASES = json.loads(os.environ.get("CHAOS_DATABASES", "{}")) or DATABASES  # noqa: F405
DATABASE_ROUTERS: list[str] = []
CELERY_BROKER_URL = os.environ.get("CHAOS_BROKER_URL", "memory://")
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_TRANSPORT_OPTIONS = json.loads(os.environ.get("CHAOS_TRANSPORT", "{}"))
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_PREFETCH_MULTIPLIER = 4
CEREAL_METHODS = {"FETCH_RETRY_BACKOFF": 0.2, "FETCH_RETRY_BACKOFF_MAX": 1}
