"""How a task's rows are fetched: through which manager, with what beside them, locked or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connections

from .connections import code_of, reconnecting
from .exceptions import InvalidModelTask
from .hydration import check_database, fetch_all, rows_of
from .keys import shown

if TYPE_CHECKING:
    from .references import ModelReference, Reference

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

    @property
    def of_others(self) -> RowPolicy:
        """The policy of a method's other rows, which are fetched in no way of their own."""
        return _PLAIN[self.on_missing] if self.on_missing in _PLAIN else RowPolicy(self.on_missing)

    def fetch(
        self, references: Sequence[Reference], known: Mapping[ModelReference, Any] | None = None
    ) -> list[Any]:
        """Return what the references name, in their order; see ``fetch_all``.

        Where rows are to be locked it must be called inside ``atomic``. Raises
        ``RowLocked`` for a row that is locked by another transaction and not waited for.
        """
        if not self.fetches_self:
            return fetch_all(references, known)
        return fetch_all(references, known, self._query, self.manager)

    def _query(self, model: Any, using: str, keys: list[Any]) -> dict[Any, Any]:
        check_database(model, using)
        if self.select_for_update is None:
            return reconnecting(using, lambda: rows_of(self._queryset(model, using), keys))
        lock = self.select_for_update
        queryset = self._locked(self._queryset(model, using), model, using)
        if len(keys) > 1:
            # In one order, or two tasks with rows in common wait for each other.
            queryset = queryset.order_by("pk")
        try:
            # A connection that dies here takes the transaction along, and both are opened anew.
            found = reconnecting(using, lambda: rows_of(queryset, keys))
        except DatabaseError as error:
            if lock.get("nowait") and _says_locked(error):
                raise rows_locked(model._meta.label, keys, using) from error
            raise
        if lock.get("skip_locked") and len(found) < len(keys):
            absent = [key for key in keys if key not in found]
            locked = list(self._queryset(model, using).filter(pk__in=absent).values_list("pk"))
            if locked:
                raise rows_locked(model._meta.label, [key for (key,) in locked], using)
        return found

    def _queryset(self, model: Any, using: str) -> Any:
        manager = model._base_manager
        if self.manager is not None:
            managers = {each.name: each for each in model._meta.managers}
            if self.manager not in managers:
                raise InvalidModelTask(
                    f"Rows of {model._meta.label} are to be fetched by the manager "
                    f"{self.manager!r}, which it does not have. It has "
                    f"{', '.join(sorted(managers))}. With rows= of @task each parameter has "
                    "options of its own.",
                    self.manager,
                )
            manager = managers[self.manager]
        queryset = manager.using(using)
        if self.select_related:
            names: Any = () if self.select_related is True else self.select_related
            queryset = queryset.select_related(*names)
        if self.prefetch_related:
            queryset = queryset.prefetch_related(*self.prefetch_related)
        return queryset

    def _locked(self, queryset: Any, model: Any, using: str) -> Any:
        lock = self.select_for_update or {}
        options = {key: value for key, value in lock.items() if key != "batch"}
        if self.select_related and connections[using].features.has_select_for_update_of:
            # The row alone: related ones may be null, and such a join cannot be locked.
            options = {"of": ("self", *_parent_links(model)), **options}
        return queryset.select_for_update(**options)


def _parent_links(model: Any) -> Iterator[str]:
    """Give the paths to the rows that a row has in its model's parents' tables."""
    for link in model._meta.parents.values():
        if link is not None:
            yield link.name
            for further in _parent_links(link.related_model):
                yield f"{link.name}__{further}"


DEFAULT: Final = RowPolicy()

_PLAIN: Final[Mapping[Any, RowPolicy]] = {each: RowPolicy(each) for each in _ON_MISSING}


class RowLocked(Exception):
    """Rows are locked by another transaction, and the task is not to wait for them.

    ``label``, ``keys`` and ``using`` say which; an error that was read from a result backend
    has its message alone.
    """

    label: str
    keys: Sequence[Any]
    using: str


def rows_locked(label: str, keys: Sequence[Any], using: str) -> RowLocked:
    """Return the error that names rows which are locked."""
    named = ", ".join(f"<{label} {shown(key)}>" for key in keys[:5])
    verb = "is" if len(keys) == 1 else "are"
    error = RowLocked(f"{named} {verb} locked by another transaction.")
    error.label, error.keys, error.using = label, list(keys), using
    return error


def policy_of(task: Any) -> RowPolicy:
    """Return the policy of a Celery task; any task has at least the default."""
    policy: RowPolicy = getattr(task, "row_policy", DEFAULT)
    return policy


def _says_locked(error: DatabaseError) -> bool:
    # PostgreSQL: lock_not_available. MySQL: ER_LOCK_NOWAIT; MariaDB: ER_LOCK_WAIT_TIMEOUT.
    return code_of(error) in ("55P03", 3572, 1205)
