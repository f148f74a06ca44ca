"""Models of a warehouse, whose admin offers their methods."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any, Literal

from django.db import models

from cereal_methods import model_task


class Shelf(models.Model):
    name = models.CharField(max_length=20)
    is_secret = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"shelf {self.name}"


class Box(models.Model):
    class Size(models.TextChoices):
        SMALL = "s", "Small one"
        LARGE = "l", "Large one"

    number = models.CharField(max_length=20)
    owner = models.CharField(max_length=20, default="")
    weight = models.IntegerField(default=0)

    class Meta:
        verbose_name_plural = "boxes"

    def __str__(self) -> str:
        return f"box {self.number}"

    @model_task
    def weigh(self) -> int:
        """Weigh the box."""
        if self.number == "bad":
            raise ValueError(f"{self} cannot be weighed")
        self.weight += 1
        self.save()
        return self.weight

    @model_task(bind=True)
    def ship(self, task: Any, carrier: Literal["dhl", "ups"], days: int = 3) -> str:
        """Ship the box."""
        self.owner = f"{carrier} in {days}"
        self.save()
        return self.owner

    @model_task
    def move(self, to: Shelf, /, note: str | None = None) -> None:
        """Move the box to a shelf."""
        self.owner = f"{to} {note}"
        self.save()

    @model_task
    def burn(self) -> None:
        """Burn the box."""
        self.delete()

    @model_task(ignore_result=True)
    def forget(self) -> None:
        """Do what is not to be known."""

    @model_task
    def ask_all(
        self,
        text: str,
        number: int,
        ratio: float,
        price: Decimal,
        day: datetime.date,
        moment: datetime.datetime,
        time: datetime.time,
        span: datetime.timedelta,
        key: uuid.UUID,
        size: Size,
        shelf: Shelf | None,
        yes: bool = True,
        maybe: bool | None = None,
        plain=5,
        empty: str = "",
        blank: str | None = "",
        *rest: Any,
        **named: Any,
    ) -> None:
        """Take one of each."""

    @model_task
    def odd(self, unknown, items: list[str], strange: Nowhere, either: int | str = 1):  # noqa: F821
        """Take what no form asks for."""

    @model_task
    @classmethod
    def prune(cls) -> None:
        """Remove what is old."""


class Crate(models.Model):
    """A row with a key that is no number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

    @model_task
    def close(self) -> None:
        """Close the crate."""


class Parcel(models.Model):
    """A row whose method is durable."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

    @model_task(durable=True)
    def seal(self, weight: int = 0) -> None:
        """Seal the parcel."""
