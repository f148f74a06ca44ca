"""The index of the records that are not done."""

from __future__ import annotations

from typing import Any

from django.db import models


class NotDoneIndex(models.Index):
    """On PostgreSQL, an index that leaves out the records that are done, as most records are.

    A record that is done and still has its message stays in the index: ``resend`` looks for those.

    Other databases get an index of all records. MySQL and MariaDB have no partial indexes, and
    Django's checks warn about ``Index(condition=...)`` there (``models.W037``). SQLite has partial
    indexes, but does not use this one for ``state = 'waiting'``.
    """

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        """Return the statement that creates the index."""
        is_partial = schema_editor.connection.vendor == "postgresql"
        condition = ~models.Q(state="done", envelope="") if is_partial else None
        index = models.Index(fields=self.fields, name=self.name, condition=condition)
        return index.create_sql(model, schema_editor, using, **kwargs)
