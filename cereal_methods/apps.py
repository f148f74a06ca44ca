"""The Django app, which adds the system checks and a worker's check of its messages."""

from __future__ import annotations

from typing import Any

from celery.signals import before_task_publish, celeryd_init
from django.apps import AppConfig

from .serializers.binding import remember


class CerealMethodsConfig(AppConfig):
    """Registers the system checks, and a worker's check of the messages that it receives."""

    name = "cereal_methods"
    verbose_name = "Model tasks"

    def ready(self) -> None:
        """Register the system checks, and what senders and the consumers of workers need."""
        from . import checks  # noqa: F401  (registers on import, as Django's own do)

        celeryd_init.connect(_check_messages, dispatch_uid=__name__)
        before_task_publish.connect(remember, weak=False, dispatch_uid=remember.__module__)


def _check_messages(sender: Any = None, instance: Any = None, **kwargs: Any) -> None:
    # By its name, so that only workers import it.
    instance.app.steps["consumer"].add("cereal_methods.running.consumer:MessageChecks")
