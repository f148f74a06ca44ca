"""The app: installed, it checks the library's settings, and workers what they take in."""

from __future__ import annotations

from typing import Any

from celery.signals import celeryd_init
from django.apps import AppConfig


class CerealMethodsConfig(AppConfig):
    """Wires the system checks, and the checks of a worker's messages."""

    name = "cereal_methods"
    verbose_name = "Model tasks"

    def ready(self) -> None:
        """Register the system checks, and what a worker adds to its consumer."""
        from . import checks  # noqa: F401  (registers on import, as Django's own do)

        celeryd_init.connect(_check_messages, dispatch_uid=__name__)


def _check_messages(sender: Any = None, instance: Any = None, **kwargs: Any) -> None:
    # By its name: processes that are no workers do without it.
    instance.app.steps["consumer"].add("cereal_methods.intake:Intake")
