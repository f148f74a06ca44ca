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

from .arguments import THIS, Pending
from .outcomes import Outcome, note, row_id
from .policies import begin
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

    try:
        if policy.locks:
            found: dict[Any, Any] = {}
        else:
            found, (args, kwargs) = policy.fetch_rows(task, rows, shared)
    except Exception as error:
        note(task, rows, error)
        raise

    def call(reference: ModelReference) -> Any:
        if not policy.locks:
            if reference.pk not in found:
                policy.miss(task, reference)
            row = found[reference.pk]
            begin(task)
        elif isinstance(this, Pending):
            row = Pending(this.call, reference)
        else:
            row = reference
        return task.run(*args, **{**kwargs, THIS: row})

    if len(rows.pks) > 1:
        return _run_each(task, rows, call)
    try:
        return call(*rows.each())
    except Exception as error:
        note(task, rows, error)
        raise


def _run_each(
    task: Any, rows: QuerySetReference, call: Callable[[ModelReference], Any]
) -> dict[str, Any]:
    request = task.request
    args, kwargs = (
        part.plainly(references=True) if hasattr(part, "plainly") else part
        for part in (request.args, request.kwargs)
    )
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
