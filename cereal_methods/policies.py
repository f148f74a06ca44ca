"""What happens to a task whose rows are gone, locked or cannot be asked for.

None of it happens in the task's method, which has not begun: a fetch that could
not be made is made again, by a message of its own, and does not count as a
retry of the task's.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from celery import states
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.quorum_queues import detect_quorum_queues
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connections, transaction

from . import conf, display
from .connections import UNAVAILABLE, reconnecting
from .exceptions import InvalidModelTask
from .hydration import check_database, fetch_all, fetching, missing_rows, rows_of

if TYPE_CHECKING:
    from .references import ModelReference, QuerySetReference, Reference

logger = logging.getLogger("cereal_methods")

#: What is called with the task and the error before a task is recorded as discarded, if
#: anything: who reads the record finds what was noted about it.
before_discard: Final[ContextVar[Callable[[Any, Exception], Any] | None]] = ContextVar(
    "before_discard", default=None
)

#: The state of a task that was discarded, because its row was gone or locked.
IGNORED: Final = states.IGNORED

#: The message header that counts how often a fetch was put off.
_TRIES: Final = "cereal_fetch_tries"

_ON_MISSING: Final = ("raise", "discard", "retry")
_LOCK_OPTIONS: Final = frozenset({"nowait", "skip_locked", "of", "no_key", "batch"})

#: What a task does when rows of its message are gone; see ``model_task``.
OnMissing = str | Callable[[ObjectDoesNotExist], Any]


@dataclass(frozen=True, slots=True)
class RowPolicy:
    """How a task fetches its row, and what it does when it cannot."""

    on_missing: OnMissing = "raise"
    select_related: tuple[str, ...] | bool = False
    prefetch_related: tuple[Any, ...] = ()
    select_for_update: Mapping[str, Any] | None = None
    manager: str | None = None

    @classmethod
    def from_options(cls, name: str, options: dict[str, Any]) -> RowPolicy:
        """Take the policy's options out of those of a task.

        Raises ``InvalidModelTask`` for an option that has no such value; ``name`` says
        whose it is.
        """
        given = {key: options.pop(key) for key in cls.__slots__ if key in options}
        on_missing = given.get("on_missing", "raise")
        if on_missing not in _ON_MISSING and not callable(on_missing):
            raise InvalidModelTask(
                f"{name}: on_missing is {on_missing!r}. It must be 'raise', "
                "'discard', 'retry', or a function that takes the DoesNotExist.",
                name,
            )
        related = given.get("select_related", False)
        if not isinstance(related, bool):
            given["select_related"] = (related,) if isinstance(related, str) else tuple(related)
        prefetch = given.get("prefetch_related", ())
        given["prefetch_related"] = (prefetch,) if isinstance(prefetch, str) else tuple(prefetch)
        lock = given.get("select_for_update")
        if lock is True:
            lock = {}
        elif lock is False:
            lock = None
        if lock is not None and not (isinstance(lock, Mapping) and lock.keys() <= _LOCK_OPTIONS):
            raise InvalidModelTask(
                f"{name}: select_for_update is {lock!r}. It must be True or a "
                f"dict of its options: {', '.join(sorted(_LOCK_OPTIONS))}.",
                name,
            )
        if lock and lock.get("batch") and (lock.get("nowait") or lock.get("skip_locked")):
            raise InvalidModelTask(
                f"{name}: select_for_update has 'batch', which waits for the locks of all rows, "
                "and 'nowait' or 'skip_locked'. Leave out one of them.",
                name,
            )
        given["select_for_update"] = lock
        return cls(**given)

    @property
    def fetches_self(self) -> bool:
        """Whether ``self`` is fetched by itself, in another way than other rows."""
        return bool(
            self.select_related
            or self.prefetch_related
            or self.manager
            or self.select_for_update is not None
        )

    @property
    def locks(self) -> bool:
        """Whether rows are locked."""
        return self.select_for_update is not None

    @property
    def locks_batches(self) -> bool:
        """Whether the rows of a batch are locked together, and not each by itself."""
        return bool(self.select_for_update and self.select_for_update.get("batch"))

    def lacks(self, connection: Any) -> str | None:
        """Return what a database lacks for locking rows as the task asks, if anything."""
        if self.select_for_update is None:
            return None
        if not connection.features.has_select_for_update:
            return "select_for_update"
        for option in ("nowait", "skip_locked", "of"):
            if self.select_for_update.get(option) and not getattr(
                connection.features, f"has_select_for_update_{option}"
            ):
                return f"select_for_update with {option}"
        return None

    def check_dispatch(self, reference: Reference, name: str) -> None:
        """Raise ``InvalidModelTask`` if the row's database cannot lock as the task asks."""
        if self.select_for_update is None:
            return
        lacks = self.lacks(connections[reference.using])
        if lacks:
            vendor = connections[reference.using].display_name
            raise InvalidModelTask(
                f"{name} cannot be sent for {reference!r}: its database {reference.using!r} "
                f"({vendor}) has no {lacks}. Use another database, or take the option away.",
                name,
            )

    def fetched(
        self,
        task: Any,
        reference: ModelReference,
        settle: Callable[[Any], Any],
        fail: Callable[[Exception], Any] = lambda error: None,
    ) -> AbstractContextManager[Any]:
        """Give the row of ``self``, and what ``settle`` returns for it: the other arguments.

        The row comes first, in a transaction of its own and locked if it is to be: what
        is fetched before a lock is old when the lock is there. ``fail`` is told why
        something could not be fetched.
        """

        def fetch() -> Any:
            row = self._fetch(reference)
            found = row, settle(row)
            begin(task)
            return found

        return self._fetching(task, reference.using, fetch, fail)

    def fetch_rows(
        self, task: Any, rows: QuerySetReference, others: Callable[[], Any]
    ) -> tuple[dict[Any, Any], Any]:
        """Return the rows of a batch that are there, by their keys, and what ``others`` returns.

        The rows are fetched with one query.
        """
        with _put_off(task, self):
            queryset = self._queryset(rows)
            found = reconnecting(rows.using, lambda: rows_of(queryset.all(), rows.pks))
            return found, others()

    def locked_rows(
        self, task: Any, rows: QuerySetReference, others: Callable[[], Any]
    ) -> AbstractContextManager[Any]:
        """Give what ``fetch_rows`` returns, in a transaction in which all rows are locked."""

        def fetch() -> Any:
            queryset = self._locking(self._queryset(rows), rows.model, rows.using)
            # In one order, or two batches with rows in common wait for each other.
            return rows_of(queryset.order_by("pk"), rows.pks), others()

        return self._fetching(task, rows.using, fetch)

    @contextmanager
    def _fetching(
        self,
        task: Any,
        using: str,
        fetch: Callable[[], Any],
        fail: Callable[[Exception], Any] = lambda error: None,
    ) -> Iterator[Any]:
        """Give what ``fetch`` returns, in a transaction if something is to be locked."""

        def fetch_locking() -> tuple[Any, ExitStack]:
            with ExitStack() as opened:
                opened.enter_context(transaction.atomic(using=using))
                return reconnecting(using, fetch), opened.pop_all()

        ignored: Ignore | None = None
        try:
            with ExitStack() as stack:
                try:
                    if self.locks:
                        found, opened = reconnecting(using, fetch_locking)
                        stack.enter_context(opened)
                    else:
                        found = reconnecting(using, fetch)
                except Exception as error:
                    raise _NotFetched(error) from error
                try:
                    yield found
                except Ignore as error:
                    # task.replace() raises it: the method has done its work, which stays.
                    ignored = error
        except _NotFetched as failed:
            # After the transaction, which would take back what on_missing does.
            fail(failed.error)
            with _put_off(task, self):
                raise failed.error from failed.error.__cause__
        if ignored is not None:
            raise ignored

    def miss(self, task: Any, reference: ModelReference) -> NoReturn:
        """Raise what ends or puts off the task for a row that is gone."""
        with _put_off(task, self):
            raise missing_rows([reference], manager=self.manager)
        raise AssertionError  # pragma: no cover

    def _queryset(self, reference: Reference) -> Any:
        model: Any = reference.model
        check_database(model, reference.using)
        manager = getattr(model, self.manager) if self.manager else model._base_manager
        queryset = manager.using(reference.using)
        if self.select_related:
            names: Any = () if self.select_related is True else self.select_related
            queryset = queryset.select_related(*names)
        if self.prefetch_related:
            queryset = queryset.prefetch_related(*self.prefetch_related)
        return queryset

    def _locking(self, queryset: Any, model: Any, using: str) -> Any:
        if self.select_for_update is None:
            return queryset
        options = {key: value for key, value in self.select_for_update.items() if key != "batch"}
        if self.select_related and connections[using].features.has_select_for_update_of:
            # The row alone: related ones may be null, and such a join cannot be locked.
            options = {"of": ("self", *_parent_links(model)), **options}
        return queryset.select_for_update(**options)

    def _fetch(self, reference: ModelReference) -> Any:
        model: Any = reference.model
        queryset = self._locking(self._queryset(reference), model, reference.using)
        lock = self.select_for_update
        try:
            with fetching(reference.using):
                for row in queryset.filter(pk=reference.pk):
                    return row
        except DatabaseError as error:
            if lock and lock.get("nowait") and _says_locked(error):
                raise RowLocked(reference) from error
            raise
        if (
            lock
            and lock.get("skip_locked")
            and model._base_manager.using(reference.using).filter(pk=reference.pk).exists()
        ):
            raise RowLocked(reference)
        raise missing_rows([reference], manager=self.manager)


def _parent_links(model: Any) -> Iterator[str]:
    """Give the paths to the rows that a row has in its model's parents' tables."""
    for link in model._meta.parents.values():
        if link is not None:
            yield link.name
            for further in _parent_links(link.related_model):
                yield f"{link.name}__{further}"


DEFAULT: Final = RowPolicy()


class RowLocked(Exception):
    """A row is locked by another transaction, and the task is not to wait for it."""

    def __init__(self, reference: ModelReference) -> None:
        super().__init__(f"{reference!r} is locked by another transaction.")
        self.reference = reference


class _NotFetched(Exception):
    """A row could not be fetched, in a transaction that is to end first."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def policy_of(task: Any) -> RowPolicy:
    """Return the policy of a Celery task; any task has at least the default."""
    policy: RowPolicy = getattr(task, "row_policy", DEFAULT)
    return policy


def fetch_for(task: Any, references: Sequence[Reference]) -> list[Any]:
    """Return what the references of a task's message name, by the task's policy.

    ``task`` is the Celery task that runs, or None. Raises what ends or puts off
    the task where rows are gone or their database is unavailable.
    """
    try:
        return fetch_all(references)
    except Exception:
        with _put_off(task, policy_of(task)):
            raise


def begin(task: Any) -> None:
    """Note that all rows of the running task are there: its next fetches count anew."""
    headers = task.request.headers if task else None
    if headers:
        headers.pop(_TRIES, None)


@contextmanager
def _put_off(task: Any, policy: RowPolicy) -> Iterator[None]:
    """Turn the failure of a fetch into what the task's policy makes of it."""
    try:
        yield
    except ObjectDoesNotExist as error:
        if policy.on_missing == "raise" or _runs_inline(task):
            raise
        if policy.on_missing == "retry":
            _retry(task, error)
        if callable(policy.on_missing):
            policy.on_missing(error)
        _discard(task, error)
    except RowLocked as error:
        lock = policy.select_for_update or {}
        if lock.get("skip_locked") and not _runs_inline(task):
            _discard(task, error)
        _retry(task, error)
    except UNAVAILABLE as error:
        _retry(task, error)


def put_off(task: Any) -> AbstractContextManager[None]:
    """Send a running task's message again, later, where a database is away in this context."""
    return _put_off(task, DEFAULT)


def _runs_inline(task: Any) -> bool:
    """Whether nothing but an exception can tell the caller: no message has brought the task."""
    return not task or bool(task.request.called_directly)


def _discard(task: Any, error: Exception) -> NoReturn:
    request = task.request
    logger.warning(
        "Task %s[%s] is discarded: %s",
        task.name,
        request.id,
        error,
        extra=display.fields(task, _row_of(error)),
    )
    if tell := before_discard.get():
        tell(task, error)
    if not request.is_eager:
        if request.chord:  # whose body would wait for it
            task.backend.mark_as_done(request.id, None, request=request)
        elif not request.ignore_result:
            task.backend.store_result(request.id, None, IGNORED, request=request)
        _end_chain(task.backend, request.chain)
    raise Ignore(str(error)) from error


def _row_of(error: Exception) -> ModelReference | None:
    """Return the row that an error is about, if it says so."""
    if isinstance(error, RowLocked):
        return error.reference
    missing: list[ModelReference] = getattr(error, "references", [])
    return missing[0] if missing else None


def _end_chain(backend: Any, chain: Any) -> None:
    """Count a discarded task's chain as done where a chord waits for the end of it."""
    # As Backend.mark_as_failure does for tasks that fail.
    elements = list(chain or ())
    for element in elements:
        context: Any = Context(element)
        context.update(context.options)
        context.id, context.group = context.options.get("task_id"), context.options.get("group_id")
        if "chord" in context.options:
            backend.mark_as_done(context.id, None, request=context)
        kind, parts = getattr(context, "subtask_type", None), context.kwargs or {}
        if kind == "chord" and parts.get("body") is not None:
            elements.append(parts["body"])
        elif kind == "group":
            elements.extend(parts.get("tasks") or ())


def _retry(task: Any, error: Exception) -> NoReturn:
    """Send the message once more, to run later; raise ``error`` when it was often enough."""
    if _runs_inline(task) or task.request.is_eager:
        raise error
    request = task.request
    tries = (request.headers or {}).get(_TRIES, 0)
    if tries >= conf.get("FETCH_MAX_RETRIES"):
        raise error
    longest = conf.get("FETCH_RETRY_BACKOFF_MAX")
    countdown = min(conf.get("FETCH_RETRY_BACKOFF") * 2**tries, longest)
    countdown *= random.uniform(1.0, 1.25)  # noqa: S311  (tasks that failed together part)
    if detect_quorum_queues(task.app, "amqp")[0]:
        countdown = max(countdown, 1)  # they count whole seconds, and refuse none
    args, kwargs = plainly(request.args, request.kwargs)
    # The serializer of the message that came: the task's own may not carry its references.
    carrier = getattr(request.args, "serializer", None)
    is_alias = task.serializer == "django_cereal_pickle"
    options = {"serializer": carrier} if carrier and not is_alias else {}
    signature = task.signature_from_request(
        request,
        args,
        kwargs,
        countdown=countdown,
        retries=request.retries,
        headers={**(request.headers or {}), _TRIES: tries + 1},
        **_texts(request),
        **options,
    )
    logger.warning(
        "Task %s[%s] fetches its rows again in %.1fs: %s: %s",
        task.name,
        request.id,
        countdown,
        type(error).__name__,
        error,
        extra=display.fields(task, _row_of(error)),
    )
    try:
        signature.apply_async()
    except Exception as failure:  # the broker is away too
        if task.acks_late:
            raise Reject(str(error), requeue=True) from failure
        raise error from failure
    raise Retry(str(error), error, countdown) from error


def plainly(*parts: Any) -> tuple[Any, ...]:
    """Return parts of a message's body with references in place, if they came in a message."""
    return tuple(
        part.plainly(references=True) if hasattr(part, "plainly") else part for part in parts
    )


def _texts(request: Any) -> dict[str, str]:
    """Return the texts of a message's arguments, which its caller may have chosen."""
    texts = {name: getattr(request, name, None) for name in ("argsrepr", "kwargsrepr")}
    return {name: text for name, text in texts.items() if text}


def _says_locked(error: DatabaseError) -> bool:
    cause: Any = error.__cause__
    # PostgreSQL: lock_not_available. MySQL: ER_LOCK_NOWAIT; MariaDB: ER_LOCK_WAIT_TIMEOUT.
    return getattr(cause, "sqlstate", None) == "55P03" or bool(
        getattr(cause, "args", None) and cause.args[0] in (3572, 1205)
    )
