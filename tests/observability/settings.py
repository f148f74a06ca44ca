"""Settings of these tests: those of the worker tests, and monitors where they are asked for."""

from __future__ import annotations

from tests.worker.settings import *  # noqa: F403
from tests.worker.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.observability"]
