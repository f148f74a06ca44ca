"""One run of a task's function: its rows are fetched here, and nowhere else.

Every message passes through here: with its row in the header line, as a keyword or as a key;
alone, in bulk or in a batch; in a worker or eagerly. Whatever has read the arguments before,
the rows are fetched by the task's policy just before its function is called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import models, transaction

from ..celery_api.tasks import get_current_task
from ..results import messages
from ..results.codec import check_result
from ..results.endings import Discarded, Replaced
from ..results.failure_record import record_failure
from ..rows.connections import with_reconnect
from ..rows.lazy import is_lazy
from ..rows.reference import ModelReference, QuerySetReference, Reference
from ..rows.values import without_lazy_rows
from . import durability
from .batches import batch
from .failures import handle_failed_fetch
from .fetch_retries import reset_fetch_retries
from .message import (
    call_of,
    is_called_directly,
    request_of,
    requests_of,
    sent_arguments_of,
)
from .plan import Plan, plan_of
from .request_arguments import change_arguments, set_this
from .resolution import Resolution, Resolutions
from .state import RunState, is_row_of_batch, state_of
from .target import Target, call_function, target_of
from .this import check_instance, pop_this, reference_of_this

if TYPE_CHECKING:
    from ..serializers.call import Call
    from .policy import RowPolicy


def invoke(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a task's function on its rows, and return its result.

    ``args`` and ``kwargs`` are what the task was called with: values, references and lazy
    rows. With ``bind``, the task is the first of them.
    """
    task: Any = get_current_task()
    if target_of(task) is not target:
        task = None  # the function was called by itself, perhaps inside another task
    request = request_of(task)
    reference: Any = None
    row: Any = None
    if target.model is not None:
        this = pop_this(target, kwargs)
        if is_called_directly(request) and isinstance(this, models.Model) and not is_lazy(this):
            check_instance(target, this)
            row = this
        else:
            reference = reference_of_this(target, this)
            if isinstance(reference, QuerySetReference):
                values = args[1:] if args and args[0] is task else args
                return _run_batch(target, task, reference, values, kwargs)
    state = RunState() if request is None else state_of(request)
    state.reference = reference
    run = _Run(target, task, request, state, call_of(request), reference, row)
    if target.is_durable and _is_recorded(task, request):
        call = functools.partial(run.run, args, kwargs)
        records = durability.installed(target.name)
        run_once = records.run_row if is_row_of_batch(request) else records.run
        return run_once(task, request, reference, call)
    return run.run(args, kwargs)


def _run_batch(
    target: Target, task: Any, rows: QuerySetReference, args: Any, kwargs: dict[str, Any]
) -> Any:
    """Run the method for each row of a message, and return the outcome as a result."""
    request = task.request
    is_recorded = target.is_durable and _is_recorded(task, request)
    found = batch.Batch(task, target.policy, rows, args, kwargs, is_recorded=is_recorded)
    if is_recorded:
        records = durability.installed(target.name)
        return records.run_batch(task, request, rows, found.run, found.divide)
    return found.run()


def _is_recorded(task: Any, request: Any) -> bool:
    """Whether a message of a durable task runs by its record."""
    return not (is_called_directly(request) or request.is_eager or durability.is_off(task.app))


@dataclass(slots=True)
class _Run:
    """One run of a function for a message, or for a direct call of its task."""

    target: Target
    task: Any
    #: The message's request; None if the function was called directly.
    request: Any
    state: RunState
    #: The call in the message, if one of our serializers wrote it.
    call: Call | None
    #: The reference of the row that a method runs on, or else the row itself.
    reference: ModelReference | None
    row: Any
    #: The policy of the rows that are being fetched.
    policy: RowPolicy = field(init=False)

    def __post_init__(self) -> None:
        self.policy = self.target.policy  # a transaction may fail to begin, before any fetch

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Fetch the rows, call the function, and return its result.

        For a message of a bulk, record the row if it ends without a result.
        """
        try:
            plan = plan_of(self.target, self.reference, args, kwargs, self.call)
            result = self._run(plan, args, kwargs)
            if self.reference is not None and is_of_bulk(self.request):
                check_result(self.task, self.request, result)
            return result
        except Exception as error:
            if not isinstance(error, (Discarded, Replaced)):
                self._record_failure(error)
            raise

    def _run(self, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not plan.parts:
            self._start()
            return call_function(self.target, self.task, self.request, self.row, args, kwargs)
        databases = plan.locked_databases()
        if databases:
            return self._run_locked(plan, databases, args, kwargs)
        try:
            call = self._call_on(self._fetch(plan), plan, args, kwargs)
        except Exception as error:
            return self._handle_failed_fetch(error)
        return call()

    def _run_locked(
        self, plan: Plan, databases: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the function in a transaction of each database in which rows are locked."""
        replaced = None
        sends: list[Callable[[], Any]] = []
        try:
            with ExitStack() as stack:
                try:
                    fetched, transactions = self._lock(plan, databases)
                    stack.enter_context(transactions)
                    call = self._call_on(fetched, plan, args, kwargs)
                except Exception as error:
                    raise _FetchFailed(error) from error
                if not is_called_directly(self.request):
                    self.state.pending_sends = sends
                try:
                    result = call()
                except Replaced as error:  # the function has done its work: commit it
                    replaced = error
                finally:
                    self.state.pending_sends = None
        except _FetchFailed as failed:
            # After the transaction: its rollback would undo what on_missing does.
            return self._handle_failed_fetch(failed.error)
        for send in sends:  # now, or when the transaction of a whole batch commits
            transaction.on_commit(send, using=databases[0])
        if replaced is not None:
            raise replaced
        return result

    def _lock(
        self, plan: Plan, databases: Iterable[str]
    ) -> tuple[list[dict[Reference, Any]], ExitStack]:
        """Fetch the rows in new transactions; return them, and what ends the transactions."""

        def fetch() -> tuple[list[dict[Reference, Any]], ExitStack]:
            with ExitStack() as transactions:
                for using in databases:
                    transactions.enter_context(transaction.atomic(using=using))
                return self._fetch(plan), transactions.pop_all()

        if self.target.model is None:  # a method's database is checked when it is sent
            for part in plan.parts:
                for reference in part.references:
                    part.policy.check_dispatch(reference, self.target.name)
        for using in databases:
            fetch = functools.partial(with_reconnect, using, fetch)
        return fetch()

    def _fetch(self, plan: Plan) -> list[dict[Reference, Any]]:
        """Return the rows of each part of a plan, by reference. A row is one object in all."""
        window_rows = self.state.window_rows or {}
        if len(plan.parts) == 1 and not window_rows:  # as most messages have it
            (part,) = plan.parts
            self.policy = part.policy
            references = list(part.references)
            return [dict(zip(references, part.policy.fetch(references), strict=True))]
        rows: list[dict[Reference, Any]] = []
        fetched = dict(window_rows)
        for part in plan.parts:
            self.policy = part.policy
            rows.append(part.fetch(window_rows, fetched))
        return rows

    def _call_on(
        self,
        fetched: list[dict[Reference, Any]],
        plan: Plan,
        args: Iterable[Any],
        kwargs: dict[str, Any],
    ) -> Callable[[], Any]:
        """Return the call of the function on its rows, which the task's request has from now on."""
        if plan.names_arguments:
            resolutions = Resolutions(plan, fetched, self.call)
            args, kwargs = resolutions.args(args), resolutions.kwargs(kwargs)
            resolution = resolutions.all
        else:
            resolution = Resolution(fetched[0])
        row = self.row if self.reference is None else resolution.rows[self.reference]
        if not is_called_directly(self.request):
            for request in requests_of(self.task, self.request):
                state_of(request).resolution = resolution
                if plan.names_arguments or request is not self.request:
                    change_arguments(request, resolution)
                if self.reference is not None:
                    set_this(request, row)
        self._start()
        return functools.partial(
            call_function, self.target, self.task, self.request, row, args, kwargs
        )

    def _start(self) -> None:
        self.state.has_started = True
        reset_fetch_retries(self.request)

    def _handle_failed_fetch(self, error: Exception) -> Any:
        if self.call is not None:
            self.call.error, self.call.has_failed = error, True
        if not is_called_directly(self.request):  # reading them must not fail once more
            change_arguments(self.request, without_lazy_rows)
            if self.reference is not None:
                set_this(self.request, self.reference)
        return handle_failed_fetch(
            self.task,
            self.request,
            self.policy,
            error,
            functools.partial(sent_arguments_of, self.request),
            lambda error: self._record_failure(Discarded(error)),
        )

    def _record_failure(self, error: BaseException) -> None:
        """Record the row of a bulk's message that ended without a result."""
        if self.reference is not None and is_of_bulk(self.request):
            record_failure(self.task, self.request, self.reference, error)


class _FetchFailed(Exception):
    """Rows could not be fetched, in a transaction that has to end first."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def is_of_bulk(request: Any) -> bool:
    """Whether a request is for a message of a bulk. Rows of a batch are recorded by their batch."""
    return request is not None and messages.is_bulk(request) and not is_row_of_batch(request)
