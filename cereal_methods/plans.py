"""Which rows a function is called with, and in which way each is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .policies import RowPolicy
from .references import LEAVES, ModelReference, Reference
from .resolutions import reference_in

if TYPE_CHECKING:
    from .calls import Call
    from .targets import Target

#: The policies of rows, each with the references of those it fetches.
Plan = list[tuple[RowPolicy, list[Reference]]]


def may_name_rows(call: Call | None, args: Iterable[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether rows may be named in a function's arguments, beside ``self``."""
    if call is not None and call.names_rows():
        return True
    for value in (*args, *kwargs.values()):
        if type(value) not in LEAVES and (call is None or not call.holds(value)):
            return True
    return False


def plan_of(
    target: Target,
    own: ModelReference | None,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    call: Call | None,
) -> Plan:
    """Return which rows are fetched in which way: those in a way of their own come first."""
    policies = policies_of(target, args, kwargs)
    others = target.policy
    if target.model is not None and target.policy.fetches_self:
        others = target.policy.of_others
    wanted: dict[int, tuple[RowPolicy, dict[Reference, None]]] = {}

    def want(policy: RowPolicy, reference: Reference) -> None:
        wanted.setdefault(id(policy), (policy, {}))[1][reference] = None

    if own is not None:
        want(target.policy, own)
    seen: set[Reference | None] = {own}
    names_rows = call is not None and call.names_rows()
    for value in (*args, *kwargs.values()):
        policy = next(policies) or others
        if type(value) in LEAVES or (call is not None and not names_rows and call.holds(value)):
            continue
        for reference in references_in(value):
            if reference != own:
                want(policy, reference)
                seen.add(reference)
    if call is not None and names_rows:  # those inside of objects, too
        for reference in call.references():
            if reference not in seen:
                want(others, reference)
    plan = [(policy, list(found)) for policy, found in wanted.values()]
    return sorted(plan, key=lambda part: (not part[0].locks, not part[0].fetches_self))


def policies_of(
    target: Target, args: Iterable[Any], kwargs: Mapping[str, Any]
) -> Iterator[RowPolicy | None]:
    """Give the policy of each argument, in the order of ``args`` and ``kwargs``, or None."""
    if not target.parameters:
        while True:
            yield None
    names = target.names
    for place, _ in enumerate(args):  # the last name may be that of *args
        yield target.parameters.get(names[min(place, len(names) - 1)]) if names else None
    for name in kwargs:
        yield target.parameters.get(name)


def references_in(value: Any) -> list[Reference]:
    """Return the references in a value, at any depth, and those that stand-ins in it are for."""
    found: dict[Reference, None] = {}
    seen: set[int] = set()  # what contains itself is walked once
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if type(part) in LEAVES:
            continue
        reference = reference_in(part)
        if reference is not None:
            found[reference] = None
        elif isinstance(part, (list, tuple, set, frozenset, dict)) and id(part) not in seen:
            seen.add(id(part))
            waiting.extend(part.values() if isinstance(part, dict) else part)
    return list(found)
