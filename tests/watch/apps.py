"""The app of the tasks that are watched, and of what watches them."""

from __future__ import annotations

import os

from django.apps import AppConfig


class WatchConfig(AppConfig):
    name = "tests.watch"
    label = "watch"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Watch tasks by Celery's signals, in workers that are asked to."""
        from . import looking, readers

        readers.install()
        if "TEST_WATCH" in os.environ:
            looking.install()
