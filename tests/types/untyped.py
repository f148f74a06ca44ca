"""Methods without annotations, whose number of arguments is checked all the same."""
# mypy: allow-untyped-defs
# pyright: basic

from __future__ import annotations

from django.db import models

from cereal_methods import model_task


class Parcel(models.Model):
    @model_task
    def ship(self, carrier, weight=1):
        return carrier

    @model_task(bind=True)
    def send(self, task, to, **options):
        return to


def arguments(parcel: Parcel) -> None:
    parcel.ship.delay("dhl")
    parcel.ship.delay("dhl", weight=2).get()
    parcel.send.delay("me", copy=True)
    Parcel.ship.delay(parcel, "dhl")
    parcel.ship.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    parcel.ship.delay("dhl", 2, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    parcel.send.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Parcel.ship.delay(parcel)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
