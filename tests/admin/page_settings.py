"""Settings of the project that docs/admin.md shows: those of the tests, with the page's app."""

from __future__ import annotations

from tests.admin.settings import *  # noqa: F403
from tests.admin.settings import INSTALLED_APPS as INSTALLED

INSTALLED_APPS = [name for name in INSTALLED if "test" not in name and "results" not in name]
INSTALLED_APPS += ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
