"""The app that starts monitors in the processes that are told to."""

from __future__ import annotations

from django.apps import AppConfig


class ObservabilityConfig(AppConfig):
    name = "tests.observability"

    def ready(self) -> None:
        """Start them."""
        from . import monitors

        monitors.install()
