"""The app of the tests' models."""

from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "tests.shop"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Start the probe, in processes that are told where to write."""
        from . import probe

        probe.install()
