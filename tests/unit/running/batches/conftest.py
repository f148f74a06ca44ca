"""Fixtures of these tests."""

from ..journals import journals

__all__ = ["journals"]
