"""Where Celery looks for tasks."""

from .jobs import numbers

__all__ = ["numbers"]
