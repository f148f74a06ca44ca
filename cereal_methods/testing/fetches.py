"""Counting the queries that fetch rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from ..rows.queries import wrappers

_COLUMNS: Final = re.compile("^SELECT .*? FROM")


@contextmanager
def assert_num_fetches(num: int) -> Iterator[list[str]]:
    """Assert that a block fetches the rows of references with ``num`` queries.

    The queries of ``self`` and of other instances count, those of ``prefetch_related`` and
    those of other threads included. The queries of the methods themselves do not count. The
    block receives a list of the SQL so far, as strings without the columns. Raises
    ``AssertionError`` with that list.
    """
    __tracebackhide__ = True
    queries: list[str] = []

    def record(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        queries.append(_COLUMNS.sub("SELECT ... FROM", f"{sql} {params}", count=1))
        return execute(sql, params, *rest)

    wrappers.append(record)
    try:
        yield queries
    finally:
        wrappers.remove(record)
    if len(queries) != num:
        listed = "".join(f"\n  {place}. {sql}" for place, sql in enumerate(queries, 1))
        made = "1 fetch was" if len(queries) == 1 else f"{len(queries)} fetches were"
        raise AssertionError(f"{made} made, {num} expected{':' if queries else '.'}{listed}")
