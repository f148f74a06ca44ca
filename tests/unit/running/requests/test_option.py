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


def test_it_is_celery_s_and_ours() -> None:
    task = odd_orders().act.task

    assert task.Request.__bases__ == (RowRequest, Request)
    assert task.Request is task.Request


def test_it_is_that_of_the_base_class() -> None:
    assert issubclass(odd_orders(base=ProjectTask).act.task.Request, ProjectRequest)


@pytest.mark.parametrize("option", [ProjectRequest, f"{__name__}:ProjectRequest"])
def test_it_is_that_of_the_option(option: Any) -> None:
    found = odd_orders(Request=option).act.task.Request

    assert found.__bases__ == (RowRequest, ProjectRequest)
    assert found.__name__ == "ProjectRequest"


def test_what_is_ours_already_is_left_alone() -> None:
    class Owner:
        Request = RequestOption(OurRequest)

    assert Owner.Request is OurRequest
