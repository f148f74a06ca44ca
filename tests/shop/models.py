"""Models of a small shop, with every kind of primary key."""

from __future__ import annotations

import decimal
import time
import uuid
from typing import Any

from django.db import models

import cereal_methods
from cereal_methods import model_task

from .probe import mark


class Customer(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        raise AssertionError("a model's __str__ may query, and shows personal data")


class Stamped(models.Model):
    """An abstract base with a method task."""

    note = models.CharField(max_length=200, default="")

    class Meta:
        abstract = True

    @model_task
    def stamp(self, text: str) -> str:
        """Write a note on the row."""
        self.note = text
        self.save()
        return text


def note_missing(error: Exception) -> str:
    """Note that rows are missing, as the task's result."""
    mark("missing", error=str(error))
    return "noted"


class PaidManager(models.Manager["Order"]):
    """Orders that are paid."""

    def get_queryset(self) -> models.QuerySet[Order]:
        return super().get_queryset().filter(status="paid")

    @model_task
    def count_all(self, more: int = 0) -> int:
        """Count the orders of the manager."""
        mark("begin")
        return self.count() + more


class Order(Stamped):
    """An order with ten ordinary fields."""

    customer = models.ForeignKey(Customer, models.CASCADE, null=True)
    number = models.CharField(max_length=20, default="2026-0001")
    status = models.CharField(max_length=20, default="new")
    carrier = models.CharField(max_length=20, default="")
    street = models.CharField(max_length=80, default="1 Long Street")
    city = models.CharField(max_length=80, default="Springfield")
    total = models.DecimalField(max_digits=9, decimal_places=2, default=decimal.Decimal("9.99"))
    placed_at = models.DateTimeField(auto_now_add=True)
    tries = models.IntegerField(default=0)

    objects: models.Manager[Order] = models.Manager()
    paid = PaidManager()

    def __str__(self) -> str:
        raise AssertionError("a model's __str__ may query, and shows personal data")

    @model_task
    def ship(self, carrier: str, *, express: bool = False) -> str:
        """Ship the order."""
        mark("begin")
        self.carrier = f"{carrier} express" if express else carrier
        self.status = "shipped"
        self.save()
        return self.status

    @model_task(serializer="json")
    def ship_as_json(self, carrier: str) -> str:
        """Ship the order, with a message in Celery's own json."""
        self.carrier = carrier
        self.save()
        return self.carrier

    @model_task
    def count(self) -> int:
        """Count on the row that the worker has fetched."""
        mark("begin")
        self.tries += 1
        self.save()
        return self.tries

    @model_task
    def then(self, before: int) -> tuple[int, int]:
        """Take the result of the method before."""
        mark("begin")
        return self.pk, before

    @model_task
    def trace(self, *before: Any) -> list[Any]:
        """Return the order's number and what came before."""
        mark("begin", number=self.number)
        return [self.number, *before]

    @model_task
    def me(self) -> Order:
        """Return the order itself."""
        mark("begin", number=self.number)
        return self

    @model_task
    def meet(self, *others: Order) -> list[str]:
        """Return the numbers of this order and of others."""
        mark("begin", number=self.number)
        return [self.number, *(other.number for other in others)]

    @model_task
    def fail(self, *before: Any) -> None:
        """Fail."""
        mark("begin", number=self.number)
        raise ValueError(f"order {self.number} fails")

    @model_task
    def fail_if_bad(self) -> str:
        """Fail for some orders."""
        mark("begin", number=self.number)
        if self.number == "bad":
            raise ValueError(f"order {self.number} fails")
        return self.number

    @model_task(acks_late=True, reject_on_worker_lost=True)
    def survive(self) -> None:
        """Fail for bad orders; at a stuck one, wait for the end of the process the first time."""
        mark("begin", key=self.pk)
        if self.number == "bad":
            raise ValueError(f"order {self.pk} fails")
        if self.number == "stuck" and self.tries == 0:
            Order.objects.filter(pk=self.pk).update(tries=1)
            mark("stuck")
            time.sleep(60)

    @model_task
    def on_error(self, request: Any, error: BaseException, traceback: Any) -> None:
        """Note an error, as Celery's errbacks of the new style do."""
        mark("errback", number=self.number, error=str(error), id=request.id)

    @model_task
    def on_error_id(self, task_id: str) -> None:
        """Note an error, as Celery's errbacks of the old style do."""
        mark("errback", number=self.number, id=task_id)

    @model_task(bind=True)
    def replaced(self, task: Any, other: Order) -> Any:
        """Let another order's method take this one's place."""
        mark("begin", number=self.number)
        return task.replace(other.trace.s(self.number))

    @model_task(bind=True)
    def enlarge(self, task: Any, other: Order) -> list[str]:
        """Add another order's method to the chord that this one is in."""
        mark("begin", number=self.number)
        task.add_to_chord(other.trace.s())
        return [self.number]

    @model_task
    def itself(self, *others: Any, **named: Any) -> Any:
        """Return what the method was called with."""
        return [self, *others, named]

    @model_task(bind=True, max_retries=2, default_retry_delay=0)
    def retry_until(self, task: Any, tries: int) -> tuple[int, str]:
        """Retry until the row, fetched again, has counted to ``tries``."""
        seen = self.tries
        Order.objects.filter(pk=self.pk).update(tries=models.F("tries") + 1)
        if seen < tries:
            raise task.retry(countdown=0)
        return seen, task.request.id

    # With a delay of 0 a failure of the retry may be stored before the state RETRY, which Celery
    # then stores in its place.
    @model_task(autoretry_for=(ValueError,), max_retries=1, default_retry_delay=0.5)
    def fail_once(self) -> int:
        """Fail for orders that were not tried before, and for bad ones always."""
        mark("begin", number=self.number)
        Order.objects.filter(pk=self.pk).update(tries=models.F("tries") + 1)
        if self.tries == 0 or self.number == "bad":
            raise ValueError(f"order {self.number} fails")
        return self.tries

    @model_task
    def be_slow(self, seconds: float) -> str:
        """Take some time for slow orders."""
        mark("begin", number=self.number)
        if self.number == "slow":
            time.sleep(seconds)
        return self.number

    @model_task(on_missing="discard")
    def ship_or_not(self) -> str:
        """Ship the order, if it is still there."""
        mark("begin")
        return self.number

    @model_task(on_missing="retry")
    def ship_later(self) -> str:
        """Ship the order, as soon as it is there."""
        mark("begin")
        return self.number

    @model_task(on_missing=note_missing)
    def ship_or_note(self, other: Order | None = None) -> str:
        """Ship the order, or note that it is gone."""
        mark("begin")
        return self.number

    @model_task(on_commit=True)
    def ship_on_commit(self) -> str:
        """Ship the order after the transaction."""
        mark("begin")
        return self.number

    @model_task
    def add(self) -> None:
        """Count on the row, as two may do at once."""
        self._add()

    @model_task(select_for_update=True)
    def add_locked(self) -> None:
        """Count on the row, which no other may change meanwhile."""
        self._add()

    @model_task(select_for_update={"nowait": True})
    def add_nowait(self) -> str:
        """Count on the row, later if another holds it."""
        self._add()
        return "added"

    @model_task(select_for_update={"skip_locked": True})
    def add_or_skip(self) -> str:
        """Count on the row, unless another holds it."""
        self._add()
        return "added"

    @model_task(on_missing="retry", select_for_update=True, select_related="customer")
    def ship_later_locked(self) -> str:
        """Ship the order, as soon as it is there and free."""
        mark("begin")
        return self.number

    @model_task(on_missing="retry", select_for_update=True, serializer="json")
    def ship_later_locked_as_json(self) -> str:
        """Ship the order as soon as it is there and free, with a message in Celery's own json."""
        mark("begin")
        return self.number

    @model_task(select_for_update=True, select_related="customer")
    def meet_locked(self, *others: Any, boxed: Any = None) -> list[Any]:
        """Return what the order and others are, once the order is locked."""
        mark("begin", number=self.number)
        boxed = [key is self for key in boxed or ()]
        return [self.number, *(getattr(other, "number", other) for other in others), *boxed]

    @model_task(select_for_update={"batch": True})
    def count_together(self) -> int:
        """Count on the row, and fail for bad ones after that."""
        mark("begin", number=self.number)
        self.tries += 1
        self.save()
        if self.number == "bad":
            raise ValueError(f"order {self.number} fails")
        return self.tries

    @model_task(select_for_update=True, bind=True)
    def replaced_locked(self, task: Any, other: Order) -> Any:
        """Count, and let another order's method take this one's place."""
        self._add()
        return task.replace(other.trace.s("replaced"))

    def _add(self) -> None:
        mark("begin")
        tries = self.tries
        time.sleep(0.002)
        self.tries = tries + 1
        self.save(update_fields=["tries"])

    @model_task(select_related="customer", prefetch_related=["line_set"])
    def summary(self, other: Order | None = None) -> list[Any]:
        """Return what is fetched along with the row."""
        mark("begin")
        customer = self.customer.name if self.customer else None
        return [customer, [line.position for line in self.line_set.all()], other is self]

    @model_task(manager="paid", on_missing="discard")
    def ship_paid(self) -> str:
        """Ship the order if it is paid."""
        mark("begin")
        return self.number

    @model_task(name="shop.bill", aliases=["shop.invoice", "shop.charge"])
    def bill(self) -> str:
        """Bill the order, under a name of its own."""
        return self.number

    @model_task
    @classmethod
    def number_all(cls, numbers: list[str], *, last: Order | None = None) -> list[str]:
        """Return the model's name and some numbers."""
        mark("begin")
        return [cls.__name__, *numbers, *([last.number] if last else [])]

    @model_task(bind=True)
    @classmethod
    def task_of(cls, task: Any) -> str:
        """Return the name of the task."""
        return f"{cls.__name__} {task.name}"

    @model_task
    @classmethod
    def where(cls) -> str:
        """Return the file of the library."""
        return str(cereal_methods.__file__)


class Gift(Order):
    """An order with a row of its own, linked to the parent's."""

    message = models.CharField(max_length=80, default="")


class PaidOrder(Order):
    """A proxy of orders."""

    class Meta:
        proxy = True


class DocumentQuerySet(models.QuerySet["Document"]):
    """Documents, with rows that have names."""

    def drafts(self) -> DocumentQuerySet:
        """Return those that are not published."""
        return self.filter(title="draft")

    def titled(self, title: str) -> DocumentQuerySet:
        """Return those of a title."""
        return self.filter(title=title)

    def clear(self) -> DocumentQuerySet:
        """Change them."""
        self.update(title="")
        return self

    clear.alters_data = True  # type: ignore[attr-defined]

    def titles(self) -> list[str]:
        """Return no rows."""
        return list(self.values_list("title", flat=True))


class Document(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=50, default="")

    objects = DocumentQuerySet.as_manager()

    @model_task
    def publish(self) -> str:
        """Return the document's title."""
        return self.title


class Line(models.Model):
    """A row with a composite primary key."""

    pk = models.CompositePrimaryKey("order_id", "position")
    order = models.ForeignKey(Order, models.CASCADE)
    position = models.IntegerField()


from . import strangers as strangers  # noqa: E402
from .keys import Country as Country  # noqa: E402
from .keys import Day as Day  # noqa: E402
from .keys import Instant as Instant  # noqa: E402
from .keys import Price as Price  # noqa: E402
