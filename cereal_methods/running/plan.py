"""Which rows a function is called with, and by which policy each of them is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import Task

from ..rows.fetch import missing_error
from ..rows.reference import ModelReference, Reference
from ..rows.values import LEAVES, named_reference

if TYPE_CHECKING:
    from ..serializers.call import Call
    from .policy import RowPolicy
    from .target import Target


@dataclass(slots=True, eq=False)
class Part:
    """The rows that are fetched by one policy."""

    policy: RowPolicy
    references: dict[Reference, None]

    def fetch(
        self, window_rows: Mapping[Any, Any], fetched: dict[Any, Any]
    ) -> dict[Reference, Any]:
        """Return the rows, by reference, and add them to ``fetched``, which other parts share.

        ``window_rows`` are the rows that a batch has fetched already, None for those that are
        gone. Raises what ``RowPolicy.fetch`` raises.
        """
        rows = {row: window_rows[row] for row in self.references if row in window_rows}
        gone: list[Any] = [reference for reference, row in rows.items() if row is None]
        if gone:
            raise missing_error(gone, self.policy.manager)
        missing = [reference for reference in self.references if reference not in rows]
        if missing:
            shared = {} if self.policy.fetches_self else fetched
            rows = {**dict(zip(missing, self.policy.fetch(missing, shared), strict=True)), **rows}
        for reference, row in rows.items():
            if isinstance(reference, ModelReference):
                fetched.setdefault(reference, row)
        return rows


@dataclass(slots=True, eq=False)
class Plan:
    """The rows of one run of a function."""

    #: In the order in which they are fetched: locked rows come first, then those with options of
    #: their own, then all others.
    parts: list[Part]
    #: Whether the arguments name rows, so that they have to be resolved.
    names_arguments: bool
    #: The parts of the arguments whose parameters have a policy, by position or name.
    parts_of_arguments: Mapping[int | str, Part]

    def locked_databases(self) -> list[str]:
        """Return the aliases of the databases in which rows are locked, sorted."""
        locked = [part.references for part in self.parts if part.policy.locks]
        return sorted({row.using for references in locked for row in references}) if locked else []


def plan_of(
    target: Target,
    reference: ModelReference | None,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    call: Call | None,
) -> Plan:
    """Return which rows a function needs, and how they are fetched.

    ``reference`` is that of the row that a method runs on. ``call`` is the message's, if one of
    our serializers wrote it: it also knows the rows inside of objects.
    """
    call_names_rows = call is not None and call.names_rows()
    named: list[Reference] = []
    for value in (*args, *kwargs.values()):
        if type(value) in LEAVES or isinstance(value, Task):  # with bind, the task comes first
            continue
        if call is None or call_names_rows or not call.holds(value):
            named += references_in(value)
    if call is not None and call_names_rows:
        named += call.references()
    if named:
        return _plan_with_arguments(target, reference, args, kwargs, named)
    # Most messages name no row, or only the one that their method runs on.
    parts = [] if reference is None else [Part(target.policy, {reference: None})]
    return Plan(parts, False, {})


def _plan_with_arguments(
    target: Target,
    reference: ModelReference | None,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    named: Iterable[Reference],
) -> Plan:
    first = Part(target.policy, {} if reference is None else {reference: None})
    of_parameters = {name: Part(policy, {}) for name, policy in target.parameters.items()}
    of_arguments: dict[int | str, Part] = {}
    for argument, parameter, value in _parameters_of(target, args, kwargs):
        of_arguments[argument] = part = of_parameters[parameter]
        part.references.update(dict.fromkeys(references_in(value)))
    seen = {row for part in (first, *of_parameters.values()) for row in part.references}
    others = dict.fromkeys(row for row in named if row not in seen)
    if target.model is not None and target.policy.fetches_self:
        parts = [first, *of_parameters.values(), Part(target.policy.of_others, others)]
    else:
        first.references.update(others)  # one query fetches them all
        parts = [first, *of_parameters.values()]
    parts = [part for part in parts if part.references]
    parts.sort(key=lambda part: (not part.policy.locks, not part.policy.fetches_self))
    return Plan(parts, True, of_arguments)


def _parameters_of(
    target: Target, args: Iterable[Any], kwargs: Mapping[str, Any]
) -> Iterator[tuple[int | str, str, Any]]:
    """Give position or name, parameter and value of each argument whose parameter has a policy."""
    if not target.parameters:
        return
    names = target.names
    for position, value in enumerate(args if names else ()):
        name = names[min(position, len(names) - 1)]  # the last name may be that of *args
        if name in target.parameters:
            yield position, name, value
    for name, value in kwargs.items():
        if name in target.parameters:
            yield name, name, value


def references_in(value: Any) -> list[Reference]:
    """Return the references in a value, at any depth, and those of the lazy rows in it."""
    references: dict[Reference, None] = {}
    seen: set[int] = set()  # a value that contains itself is walked once
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if type(part) in LEAVES:
            continue
        reference = named_reference(part)
        if reference is not None:
            references[reference] = None
        elif isinstance(part, (list, tuple, set, frozenset, dict)) and id(part) not in seen:
            seen.add(id(part))
            waiting.extend(part.values() if isinstance(part, dict) else part)
    return list(references)
