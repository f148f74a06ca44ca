"""Messages that carry rows and not one row: their methods, run one after the other.

Each row has a request of its own while its method runs, with an id of its own:
what it raises, or how it retries, is a matter of that row and of no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.app.trace import TraceInfo
from celery.exceptions import Ignore, Retry, SoftTimeLimitExceeded
from celery.states import FAILURE, RETRY
from django.db import transaction

from .arguments import THIS, Pending
from .outcomes import Outcome, note, row_id
from .policies import before_discard, begin, plainly
from .references import ModelReference, QuerySetReference

if TYPE_CHECKING:
    from .policies import RowPolicy


def run_rows(
    task: Any,
    policy: RowPolicy,
    rows: QuerySetReference,
    this: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    settle: Callable[..., Any],
) -> Any:
    """Run a method for rows: for one as if it had been sent for it, for several each by itself.

    ``this`` is what came for ``self``; ``settle`` fetches the rows among other arguments
    that did not come with it. Returns what the method returns for one row, and for
    several their ``Outcome`` as a result. The rows are fetched with one query, unless
    each is to be locked.
    """
    if args and args[0] is task:  # with bind; task.run passes it by itself
        args = args[1:]

    def shared() -> Any:
        return this.call.others() if isinstance(this, Pending) else settle(args, kwargs)

    def call_locking(reference: ModelReference) -> Any:
        row = Pending(this.call, reference) if isinstance(this, Pending) else reference
        return task.run(*args, **{**kwargs, THIS: row})

    def caller(fetched: Any) -> Callable[[ModelReference], Any]:
        found, (more, named) = fetched

        def call(reference: ModelReference) -> Any:
            if reference.pk not in found:
                policy.miss(task, reference)
            begin(task)
            return task.run(*more, **{**named, THIS: found[reference.pk]})

        return call

    is_batch = len(rows.pks) > 1
    own_id = task.request.id

    def tell(discarded: Any, error: Exception) -> None:
        # And not of a task that the method calls inline, nor of one row of a batch.
        if discarded is task and task.request.id == own_id:
            note(task, rows, error)

    telling = before_discard.set(tell)
    try:
        if is_batch and policy.locks_batches:
            with policy.locked_rows(task, rows, shared) as fetched:
                return _run_each(task, rows, _in_savepoints(caller(fetched), rows.using))
        call = call_locking if policy.locks else caller(policy.fetch_rows(task, rows, shared))
        return _run_each(task, rows, call) if is_batch else call(*rows.each())
    except Exception as error:
        if not (isinstance(error, Ignore) and error.__cause__):  # was noted before it was recorded
            note(task, rows, error)
        raise
    finally:
        before_discard.reset(telling)


def _in_savepoints(
    call: Callable[[ModelReference], Any], using: str
) -> Callable[[ModelReference], Any]:
    """Let a row that fails take back what it did, and nothing of the other rows."""

    def call_in_savepoint(reference: ModelReference) -> Any:
        with transaction.atomic(using=using):
            try:
                return call(reference)
            except Ignore as error:  # task.replace() raises it, when its work is done
                ignored = error
        raise ignored

    return call_in_savepoint


def _run_each(
    task: Any, rows: QuerySetReference, call: Callable[[ModelReference], Any]
) -> dict[str, Any]:
    request = task.request
    args, kwargs = plainly(request.args, request.kwargs)
    outcome = Outcome(len(rows.pks))
    stopped = False
    for position, reference in enumerate(rows.each()):
        alone = QuerySetReference(rows.label, (reference.pk,), rows.using)
        task.push_request(
            **{
                **vars(request),
                "id": row_id(request.id, position),
                "parent_id": request.id,
                "args": args,
                "kwargs": {**kwargs, THIS: alone.as_plain()},
                "argsrepr": (request.argsrepr or "").replace(repr(rows), repr(reference)),
                "kwargsrepr": (request.kwargsrepr or "").replace(repr(rows), repr(reference)),
                "headers": dict(request.headers or {}),
                "callbacks": None,
                "errbacks": None,
                "chain": None,
                "chord": None,
                "group": None,
                "_children": None,
            }
        )
        result = None
        try:
            if stopped:
                task.signature_from_request(task.request).apply_async()
                outcome.retried.append(position)
            else:
                result = call(reference)
        except Retry as error:
            outcome.retried.append(position)
            TraceInfo(RETRY, error).handle_error_state(task, task.request)
        except Ignore as error:
            outcome.add(reference, error.__cause__ or error)
        except Exception as error:
            # A time limit is the batch's: the row that it struck fails, the others go on alone.
            stopped = isinstance(error, SoftTimeLimitExceeded)
            outcome.add(reference, error)
            TraceInfo(FAILURE, error).handle_error_state(task, task.request)
        finally:
            task.pop_request()
            outcome.results.append(result)
    return outcome.as_result()
