"""A model of ordinary width, and methods that cost nothing themselves."""

from __future__ import annotations

import os
from typing import Final

from django.conf import settings
from django.db import models, transaction

from cereal_methods import CEREAL_JSON, CEREAL_PICKLE, model_task

#: Whether a method writes to its row; otherwise it does nothing.
WRITES: Final = os.environ.get("BENCH_WRITES") == "1"


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

    def plain(self) -> None:
        """Do what all of the methods do, undecorated."""
        if WRITES:
            self.save(update_fields=["status"])

    @model_task(serializer=CEREAL_PICKLE)
    def ship(self) -> None:
        """Do the same under cereal-pickle."""
        if WRITES:
            self.save(update_fields=["status"])

    @model_task(serializer=CEREAL_JSON)
    def ship_cereal_json(self) -> None:
        """Do the same under cereal-json."""
        if WRITES:
            self.save(update_fields=["status"])

    @model_task(serializer="json")
    def ship_json(self) -> None:
        """Do the same under Celery's json."""
        if WRITES:
            self.save(update_fields=["status"])

    if settings.RECORDS:  # otherwise there is no app that keeps durable tasks

        @model_task(serializer=CEREAL_PICKLE, durable=True)
        def charge(self, amount: int) -> None:
            """Do the same once, with a record of the task."""
            self.plain()

    @model_task(serializer=CEREAL_PICKLE)
    def charge_plainly(self, amount: int) -> None:
        """Do the same without a record."""
        self.plain()

    @model_task(serializer=CEREAL_PICKLE)
    def charge_in_transaction(self, amount: int) -> None:
        """Do the same in a transaction, without a record."""
        with transaction.atomic():
            self.plain()
