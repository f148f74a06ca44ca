"""A shop with a method of every kind."""

from __future__ import annotations

from typing import Any

from celery import Task
from django.db import models

from cereal_methods import model_task


class Mixin:
    @model_task
    def mixed(self, number: int) -> bytes:
        return bytes(number)


class Stamped(models.Model):
    class Meta:
        abstract = True

    @model_task
    def stamp(self, text: str) -> str:
        return text


class OrderManager(models.Manager["Order"]):
    @model_task
    def count_all(self, more: int = 0) -> int:
        return self.count() + more

    @model_task(queue="slow", bind=True)
    def count_bound(self, task: Task[..., int], more: int) -> int:
        return self.count() + more


class Order(Mixin, Stamped):
    orders = OrderManager()

    @model_task
    def ship(self, carrier: str, *, express: bool = False) -> str:
        return carrier

    @model_task
    def notify(self, shipped: str | None = None) -> None: ...

    @model_task
    def number(self) -> int:
        return 1

    @model_task
    def merge(self, other: Order, *others: Order) -> list[Order]:
        return [self, other, *others]

    @model_task
    def update(self, status: str, **fields: int) -> bool:
        return bool(fields)

    @model_task(bind=True, max_retries=5, queue="mail")
    def send(self, task: Task[..., Any], copy_to: str | None = None) -> int:
        raise task.retry(countdown=30)

    @model_task(bind=True)
    def send_with(self, task: Task[..., Any], to: str, **fields: int) -> int:
        return 1

    @model_task
    @classmethod
    def number_all(cls, numbers: list[str], *, last: Order | None = None) -> list[int]:
        return [len(numbers)]

    @model_task(bind=True)
    @classmethod
    def task_of(cls, task: Task[..., Any], prefix: str) -> str:
        return prefix

    @model_task
    @classmethod
    def create(cls, carrier: str, **fields: int) -> Order:
        return cls()

    @model_task
    @staticmethod
    def parse(text: str, base: int = 10) -> int:
        return int(text, base)

    @model_task(queue="slow")
    @staticmethod
    def sweep() -> int:
        return 1


class Gift(Order):
    @model_task
    def ship(self, carrier: str, *, express: bool = False, card: str = "") -> str:
        return super().ship(carrier, express=express)
