"""What a run expects, as its own transactions have committed it."""

from __future__ import annotations

from django.db import models


class Expected(models.Model):
    """An effect that is to happen once, since the transaction that asked for it has committed."""

    account_id = models.BigIntegerField()
    amount = models.BigIntegerField()
