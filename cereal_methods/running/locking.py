"""Locked rows: the queries that lock them, and the error for a row that cannot be locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import DatabaseError, connections

from ..django_api.databases import has_feature
from ..django_api.models import parent_links
from ..exceptions import RowLocked
from ..rows import queries
from ..rows.connections import error_code, with_reconnect
from ..rows.key_text import key_text

#: PostgreSQL: lock_not_available. MySQL: ER_LOCK_NOWAIT. MariaDB: ER_LOCK_WAIT_TIMEOUT.
_LOCK_NOT_AVAILABLE: Final = ("55P03", 3572, 1205)


def missing_feature(options: Mapping[str, Any], connection: Any) -> str | None:
    """Return what a database would need to lock rows, and does not have, or None."""
    if not has_feature(connection, "select_for_update"):
        return "select_for_update"
    for option in ("nowait", "skip_locked", "of"):
        if options.get(option) and not has_feature(connection, f"select_for_update_{option}"):
            return f"select_for_update with {option}"
    return None


def rows_by_key(
    options: Mapping[str, Any], queryset: Any, using: str, keys: list[Any], *, is_joined: bool
) -> dict[Any, Any]:
    """Lock rows, and return them by key. Rows that are gone are left out.

    ``is_joined`` says whether the query selects related rows. Raises ``RowLocked`` for a row
    that is locked, with ``nowait`` or ``skip_locked``.
    """
    model = queryset.model
    locked = queryset.select_for_update(**_django_options(options, model, using, is_joined))
    if len(keys) > 1:
        # All tasks lock rows in the same order, or two of them could wait for each other.
        locked = locked.order_by("pk")
    try:
        # A connection that is lost here takes the transaction along: both are opened anew.
        rows = with_reconnect(using, lambda: queries.rows_by_key(locked, keys))
    except DatabaseError as error:
        if options.get("nowait") and is_lock_error(error):
            raise rows_locked(model._meta.label, keys, using) from error
        raise
    if options.get("skip_locked") and len(rows) < len(keys):
        skipped = [key for key in keys if key not in rows]
        existing = list(queryset.filter(pk__in=skipped).values_list("pk"))
        if existing:
            raise rows_locked(model._meta.label, [key for (key,) in existing], using)
    return rows


def _django_options(
    options: Mapping[str, Any], model: Any, using: str, is_joined: bool
) -> dict[str, Any]:
    """Return the arguments of a queryset's ``select_for_update``."""
    arguments = {option: value for option, value in options.items() if option != "batch"}
    if is_joined and has_feature(connections[using], "select_for_update_of"):
        # Only the row itself: related rows may be null, and the database cannot lock such joins.
        arguments = {"of": ("self", *parent_links(model)), **arguments}
    return arguments


def rows_locked(label: str, keys: Sequence[Any], using: str) -> RowLocked:
    """Return the error that names rows which are locked."""
    names = ", ".join(f"<{label} {key_text(key)}>" for key in keys[:5])
    verb = "is" if len(keys) == 1 else "are"
    error = RowLocked(f"{names} {verb} locked by another transaction.", label)
    error.keys, error.using = list(keys), using
    return error


def is_lock_error(error: DatabaseError) -> bool:
    """Whether a database raised an error because a row is locked."""
    return error_code(error) in _LOCK_NOT_AVAILABLE
