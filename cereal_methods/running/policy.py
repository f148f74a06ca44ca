"""How a task's rows are fetched: by which manager, with which related rows, locked or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ObjectDoesNotExist
from django.db import connections

from ..django_api.databases import product_of
from ..django_api.models import managers_of
from ..exceptions import InvalidModelTask
from ..rows.connections import with_reconnect
from ..rows.fetch import check_database, fetch_all
from ..rows.queries import rows_by_key
from . import locking

if TYPE_CHECKING:
    from ..rows.reference import ModelReference, Reference

_ON_MISSING: Final = ("raise", "discard", "retry")

#: What a task does when rows of its message are gone; see ``model_task``.
OnMissing = str | Callable[[ObjectDoesNotExist], Any]


@dataclass(frozen=True, slots=True)
class RowPolicy:
    """How a task fetches its row, and what it does if the row is gone."""

    on_missing: OnMissing = "raise"
    select_related: tuple[str, ...] | bool = False
    prefetch_related: tuple[Any, ...] = ()
    select_for_update: Mapping[str, Any] | None = None
    manager: str | None = None

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> RowPolicy:
        """Take the policy's options out of a task's options, which have been validated."""
        values = {key: options.pop(key) for key in cls.__slots__ if key in options}
        related = values.get("select_related", False)
        if not isinstance(related, bool):
            values["select_related"] = (related,) if isinstance(related, str) else tuple(related)
        prefetch = values.get("prefetch_related", ())
        values["prefetch_related"] = (prefetch,) if isinstance(prefetch, str) else tuple(prefetch)
        lock = values.get("select_for_update")
        values["select_for_update"] = {} if lock is True else None if lock is False else lock
        return cls(**values)

    @property
    def fetches_self(self) -> bool:
        """Whether ``self`` needs a query of its own, apart from the other rows of a message."""
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
        """Whether the rows of a batch are locked all at once, and not one by one."""
        return bool(self.select_for_update and self.select_for_update.get("batch"))

    def missing_lock_feature(self, connection: Any) -> str | None:
        """Return the feature for locking rows that a database does not have, or None."""
        if self.select_for_update is None:
            return None
        return locking.missing_feature(self.select_for_update, connection)

    def check_dispatch(self, reference: Reference, name: str) -> None:
        """Raise ``InvalidModelTask`` if the row's database cannot lock rows as the task asks."""
        if self.select_for_update is None:
            return
        connection = connections[reference.using]
        feature = self.missing_lock_feature(connection)
        if feature:
            raise InvalidModelTask(
                f"{name} cannot be sent for {reference!r}: its database {reference.using!r} "
                f"({product_of(connection)}) has no {feature}. Use another database, or take the "
                "option away.",
                name,
            )

    @property
    def of_others(self) -> RowPolicy:
        """The policy of the rows among a method's arguments: only ``on_missing`` is for them."""
        return _PLAIN[self.on_missing] if self.on_missing in _PLAIN else RowPolicy(self.on_missing)

    def fetch(
        self, references: Sequence[Reference], known: Mapping[ModelReference, Any] | None = None
    ) -> list[Any]:
        """Return the rows that references name, in their order; see ``fetch_all``.

        To lock rows, call it inside ``atomic``. Raises ``RowLocked`` for a row that another
        transaction has locked, if the task does not wait for it.
        """
        if not self.fetches_self:
            return fetch_all(references, known)
        return fetch_all(references, known, self._query, self.manager)

    def _query(self, model: Any, using: str, keys: list[Any]) -> dict[Any, Any]:
        check_database(model, using)
        queryset = self._queryset(model, using)
        if self.select_for_update is None:
            return with_reconnect(using, lambda: rows_by_key(queryset, keys))
        return locking.rows_by_key(
            self.select_for_update, queryset, using, keys, is_joined=bool(self.select_related)
        )

    def _queryset(self, model: Any, using: str) -> Any:
        manager = model._base_manager
        if self.manager is not None:
            managers = managers_of(model)
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


DEFAULT: Final = RowPolicy()

_PLAIN: Final[Mapping[Any, RowPolicy]] = {
    on_missing: RowPolicy(on_missing) for on_missing in _ON_MISSING
}
