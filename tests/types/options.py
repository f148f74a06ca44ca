"""The options of ``@model_task``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from celery import Task
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models import Prefetch

from cereal_methods import CEREAL_JSON, model_task


class LoggedTask(Task[..., Any]):
    level = "info"


def note(error: ObjectDoesNotExist) -> None: ...


def note_all(error: Exception) -> str:
    return str(error)


def note_number(error: int) -> None: ...


OPTIONS: dict[str, Any] = {"queue": "mail"}


class Invoice(models.Model):
    @model_task()
    def without(self, to: str) -> int:
        return 1

    @model_task(
        name="shop.bill",
        aliases=["shop.invoice"],
        serializer=CEREAL_JSON,
        on_commit=True,
        on_missing="retry",
        manager="objects",
        select_related=True,
        prefetch_related=["lines", Prefetch("order")],
        select_for_update={"nowait": True},
    )
    def with_ours(self, to: str) -> int:
        return 1

    @model_task(
        autoretry_for=(OSError,),
        retry_backoff=True,
        retry_kwargs={"max_retries": 3},
        max_retries=None,
        default_retry_delay=0.5,
        rate_limit="10/m",
        time_limit=30,
        acks_late=True,
        ignore_result=True,
        throws=(KeyError,),
        queue="mail",
        priority=3,
        pydantic=False,
        bind=False,
        base=None,
    )
    def with_celerys(self, to: str) -> int:
        return 1

    @model_task(base=LoggedTask, level="debug", on_missing="discard")
    def with_a_task_class(self, to: str) -> int:
        return 1

    @model_task(base=LoggedTask, level="debug", bind=True)
    def with_a_bound_task_class(self, task: LoggedTask, to: str) -> int:
        return len(task.level)

    @model_task(**OPTIONS)
    def with_a_dict(self, to: str) -> int:
        return 1

    @model_task(on_missing=note, select_related="order")
    def with_a_function(self, to: str) -> int:
        return 1

    @model_task(on_missing=note_all, select_related=("order", "customer"), on_commit=None)
    def with_another_function(self, to: str) -> int:
        return 1


def checked(invoice: Invoice) -> None:
    assert_type(invoice.without.delay("me").get(), int)
    assert_type(invoice.with_ours.delay("me").get(), int)
    assert_type(invoice.with_celerys.delay("me").get(), int)
    assert_type(invoice.with_a_task_class.delay("me").get(), int)
    assert_type(invoice.with_a_bound_task_class.delay("me").get(), int)
    assert_type(invoice.with_a_dict.delay("me").get(), int)
    invoice.without.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    invoice.with_ours.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    invoice.with_celerys.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    invoice.with_a_task_class.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    invoice.with_a_bound_task_class.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    invoice.with_a_dict.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


model_task(que="mail")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
model_task(bind=True, max_retrys=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
model_task(on_missing="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(on_missing=None)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(on_missing=note_number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
model_task(on_commit="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(select_for_update="nowait")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(select_related=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(manager=models.Manager)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(aliases="shop.bill")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(queue=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(max_retries="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(autoretry_for=ValueError)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(expires=timedelta(hours=1))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
model_task(base=Invoice)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
model_task("mail")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
