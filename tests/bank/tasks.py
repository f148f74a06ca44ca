"""Durable tasks that are functions."""

from __future__ import annotations

from cereal_methods import task

from .models import Account, Entry


@task(durable=True)
def transfer(source: Account, target: Account, amount: int) -> int:
    """Enter an amount on both."""
    Entry.objects.create(account=source, amount=-amount)
    Entry.objects.create(account=target, amount=amount)
    return amount
