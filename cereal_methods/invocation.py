"""One run of a task's function: its rows are fetched here, and nowhere else.

However a message was sent, it comes by here: with its row in the header, as a keyword or
as a key, alone, in bulk or in a batch, in a worker or eagerly. And whatever has read the
arguments before, the rows are fetched as the task's policy says, as its function begins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery._state import get_current_task
from django.db import models, transaction

from . import batches, keys, outcomes
from .arguments import sent_by
from .calls import THIS, Call
from .connections import reconnecting
from .exceptions import InvalidModelTask, UnsupportedKey
from .failures import Discarded, Replaced, not_fetched, reset_fetch_retries
from .hydration import missing_rows
from .plans import Plan, may_name_rows, plan_of, policies_of
from .references import ModelReference, QuerySetReference, Reference
from .resolutions import Resolution, reference_for, without_stand_ins
from .shown import show_in, shown
from .stand_ins import is_stand_in
from .targets import Target, call_function, call_of, is_direct, message_of, with_copy

if TYPE_CHECKING:
    from .policies import RowPolicy


def invoke(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a task's function on its rows, and return its result.

    ``args`` and ``kwargs`` are what the task was called with: values, and references or
    stand-ins for rows. With ``bind`` the task is the first of them.
    """
    task: Any = get_current_task()
    if getattr(task, "target", None) is not target:
        task = None  # the function was called by itself, perhaps inside another task
    request = message_of(task)
    given = args[1:] if args and args[0] is task else args  # with bind, the task comes first
    own, row = None, None
    if target.model is not None:
        this = _this(target, kwargs)
        if is_direct(request) and isinstance(this, models.Model) and not is_stand_in(this):
            row = _checked(target, this)
        else:
            own = _own(target, this)
            if isinstance(own, QuerySetReference):
                return batches.run_batch(task, target.policy, own, given, kwargs)
        if request is not None:
            request.own = own
    call = call_of(request)
    if own is not None and not may_name_rows(call, given, kwargs):  # as most messages have it
        plan, is_alone = [(target.policy, [own])], True
    else:
        plan, is_alone = plan_of(target, own, args, kwargs, call), False
    try:
        if plan:
            run = _Run(target, task, request, call, own, row, is_alone, target.policy)
            result = run.run(plan, args, kwargs)
        else:
            _begin(request)
            result = call_function(target, task, request, row, args, kwargs)
        if own is not None and is_of_bulk(request):
            outcomes.check_result(task, request, result)
        return result
    except Exception as error:
        if own is not None and not isinstance(error, (Discarded, Replaced)):
            _note(task, request, own, error)
        raise


@dataclass(slots=True)
class _Run:
    """A run that has rows to fetch."""

    target: Target
    task: Any
    request: Any
    call: Call | None
    own: ModelReference | None
    row: Any
    #: Whether no other row is named.
    is_alone: bool
    #: The policy of what is being fetched.
    policy: RowPolicy

    def run(self, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        locked = {each.using for policy, found in plan if policy.locks for each in found}
        if locked:
            return self._run_locked(plan, sorted(locked), args, kwargs)
        try:
            call = self._call(self._resolutions(plan, list(self._rows_of(plan))), args, kwargs)
        except Exception as error:
            return self._not_fetched(error)
        return call()

    def _run_locked(
        self, plan: Plan, locked: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the function in a transaction of each database in which rows are locked."""
        replaced = None
        waiting: list[Callable[[], Any]] = []
        try:
            with ExitStack() as stack:
                try:
                    fetched, opened = self._lock(plan, locked)
                    stack.enter_context(opened)
                    call = self._call(self._resolutions(plan, fetched), args, kwargs)
                except Exception as error:
                    raise _NotFetched(error) from error
                if not is_direct(self.request):
                    self.request.sends_later = waiting
                try:
                    result = call()
                except Replaced as error:  # the function has done its work, which stays
                    replaced = error
                finally:
                    if not is_direct(self.request):
                        self.request.sends_later = None
        except _NotFetched as failed:
            # After the transaction, which would take back what on_missing does.
            return self._not_fetched(failed.error)
        for send in waiting:  # at once, but in a batch that is one transaction
            transaction.on_commit(send, using=locked[0])
        if replaced is not None:
            raise replaced
        return result

    def _lock(
        self, plan: Plan, locked: Iterable[str]
    ) -> tuple[list[dict[Reference, Any]], ExitStack]:
        def attempt() -> tuple[list[dict[Reference, Any]], ExitStack]:
            with ExitStack() as opened:
                for using in locked:
                    opened.enter_context(transaction.atomic(using=using))
                return list(self._rows_of(plan)), opened.pop_all()

        if self.target.model is None:  # a method's database is checked when it is sent
            for policy, wanted in plan:
                for reference in wanted:
                    policy.check_dispatch(reference, self.target.name)
        for using in locked:
            attempt = functools.partial(reconnecting, using, attempt)
        return attempt()

    def _resolutions(
        self, plan: Plan, fetched: list[dict[Reference, Any]]
    ) -> dict[int | None, Resolution]:
        """Return what puts rows in the places of stand-ins, by the policy of an argument."""
        if len(fetched) == 1:
            return {None: Resolution(fetched[0], None if self.is_alone else self.call)}
        everything: dict[Reference, Any] = {}
        for found in reversed(fetched):
            everything.update(found)
        resolutions: dict[int | None, Resolution] = {
            id(policy): Resolution({**everything, **found}, self.call)
            for (policy, _), found in zip(plan, fetched, strict=True)
            if policy.fetches_self
        }
        resolutions[None] = Resolution(everything, self.call)
        return resolutions

    def _rows_of(self, plan: Plan) -> Iterator[dict[Reference, Any]]:
        """Give what each part of a plan fetches, by reference: a row is one object in all."""
        ahead: Mapping[Any, Any] = getattr(self.request, "rows_ahead", None) or {}
        if len(plan) == 1 and not ahead:  # as most messages have it
            ((self.policy, wanted),) = plan
            yield dict(zip(wanted, self.policy.fetch(wanted), strict=True))
            return
        known: dict[Any, Any] = dict(ahead)
        for policy, wanted in plan:
            self.policy = policy
            ready = {each: ahead[each] for each in wanted if each in ahead}
            gone: list[Any] = [each for each, row in ready.items() if row is None]
            if gone:
                raise missing_rows(gone, policy.manager)
            asked = [each for each in wanted if each not in ready]
            shared = {} if policy.fetches_self else known
            found = dict(zip(asked, policy.fetch(asked, shared), strict=True)) if asked else {}
            found.update(ready)
            for reference, row in found.items():
                if isinstance(reference, ModelReference):
                    known.setdefault(reference, row)
            yield found

    def _call(
        self,
        resolutions: dict[int | None, Resolution],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Callable[[], Any]:
        """Return the call of the function on its rows, and show them in the task's request."""
        everything = resolutions[None]
        row = self.row if self.own is None else everything.rows[self.own]
        on: Iterable[Any] = args
        named = kwargs
        if self.is_alone:
            pass
        elif len(resolutions) == 1:
            on = [everything(value) for value in args]
            named = {name: everything(value) for name, value in kwargs.items()}
        else:
            policies = policies_of(self.target, args, kwargs)
            on = [resolutions.get(id(next(policies)), everything)(value) for value in args]
            named = {
                name: resolutions.get(id(next(policies)), everything)(value)
                for name, value in kwargs.items()
            }
        if not is_direct(self.request):
            for request in with_copy(self.task, self.request):
                request.resolution = everything
                if not self.is_alone or request is not self.request:
                    show_in(request, everything)
                if self.own is not None:
                    _set_this(request, row)
        _begin(self.request)
        return lambda: call_function(self.target, self.task, self.request, row, on, named)

    def _not_fetched(self, error: Exception) -> Any:
        request, own = self.request, self.own
        if self.call is not None:
            self.call.error, self.call.has_failed = error, True
        if not is_direct(request):  # so that looking at them is no second failure
            show_in(request, without_stand_ins)
            if own is not None:
                _set_this(request, own)
        sent = functools.partial(sent_by, request)
        return not_fetched(self.task, request, self.policy, error, sent, self._note)

    def _note(self, error: Exception) -> None:
        _note(self.task, self.request, self.own, Discarded(error))


class _NotFetched(Exception):
    """Rows could not be fetched, in a transaction that is to end first."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _this(target: Target, kwargs: dict[str, Any]) -> Any:
    if THIS not in kwargs:
        raise InvalidModelTask(
            f"The task {target.name} was sent without the row that it is to run on. By its name it "
            "is sent with the instance as the keyword this, as in send_task(name, args, {'this': "
            "instance}). Celery's own map, starmap and chunks leave it out: use those of the "
            "method, as in instance.method.map(...).",
            target.name,
        )
    return kwargs.pop(THIS)


def _own(target: Target, this: Any) -> Any:
    """Return the reference of what came for ``self``, or of several rows."""
    model: Any = target.model
    try:
        reference = reference_for(model, this)
    except UnsupportedKey:
        # Whoever sent it chose what this is: no log is to quote it, nor what Django says of it.
        raise InvalidModelTask(
            f"The task {target.name} was sent with this={keys.described(this)}, which is neither a "
            f"primary key of {model._meta.label} nor a reference to a row of it.",
            target.name,
        ) from None
    if reference.label != model._meta.label and not issubclass(reference.model, model):
        raise _wrong_model(target, reference.label)
    return reference


def _checked(target: Target, row: models.Model) -> models.Model:
    if not isinstance(row, target.model or models.Model):
        raise _wrong_model(target, type(row).__qualname__)
    return row


def _wrong_model(target: Target, found: str) -> InvalidModelTask:
    label = target.model._meta.label if target.model else ""
    return InvalidModelTask(
        f"The task {target.name} was sent for {keys.shown(found)} and not for an instance of "
        f"{label}. Send it as instance.method.delay().",
        target.name,
    )


def _set_this(request: Any, row: Any) -> None:
    request.kwargs = shown(request.kwargs)
    if isinstance(request.kwargs, dict) and dict.__contains__(request.kwargs, THIS):
        dict.__setitem__(request.kwargs, THIS, row)


def _begin(request: Any) -> None:
    if request is not None:
        request.has_begun = True
        reset_fetch_retries(request)


def _note(task: Any, request: Any, own: Any, error: BaseException) -> None:
    """Record which row a bulk's message has failed for, before the failure is recorded."""
    if own is not None and is_of_bulk(request):
        outcomes.note(task, own, error)


def is_of_bulk(request: Any) -> bool:
    """Whether a message is one of a bulk's: not a row of a batch, which tells of its rows."""
    return request is not None and outcomes.is_bulk(request) and not hasattr(request, "rows_ahead")
