"""The class of a task's requests: this library's, with Celery's or the project's."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Task
from celery.worker.request import Request

from cereal_methods.running.requests.option import RequestOption
from cereal_methods.running.requests.request import RowRequest

from ..batches.odd import odd_orders

pytestmark = pytest.mark.usefixtures("new_models")


class ProjectRequest(Request):  # type: ignore[misc]
    pass


class OurRequest(RowRequest, Request):  # type: ignore[misc]
    pass


class ProjectTask(Task):
    abstract = True
    Request = ProjectRequest


def test_the_request_class_derives_from_celery_s() -> None:
    task = odd_orders().act.task

    assert task.Request.__bases__ == (RowRequest, Request)
    assert task.Request is task.Request


def test_the_request_class_of_a_base_class_is_used() -> None:
    assert issubclass(odd_orders(base=ProjectTask).act.task.Request, ProjectRequest)


@pytest.mark.parametrize("option", [ProjectRequest, f"{__name__}:ProjectRequest"])
def test_the_request_class_of_the_option_is_used(option: Any) -> None:
    request_class = odd_orders(Request=option).act.task.Request

    assert request_class.__bases__ == (RowRequest, ProjectRequest)
    assert request_class.__name__ == "ProjectRequest"


def test_a_request_class_with_our_hooks_is_unchanged() -> None:
    class Owner:
        Request = RequestOption(OurRequest)

    assert Owner.Request is OurRequest
