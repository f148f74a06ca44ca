"""The messages of a transaction, which are sent together when it commits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from django.db import transaction

from ..django_api.databases import (
    add_lasting_commit_callback,
    in_atomic,
    in_test_case,
    remove_last_commit_callback,
)
from .marks import mark_sent
from .publishing import CHUNK, backoff, is_refusal, publish

if TYPE_CHECKING:
    from .messages import Message

logger = logging.getLogger("cereal_methods")

#: How many messages a process sends when its transaction commits. Workers send the others.
HELD: Final = 10_000


def send_on_commit(app: Any, using: str, messages: Sequence[Message]) -> None:
    """Send recorded messages when the transaction of their database commits."""
    connection = transaction.get_connection(using)
    if not in_atomic(connection):
        if connection.get_autocommit():
            send(app, using, messages)
        # Django does not report the end of a transaction that is managed by hand. Workers send the
        # messages.
        return
    outbox = _outboxes.get(connection)
    if outbox is None:
        outbox = _outboxes[connection] = _Outbox(using)
    outbox.hold(app, messages)


def send(app: Any, using: str, messages: Sequence[Message]) -> None:
    """Send messages whose records are committed, and mark them. Errors are logged."""
    for start in range(0, len(messages), CHUNK):
        chunk = messages[start : start + CHUNK]
        if backoff.is_active():
            return
        try:
            publish(app, chunk)
        except Exception as error:
            if is_refusal(app, error):
                logger.error("One of %d durable tasks was refused: %r", len(chunk), error)
                continue
            backoff.start(error, len(messages) - start)
            return
        backoff.stop()
        mark_sent(using, chunk)


class _Outbox:
    """The messages of one transaction at a time."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._committed: list[tuple[Any, Sequence[Message]]] = []
        self._number = 0

    def hold(self, app: Any, messages: Sequence[Message]) -> None:
        """Hold messages until the transaction commits, unless it has too many already."""
        connection = transaction.get_connection(self._using)
        # One callback after the last message. It survives a rollback to a savepoint; messages do
        # not. In a test case each message has one: captureOnCommitCallbacks() counts callbacks.
        if in_test_case(connection) or not remove_last_commit_callback(connection, self._send):
            self._number = 0  # another transaction, or others have added callbacks since
        self._number += len(messages)
        if self._number <= HELD:
            transaction.on_commit(_Held(self._committed, app, messages), using=self._using)
        add_lasting_commit_callback(connection, self._send)

    def _send(self) -> None:
        committed, self._committed[:] = list(self._committed), []
        by_app: dict[Any, list[Message]] = {}
        for app, messages in committed:
            by_app.setdefault(app, []).extend(messages)
        for app, messages in by_app.items():
            send(app, self._using, messages)


class _Held:
    """Hands messages to their outbox on commit, unless their savepoint was rolled back."""

    def __init__(self, committed: list[Any], app: Any, messages: Sequence[Message]) -> None:
        self._committed, self._app, self._messages = committed, app, messages

    def __call__(self) -> None:
        self._committed.append((self._app, self._messages))


_outboxes: WeakKeyDictionary[Any, _Outbox] = WeakKeyDictionary()
