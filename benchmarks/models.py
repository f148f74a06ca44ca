"""A model of ordinary width, and methods that cost nothing themselves."""

from __future__ import annotations

from django.db import models

from cereal_methods import model_task


class Order(models.Model):
    """An order with ten ordinary fields."""

    number = models.CharField(max_length=20, default="2026-0001")
    status = models.CharField(max_length=20, default="new")
    carrier = models.CharField(max_length=20, default="")
    street = models.CharField(max_length=80, default="1 Long Street")
    city = models.CharField(max_length=80, default="Springfield")
    note = models.CharField(max_length=200, default="")
    total = models.DecimalField(max_digits=9, decimal_places=2, default="9.99")
    placed_at = models.DateTimeField(auto_now_add=True)
    tries = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.number

    @model_task
    def ship(self) -> None:
        """Do nothing."""
