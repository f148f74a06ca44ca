"""Models with primary keys of other types than integers."""

from __future__ import annotations

from django.db import models


class Country(models.Model):
    code = models.CharField(primary_key=True, max_length=2)


class Day(models.Model):
    date = models.DateField(primary_key=True)


class Instant(models.Model):
    at = models.DateTimeField(primary_key=True)


class Price(models.Model):
    amount = models.DecimalField(primary_key=True, max_digits=9, decimal_places=2)
