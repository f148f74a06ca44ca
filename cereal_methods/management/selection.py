"""The rows that a command's options select."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from django.core.exceptions import EmptyResultSet, FieldError, ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError, NotSupportedError, models
from django.db.models import Q

from ..django_api.models import check_sql
from ..exceptions import CerealError
from ..rows.keys import clean_key
from ..rows.reference import ModelReference
from ..rows.routing import write_database

#: Lookups that take a list. Django would split a string into its characters.
_TAKE_LISTS = ("__in", "__range")


class Selection:
    """Rows of a model, by filters, by keys, or all of them. It queries when it is asked.

    Raises ``CommandError`` if the options do not select rows of the model.
    """

    def __init__(self, model: type[models.Model], options: Mapping[str, Any]) -> None:
        self.model = model
        self._keys: list[Any] | None = None
        self._queryset: models.QuerySet[Any] = model._default_manager.using(options["database"])
        keys, filters = options["pks"], (*options["filters"], *options["excludes"])
        kinds = ("--filter or --exclude", filters), ("--pk", keys), ("--all", options["all_rows"])
        used = [name for name, value in kinds if value]
        if not used:
            raise CommandError(
                f"Select rows of {model._meta.label} with --filter, --exclude or --pk, or use "
                "--all for every row."
            )
        if len(used) > 1:
            raise CommandError(f"{' and '.join(used)} cannot be combined. Use one of them.")
        if keys:
            self._keys = list(dict.fromkeys(self._key(key) for key in keys))
        elif filters:
            self._queryset = self._filtered(options["filters"], options["excludes"])

    @property
    def rows(self) -> Any:
        """The rows for ``bulk_apply_async``: a queryset or, with ``--pk``, references.

        Keys are sent without looking for their rows. The result reports missing ones.
        """
        if self._keys is None:
            return self._queryset
        using = write_database(self.model, self._queryset.db)
        return [ModelReference(self.model._meta.label, key, using) for key in self._keys]

    def count(self) -> int:
        """Return how many rows there are. Raises ``CommandError`` if the database refuses."""
        if self._keys is not None:
            return len(self._keys)
        try:
            # A filter with a join may return a row twice, but it is sent once.
            return self._queryset.order_by().values("pk").distinct().count()
        except DatabaseError as error:
            self._refuse(error)

    def first_keys(self, number: int) -> list[Any]:
        """Return the first keys. Raises ``CommandError`` if the database refuses."""
        if self._keys is not None:
            return self._keys[:number]
        try:
            return list(
                self._queryset.order_by("pk").values_list("pk", flat=True).distinct()[:number]
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
                f"--pk {text} is not a primary key of {self.model._meta.label}: {_text(error)}"
            ) from error

    def _filtered(self, filters: Sequence[str], excludes: Sequence[str]) -> models.QuerySet[Any]:
        conditions = Q()
        for text in filters:
            conditions &= self._condition("--filter", text)
        # In one filter(), so that a single related row has to match all conditions.
        queryset = self._queryset.filter(conditions)
        for text in excludes:
            queryset = queryset.exclude(self._condition("--exclude", text))
        return queryset

    def _condition(self, option: str, text: str) -> Q:
        name, equals, value_text = text.partition("=")
        if not (name and equals):
            raise CommandError(f"{option} {text}: write it as field=value or field__lookup=value.")
        value = _value(value_text)
        if name.endswith(_TAKE_LISTS) and not isinstance(value, list):
            raise CommandError(
                f"{option} {text}: {name} takes a JSON list, as in {name}='[1, 2]' or "
                f'{name}=\'["a", "b"]\'.'
            )
        # As a pair, because Q has keyword arguments that are not lookups.
        condition = Q((name, value))
        try:
            # Django reports some mistakes when it makes the query, and others in its SQL.
            check_sql(self._queryset.filter(condition))
        except EmptyResultSet:
            pass  # for example pk__in=[]
        except (FieldError, TypeError, ValueError, ValidationError, NotSupportedError) as error:
            raise CommandError(f"{option} {text}: {_text(error)}") from error
        return condition


def _value(text: Any) -> Any:
    """Return the value of a JSON text, or the text itself if it is not JSON."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> NoReturn:
    # Python also parses NaN and Infinity, which are not JSON and may be meant as text.
    raise ValueError(name)


def _text(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    return str(error)
