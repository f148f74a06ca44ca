"""Fixtures of these tests."""

from ..journals import journals
from .deliveries import unavailable

__all__ = ["journals", "unavailable"]
