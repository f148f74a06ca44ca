"""The rows that a command's options name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from django.core.exceptions import EmptyResultSet, FieldError, ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, NotSupportedError, connections, models
from django.db.models import Q

from ..exceptions import CerealError
from ..keys import clean_key
from ..references import ModelReference, written_to

#: Lookups that take several values, and would take a string for its letters.
_TAKE_LISTS = ("__in", "__range")


class Selection:
    """Rows of a model: by filters, by keys, or all. It queries when it is asked.

    Raises ``CommandError`` where the options do not name rows, or not of the model.
    """

    def __init__(self, model: type[models.Model], options: Mapping[str, Any]) -> None:
        self.model = model
        self._keys: list[Any] | None = None
        self._queryset: models.QuerySet[Any] = model._default_manager.using(options["database"])
        keys, filters = options["pks"], (*options["filters"], *options["excludes"])
        given = [name for name, value in _kinds(keys, filters, options["all_rows"]) if value]
        if not given:
            raise CommandError(
                f"Say which rows of {model._meta.label}: with --filter, --exclude or --pk, or "
                "with --all for every row."
            )
        if len(given) > 1:
            raise CommandError(f"{' and '.join(given)} exclude each other. Use one of them.")
        if keys:
            self._keys = list(dict.fromkeys(self._key(key) for key in keys))
        elif filters:
            self._queryset = self._filtered(options["filters"], options["excludes"])

    @property
    def rows(self) -> Any:
        """What ``bulk_apply_async`` takes: a queryset, or references where keys are given.

        Keys that are given are sent as they are: that a row is missing is for the
        result to tell.
        """
        if self._keys is None:
            return self._queryset
        using = written_to(self.model, self._queryset.db)
        return [ModelReference(self.model._meta.label, key, using) for key in self._keys]

    def count(self) -> int:
        """Return how many rows there are. Raises ``CommandError`` if the database refuses."""
        if self._keys is not None:
            return len(self._keys)
        try:
            # A filter that joins may give a row twice; it is sent once.
            return self._queryset.order_by().values("pk").distinct().count()
        except DatabaseError as error:
            self._refuse(error)

    def first(self, many: int) -> list[Any]:
        """Return the first keys."""
        if self._keys is not None:
            return self._keys[:many]
        try:
            return list(
                self._queryset.order_by("pk").values_list("pk", flat=True).distinct()[:many]
            )
        except DatabaseError as error:
            self._refuse(error)

    def _refuse(self, error: DatabaseError) -> NoReturn:
        raise CommandError(
            f"The rows of {self.model._meta.label} could not be read from the database "
            f"{self._queryset.db!r}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error

    def _key(self, text: Any) -> Any:
        key = _value(text) if isinstance(self.model._meta.pk, models.CompositePrimaryKey) else text
        try:
            return clean_key(self.model._meta.pk, tuple(key) if isinstance(key, list) else key)
        except (CerealError, TypeError, ValueError, ValidationError) as error:
            raise CommandError(
                f"--pk {text}: that is no primary key of {self.model._meta.label}: {_text(error)}"
            ) from error

    def _filtered(self, filters: Sequence[str], excludes: Sequence[str]) -> models.QuerySet[Any]:
        wanted = Q()
        for given in filters:
            condition = self._condition("--filter", given)
            wanted &= condition
        # All in one call: of a row's related rows, one must meet them all.
        queryset = self._queryset.filter(wanted)
        for given in excludes:
            queryset = queryset.exclude(self._condition("--exclude", given))
        return queryset

    def _condition(self, option: str, given: str) -> Q:
        name, equals, text = given.partition("=")
        if not (name and equals):
            raise CommandError(f"{option} {given}: write it as field=value or field__lookup=value.")
        value = _value(text)
        if name.endswith(_TAKE_LISTS) and not isinstance(value, list):
            raise CommandError(
                f"{option} {given}: {name} takes a list in JSON, as in {name}='[1, 2]' or "
                f'{name}=\'["a", "b"]\'.'
            )
        # A pair, since Q has keyword arguments of its own.
        condition = Q((name, value))
        try:
            # Some mistakes show when the query is made, and others in its SQL.
            query: Any = self._queryset.filter(condition).query
            query.get_compiler(self._queryset.db).as_sql()
        except EmptyResultSet:
            pass  # as for pk__in=[]: there are no such rows
        except (FieldError, TypeError, ValueError, ValidationError, NotSupportedError) as error:
            raise CommandError(f"{option} {given}: {_text(error)}") from error
        return condition


def add_arguments(parser: CommandParser) -> None:
    """Add the options that name rows."""
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        dest="filters",
        metavar="FIELD=VALUE",
        help="Rows that match, as in status=paid, total__gte=5, pk__in=[1,2]; repeated: that match "
        "all. A value that is JSON is taken as such; quoted ('\"5\"') it is a string.",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        dest="excludes",
        metavar="FIELD=VALUE",
        help="Not the rows that match; repeated: that match any.",
    )
    parser.add_argument(
        "--pk",
        action="append",
        default=[],
        dest="pks",
        metavar="KEY",
        help="The row with this primary key; may be repeated. A composite key is a JSON list.",
    )
    parser.add_argument("--all", action="store_true", dest="all_rows", help="Every row.")
    parser.add_argument(
        "--database",
        choices=tuple(connections),
        metavar="ALIAS",
        help="The database to read the rows from. By default the one that routers choose.",
    )


def json_of(option: str, given: Any, kind: type) -> Any:
    """Return the value of an option in JSON, which must be a list or an object.

    Values of that kind, which ``call_command`` may bring, are taken as they are.
    Raises ``CommandError`` for anything else.
    """
    value = given
    if isinstance(given, str):
        try:
            value = json.loads(given)
        except ValueError as error:
            raise CommandError(f"{option} {given}: that is no JSON: {error}.") from error
    if not isinstance(value, kind):
        expected = "a list, as in '[\"dhl\"]'" if kind is list else "an object, as in '{\"a\": 1}'"
        raise CommandError(f"{option} {given}: it must be {expected}.")
    return value


def _kinds(keys: Any, filters: Any, all_rows: bool) -> tuple[tuple[str, Any], ...]:
    return ("--filter or --exclude", filters), ("--pk", keys), ("--all", all_rows)


def _value(text: Any) -> Any:
    """Return what JSON says, or the text itself where it is none."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> NoReturn:
    # NaN and Infinity, which Python reads and JSON does not have, are names of customers.
    raise ValueError(name)


def _text(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return str(error)
