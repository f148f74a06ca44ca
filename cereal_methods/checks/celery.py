"""Checks of the project's Celery apps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from .registry import celery_apps, never_raising, own_tasks


@never_raising
def check_celery(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """W007, E009 and W009: the Celery app is missing, or its settings may lose messages."""
    apps = celery_apps()
    if not apps:
        yield CheckWarning(
            "This process has no Celery app. Tasks would be sent by Celery's default app to a "
            "broker on this machine, without the project's settings.",
            hint="Import the app when Django starts: 'from .celery import app' in the "
            "__init__.py beside settings.py.",
            id="cereal_methods.W007",
        )
    for app in apps:
        if app.conf.task_protocol == 1:
            yield Error(
                f"The Celery app {app.main!r} uses message protocol 1, which cereal serializers "
                "do not support.",
                hint="Remove CELERY_TASK_PROTOCOL from the settings. The default is protocol 2.",
                id="cereal_methods.E009",
            )
        options = app.conf.broker_transport_options or {}
        if _is_amqp(app) and not options.get("confirm_publish") and any(own_tasks(app)):
            yield CheckWarning(
                f"The Celery app {app.main!r} does not ask RabbitMQ to confirm messages. If "
                "RabbitMQ refuses a message or cannot route it, the message is lost and delay() "
                "does not raise.",
                hint="CELERY_BROKER_TRANSPORT_OPTIONS = {'confirm_publish': True}",
                id="cereal_methods.W009",
            )


def _is_amqp(app: Any) -> bool:
    """Whether an app's settings name an AMQP broker. Nothing is connected to."""
    urls = app.conf.broker_write_url or app.conf.broker_url or "amqp://"
    first = (urls.split(";") if isinstance(urls, str) else [*urls])[0]
    transport = app.conf.broker_transport or str(first).partition("://")[0]
    return transport in ("amqp", "amqps", "pyamqp", "librabbitmq")
