"""The row of a running task, for monitors of your own."""

from __future__ import annotations

from ..running.text import fields, row_of

__all__ = ["fields", "row_of"]
