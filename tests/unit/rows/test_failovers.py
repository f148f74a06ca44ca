"""Databases in a failover."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, connections

from cereal_methods.rows.connections import error_code, is_read_only, is_unavailable, with_reconnect

from ..database_errors import NOT_SERVING, OTHERS, READ_ONLY, as_raised


@pytest.mark.parametrize("error", [*READ_ONLY, *NOT_SERVING], ids=repr)
def test_a_database_in_a_failover_is_unavailable(error: Exception) -> None:
    assert is_unavailable(error)
    assert is_read_only(error) == (error in READ_ONLY)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_other_errors_do_not_make_a_database_unavailable(error: Exception) -> None:
    assert not is_unavailable(error)


@pytest.mark.parametrize("error", READ_ONLY, ids=repr)
def test_a_connection_to_a_standby_is_closed(error: Exception) -> None:
    def fetch() -> None:
        raise error

    here = connections["default"]
    with (
        mock.patch.object(here, "close") as close,
        mock.patch.object(here, "in_atomic_block", False),
        mock.patch.object(here, "autocommit", True),
        pytest.raises(type(error)),
    ):
        with_reconnect("default", fetch)

    close.assert_called()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (as_raised(OperationalError, "x", sqlstate="55P03"), "55P03"),
        (as_raised(OperationalError, "x", pgcode="55P03"), "55P03"),
        (as_raised(OperationalError, 3572, "x"), 3572),
        (as_raised(OperationalError, "x"), None),
        (as_raised(OperationalError), None),
        (as_raised(OperationalError, "x", sqlstate=b"55P03"), None),
    ],
)
def test_the_code_of_an_error_is_read_from_each_driver(error: Any, code: Any) -> None:
    assert error_code(error) == code
