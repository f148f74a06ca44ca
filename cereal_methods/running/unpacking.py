"""The rows of tasks that this library did not make, fetched as Celery unpacks their arguments.

``celery.app.trace`` does so at ``fun(*args, **kwargs)``, inside the task's own ``try``: a row
that is gone is a failure like any other, with a state, errbacks, ``on_failure`` and a log line.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..exceptions import InvalidMessage
from ..rows.values import without_lazy_rows
from .failures import fetch_or_retry
from .message import sent_arguments_of
from .resolution import Resolution
from .state import state_of

if TYPE_CHECKING:
    from ..serializers.call import Call
    from .arguments import LazyArguments


def fetch_rows(call: Call, task: Any, *containers: LazyArguments) -> None:
    """Put rows in the place of the lazy rows in a task's arguments, once.

    Raises what ends or retries the task if they cannot be fetched; the arguments hold
    references then.
    """
    request = task.request
    change: Callable[[Any], Any] = without_lazy_rows
    try:
        call.frame()
        if isinstance(call.error, InvalidMessage):
            raise call.error
        references = call.references()
        rows: list[Any] = []
        if references:
            rows = fetch_or_retry(task, references, functools.partial(sent_arguments_of, request))
        fetched = dict(zip(references, rows, strict=True))
        # Arguments that nobody has read yet are decoded on the rows themselves.
        change = _unchanged if call.resolve(fetched) else Resolution(fetched, call)
    except Exception as error:
        call.error = error
        raise
    finally:
        state_of(request).has_fetched = True
        for container in containers:
            container.change_values(change)


def _unchanged(value: Any) -> Any:
    return value
