"""The column of a task's id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
else:
    _CharField = models.CharField

#: The longest id of a durable task, in characters.
LONGEST_ID = 255


class TaskIdField(_CharField):
    """A task's id, which is compared character by character.

    MariaDB's usual collations do not distinguish ``a`` and ``A``. On PostgreSQL Django would add a
    second index, for ``LIKE``, which no query uses and each change of a record would write.
    """

    def db_type(self, connection: Any) -> str:
        """Return the column's type."""
        if connection.vendor == "mysql":
            return f"varchar({self.max_length}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        if connection.vendor == "postgresql":
            return f'character varying({self.max_length}) COLLATE "C"'
        return str(super().db_type(connection))
