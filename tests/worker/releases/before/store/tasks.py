"""Tasks around purchases."""

from __future__ import annotations

from cereal_methods import task

from .models import Purchase


@task
def numbers(purchases: list[Purchase]) -> list[str]:
    """Return the numbers of some purchases."""
    return [purchase.number for purchase in purchases]
