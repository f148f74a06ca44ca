"""The time at which a task is due, and at which it expires, from Celery's options."""

from __future__ import annotations

from datetime import datetime, timedelta
from numbers import Real
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime


def due(task: Any, options: dict[str, Any]) -> datetime | None:
    """Remove ``countdown`` and ``eta`` from a task's options; return when it is due, or None."""
    countdown, eta = options.pop("countdown", None), options.pop("eta", None)
    if countdown:
        return _in_seconds(task, countdown, "countdown")
    return _moment(task, eta) if eta else None


def expiry(task: Any, options: dict[str, Any]) -> datetime | None:
    """Remove ``expires`` from a task's options; return when the task expires, or None.

    Without the option it is the task's own.
    """
    expires = options.pop("expires", task.expires)
    options["expires"] = None  # or Celery would take the task's own
    if expires is None:
        return None
    if isinstance(expires, Real):
        return _in_seconds(task, expires, "expires")
    return _moment(task, expires)


def stored(moment: datetime) -> datetime:
    """Return a moment as the database stores it: aware or naive, depending on ``USE_TZ``."""
    if settings.USE_TZ or timezone.is_naive(moment):
        return moment
    return timezone.make_naive(moment)


def _in_seconds(task: Any, seconds: Any, name: str) -> datetime:
    try:
        return timezone.now() + timedelta(seconds=float(seconds))
    except OverflowError as error:
        raise ValueError(f"{name} is out of range: {seconds!r}.") from error


def _moment(task: Any, value: Any) -> datetime:
    moment: Any = parse_datetime(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise TypeError(f"{value!r} is not a date and time: pass a datetime, or text in ISO 8601.")
    if timezone.is_naive(moment):  # Celery reads it in its own time zone
        moment = timezone.make_aware(moment, task.app.timezone)
    return stored(moment)
