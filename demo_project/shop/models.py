"""A small shop: customers, their orders, and a log of what happened to them."""

import os
import time
import uuid
from typing import Literal

from django.conf import settings
from django.db import models
from django.utils import timezone

from cereal_methods import model_task


class Customer(models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField()

    def __str__(self):
        return self.name


class Order(models.Model):
    class Status(models.TextChoices):
        PAID = "paid"
        PACKED = "packed"
        SHIPPED = "shipped"

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    number = models.CharField(max_length=20, unique=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.PAID)
    street = models.CharField(max_length=100)
    city = models.CharField(max_length=100)
    total = models.DecimalField(max_digits=9, decimal_places=2)
    parcel = models.UUIDField(null=True)
    carrier = models.CharField(max_length=20, blank=True)
    placed_at = models.DateTimeField(default=timezone.now)
    shipped_at = models.DateTimeField(null=True)

    def __str__(self):
        return f"order {self.number}"

    @model_task
    def pack(self, parcel: uuid.UUID | None = None):
        """Put the order into a parcel, which may contain others, and return the parcel."""
        self.status, self.parcel = self.Status.PACKED, parcel or uuid.uuid4()
        self.save()
        self.note(f"packed into parcel {self.parcel}")
        return self.parcel

    @model_task
    def ship(self, carrier: Literal["dhl", "gls", "ups"]):
        """Hand the order to a carrier, and return its address."""
        address = self.address()
        time.sleep(settings.CARRIER_SECONDS)  # the carrier's server takes a moment
        self.status, self.carrier, self.shipped_at = self.Status.SHIPPED, carrier, timezone.now()
        self.save()
        self.note(f"shipped with {carrier} to {address}")
        return address

    @model_task(durable=True)
    def charge(self):
        """Charge the order's total, once."""
        time.sleep(settings.CARRIER_SECONDS)
        self.note(f"charged {self.total}")

    @model_task
    def label(self):
        """Return the text of the address label."""
        return f"{self.customer_id}: {self.address()}"

    def address(self):
        if not self.street:
            raise ValueError(f"order {self.number} has no street")
        return f"{self.street}, {self.city}"

    def note(self, text):
        self.events.create(text=text, process=os.getpid())


class Event(models.Model):
    """An entry in the log of an order, with the process that made it."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="events")
    text = models.CharField(max_length=200)
    process = models.IntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return f"{self.order}: {self.text}"
