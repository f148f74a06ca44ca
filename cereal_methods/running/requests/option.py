"""The attribute ``Request`` of method tasks."""

from __future__ import annotations

from typing import Any

from ...celery_api.tasks import class_named
from .request import RowRequest


class RequestOption:
    """Provides the class of a task's requests in the consumer.

    It combines ``RowRequest`` with the class that the task was given as its option ``Request``,
    or with that of its base class: Celery's own, or the project's.
    """

    def __init__(self, request_class: Any = None) -> None:
        self._request_class = request_class
        self._combined: dict[Any, type] = {}

    def __get__(self, task: Any, owner: type) -> type:
        option = self._request_class
        if option is None:
            inherited = (vars(base).get("Request") for base in owner.__mro__)
            option = next(value for value in inherited if value is not None and value is not self)
        request_class: type = class_named(option)
        if issubclass(request_class, RowRequest):
            return request_class
        if request_class not in self._combined:
            bases = (RowRequest, request_class)
            self._combined[request_class] = type(request_class.__name__, bases, {})
        return self._combined[request_class]
