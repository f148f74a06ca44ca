"""Counting the queries that fetch rows for tasks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from .. import hydration

_COLUMNS: Final = re.compile("^SELECT .*? FROM")


@contextmanager
def assert_num_fetches(num: int) -> Iterator[list[str]]:
    """Assert that a block makes ``num`` queries to fetch rows for tasks and results.

    Counted are the queries in the place of references, in all threads: those of
    ``self`` and other instances, with ``prefetch_related`` among them. Queries that
    methods make themselves are not. Gives the list of the queries' SQL, which
    grows as they are made, with their columns left out. Raises ``AssertionError`` with that list.
    """
    __tracebackhide__ = True
    made: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        made.append(_COLUMNS.sub("SELECT ... FROM", f"{sql} {params}", count=1))
        return execute(sql, params, *rest)

    hydration.wrappers.append(note)
    try:
        yield made
    finally:
        hydration.wrappers.remove(note)
    if len(made) != num:
        listed = "".join(f"\n  {place}. {sql}" for place, sql in enumerate(made, 1))
        were = "1 fetch was" if len(made) == 1 else f"{len(made)} fetches were"
        raise AssertionError(f"{were} made, {num} expected{':' if made else '.'}{listed}")
