"""The app: installed, it checks the library's settings."""

from __future__ import annotations

from django.apps import AppConfig


class CerealMethodsConfig(AppConfig):
    """Wires the system checks."""

    name = "cereal_methods"
    verbose_name = "Model tasks"

    def ready(self) -> None:
        """Register the system checks."""
        from . import checks  # noqa: F401  (registers on import, as Django's own do)
