"""What may become of a body, whatever is in it: its value, or one error of decoding.

``judge`` reads a body as a worker does, first in the consumer and then in the task, and
raises ``Violation`` for anything else: another error, a query, an import, a body that is
unpickled without a valid signature, an error that quotes what the body holds.
"""

from __future__ import annotations

import functools
import importlib.abc
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest import mock

from django.core.exceptions import ObjectDoesNotExist
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler
from kombu.exceptions import DecodeError
from kombu.utils.json import dumps

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage, UnknownDatabase, UnknownModel
from cereal_methods.rows.fetch import fetch_all
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.running.arguments import LazyArgs
from cereal_methods.running.decoding import decoded
from cereal_methods.serializers import content, signing
from cereal_methods.serializers import pickle as cereal_pickle
from tests.unit.bodies import FORMATS, call_body, decode, encode

#: What the arguments of the seeds hold and no error may tell.
SECRET: Final = "c4n4ry"

ORDER: Final = ModelReference("shop.Order", 5, "default")
ROWS: Final = QuerySetReference("shop.Order", (5, 6, 7), "archive")
LINK: Final = {"task": "shop.next", "args": [ORDER, SECRET], "kwargs": {"a": 1}, "options": {}}

#: Bodies as senders write them.
SEEDS: Final[dict[str, Any]] = {
    "plain": call_body([SECRET, 1, None, True, 2.5], {"a": ["größe", {"b": []}]}),
    "method": call_body([SECRET], {"this": ORDER, "express": True}),
    "references": call_body([ORDER, [ROWS, {"order": ORDER}]], {"a": SECRET, "rows": ROWS}),
    "canvas": call_body([1], {"this": ORDER, "a": SECRET}, callbacks=[LINK], chain=[LINK, LINK]),
    "marked": call_body([{"$ref": 0}, ORDER, SECRET]),
    "result": {"status": "SUCCESS", "result": [ORDER, SECRET], "task_id": "5"},
    "value": [SECRET, 1],
}


class Violation(BaseException):
    """Something happened that must not; no ``except Exception`` hides it."""


class _NoImports(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> None:
        if not name.startswith("encodings."):  # json guesses that of bytes
            raise Violation(f"a body made the process import {name}")


class Watch:
    """Which unpicklers were made since it was last asked; as a context, refuses imports."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.finder = _NoImports()

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self.finder)

    def __exit__(self, *error: object) -> None:
        sys.meta_path.remove(self.finder)

    def taken(self) -> set[str]:
        """Return what was made, and forget it."""
        made, self.made = self.made, set()
        return made


@contextmanager
def watched() -> Iterator[Watch]:
    """Refuse queries and imports, and note what is unpickled."""
    watch = Watch()
    decoded(None)  # what it and the formats import is there before
    for name in FORMATS:
        for kind in SEEDS:
            seed(kind, name)

    def spied(name: str, original: Any) -> Callable[..., Any]:
        @functools.wraps(original, updated=())
        def make(*args: Any) -> Any:
            watch.made.add(name)
            return original(*args)

        return make

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise Violation("a body made the process ask a database")

    with ExitStack() as stack:
        for name in ("_Unpickler", "_SafeUnpickler"):
            spy = spied(name, getattr(cereal_pickle, name))
            stack.enter_context(mock.patch.object(cereal_pickle, name, spy))
        stack.enter_context(mock.patch.object(BaseDatabaseWrapper, "ensure_connection", refuse))
        yield watch


@functools.cache
def seed(kind: str, name: str) -> Any:
    """Return the payload of a seed."""
    return encode(SEEDS[kind], name)


def is_signed(payload: Any) -> bool:
    """Tell whether a body of ``cereal-pickle`` has a valid signature."""
    data = payload.encode("latin-1", "replace") if isinstance(payload, str) else bytes(payload)
    signature, content = data[1 : 1 + signing.SIZE], data[1 + signing.SIZE :]
    return data[:1] == b"\x01" and signing.verify(signature, b"\x01", content)


def judge(payload: Any, name: str, watch: Watch) -> Any:
    """Return the value of a body or the error that it ends in, read as by a worker."""
    watch.taken()
    may_unpickle = name == "cereal-pickle" and is_signed(payload)
    with watch:
        found = _consume(payload, name)
    if watch.taken() - ({"_SafeUnpickler"} if may_unpickle else set()):
        raise Violation("a body was unpickled in the consumer")
    if isinstance(found, Exception):
        return found
    with watch:
        outcome = _perform(*found)
    if watch.taken() and not may_unpickle:
        raise Violation("a body without a valid signature was unpickled")
    if name == "cereal-pickle" and not may_unpickle and not isinstance(outcome, Exception):
        raise Violation("a body without a valid signature has a value")
    return outcome


def judge_result(payload: Any, name: str, watch: Watch) -> Any:
    """Return the value or the error of a body that a result backend holds.

    Its references stay references, as in a test without a database.
    """
    watch.taken()
    with watch, mock.patch("cereal_methods.results.instances.fetch_all", list):
        try:
            found = decode(payload, name)
        except Exception as error:
            return _checked(error)
    if name == "cereal-pickle" and watch.taken() and not is_signed(payload):
        raise Violation("a result without a valid signature was unpickled")
    return found


def _consume(payload: Any, name: str) -> Any:
    """Do what the consumer does with a message: decode it, show it, hand it to the pool."""
    token = content.call_expected.set(True)
    try:
        found = decode(payload, name)
    except Exception as error:
        return _checked(error)
    finally:
        content.call_expected.reset(token)
    if not payload:  # kombu itself returns an empty body
        return InvalidMessage("It is empty.")
    if not isinstance(found, (tuple, list)) or len(found) != 3:
        raise Violation(f"a message was decoded to a {type(found)}")
    args, kwargs, embed = found
    if isinstance(found, list):  # what kombu's own serializer would have given
        if name == "cereal-pickle" or type(args) is not list or type(kwargs) is not dict:
            raise Violation(f"a message was decoded to {found!r:.100}")
        return pickle.loads(pickle.dumps((args, kwargs, embed)))
    if not isinstance(args, LazyArgs):
        raise Violation(f"a message was decoded to a {type(found)}")
    shown = dumps([args, kwargs]), repr(args), repr(kwargs)
    if any(len(text) > 100_000 + 50 * len(payload) for text in shown):
        raise Violation("a body is shown at much greater length than it has")
    return pickle.loads(pickle.dumps((args, kwargs, embed)))


def _perform(args: Any, kwargs: Any, embed: Any) -> Any:
    """Do what the pool does before a task's code begins, but for the fetch itself."""
    embedded = dict(embed or {})
    if type(args) is list:
        return args, kwargs, embedded
    try:
        args.call.lazy_arguments()
        found = args.call.sent_arguments()
        references = args.call.references()
    except Exception as error:
        return _checked(error)
    _fetch(references)
    return (*found, embedded)


def _execute(compiler: Any, *args: Any, **kwargs: Any) -> Any:
    """Do what a query costs before a database is asked: nothing is there."""
    compiler.as_sql()
    return iter(())


def _fetch(references: Sequence[Any]) -> None:
    """Fetch what a body names, from databases that have no rows."""
    with mock.patch.object(SQLCompiler, "execute_sql", _execute):
        try:
            fetch_all(references)
        except (ObjectDoesNotExist, UnknownModel, UnknownDatabase, InvalidMessage) as error:
            text = str(error)
        else:
            return
    if len(text) > 5000 or not text.isprintable():
        raise Violation(f"an error of the fetch that a log could not take: {text!r:.200}")


def _checked(error: Exception) -> Exception:
    """Return the error of decoding in ``error``, if it is one that may be."""
    if isinstance(error, DecodeError):
        error = error.args[0]
    if not isinstance(error, InvalidMessage):
        raise Violation(f"{type(error).__name__} and no InvalidMessage: {error}") from error
    text = f"{error} {error.__cause__} {error.about}"
    if SECRET in text:
        raise Violation(f"an error quotes what the message holds: {text}")
    if len(text) > 1000:
        raise Violation(f"an error of {len(text)} characters")
    return error
