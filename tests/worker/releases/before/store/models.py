"""Purchases, which the next release calls orders."""

from __future__ import annotations

from typing import Any

from django.db import models

from cereal_methods import model_task


class Noted(models.Model):
    """An abstract base with a method task."""

    notes = models.CharField(max_length=200, default="")

    class Meta:
        abstract = True

    @model_task
    def note(self, text: str) -> str:
        """Add to the notes of the row."""
        self.notes += text
        self.save(update_fields=["notes"])
        return self.notes


class Purchase(Noted):
    number = models.CharField(max_length=20)
    paid = models.IntegerField(default=0)

    class Meta:
        db_table = "store_purchase"

    @model_task(aliases=["store.models.Order.charge"])  # what the next release calls it
    def pay(self, amount: int) -> int:
        """Count what was paid."""
        self.paid += amount
        self.save(update_fields=["paid"])
        return self.paid

    @model_task
    def receipt(self, *before: Any) -> list[Any]:
        """Return the number, and what came before."""
        return [self.number, *before]

    @model_task
    def itself(self) -> Purchase:
        """Return the row."""
        return self

    @model_task(bind=True, max_retries=1)
    def insist(self, task: Any) -> str:
        """Succeed the second time."""
        if task.request.retries == 0:
            raise task.retry(countdown=8)
        return f"{self.number} again"
