"""Compressed messages, which a worker decompresses up to a bound.

kombu decompresses a body before anything else reads it, by the method that the header
``compression`` names, whatever the worker's settings are: 306 bytes of bz2 can take 800 MB of
memory. A worker's decompressors stop at a bound that grows with the size of the message.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import kombu.compression

from ..celery_api.kombu import zstd_decompressor
from ..exceptions import InvalidMessage

compression: Final[Any] = kombu.compression  # whose types are wrong

#: How many times as long as its message a body may be, and how many bytes any body may have.
MAX_RATIO: Final = 200
MIN_BOUND: Final = 4 << 20

#: The most memory that LZMA may take for its dictionary. Its highest preset takes 65 MiB.
_LZMA_MEMORY: Final = 128 << 20


def bound_decompression(app: Any) -> None:
    """Bound the size to which this process decompresses messages.

    Methods that cannot stop at a bound (brotli, and those that a project has registered) are
    refused, unless ``app`` compresses by them.
    """
    used = {compression.get_encoder(name)[1] for name in _methods_of(app)}
    for name in compression.encoders():
        encode, _ = compression.get_encoder(name)
        if name in _BOUNDED:
            compression.register(encode, _BOUNDED[name], name)
        elif name not in used:
            compression.register(encode, _refusing(name), name)


def _methods_of(app: Any) -> Iterator[str]:
    """Give the methods by which an app compresses messages, as kombu names them or by alias."""
    for name in (app.conf.task_compression, app.conf.result_compression):
        if name:
            yield name
    for task in app.tasks.values():
        name = getattr(task, "compression", None)  # an option, which Celery does not declare
        if isinstance(name, str):
            yield name


def _refusing(name: str) -> Callable[[Any], bytes]:
    def refuse(data: Any) -> bytes:
        raise InvalidMessage(
            f"The message is compressed by {name}, which cannot be bounded, and this worker's app "
            "does not use it. Compress messages by zlib, bzip2, lzma or zstd, or set "
            "CELERY_TASK_COMPRESSION here too."
        )

    return refuse


def _bounded(make: Callable[[], Any]) -> Callable[[Any], bytes]:
    """Return a decompressor that stops at the bound; ``make`` returns an incremental one."""

    def decompress(data: Any) -> bytes:
        source = data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)
        bound = max(MIN_BOUND, MAX_RATIO * len(source))
        decompressor = make()
        try:
            body: bytes = decompressor.decompress(source, bound + 1)
        except Exception as error:
            raise InvalidMessage(
                f"The message cannot be decompressed: {type(error).__name__}."
            ) from None
        if len(body) > bound:
            raise InvalidMessage(
                f"The message has {len(source):,} bytes and would be more than {bound:,} "
                f"decompressed, which is refused: more than {MAX_RATIO} times as many."
            )
        if not decompressor.eof:
            raise InvalidMessage("The message cannot be decompressed: it is truncated.")
        return body

    return decompress


def _bounded_methods() -> Iterator[tuple[str, Callable[[Any], bytes]]]:
    yield "application/x-gzip", _bounded(zlib.decompressobj)
    try:
        import bz2
    except ImportError:  # pragma: no cover
        pass
    else:
        yield "application/x-bz2", _bounded(bz2.BZ2Decompressor)
    try:
        import lzma
    except ImportError:  # pragma: no cover
        pass
    else:
        yield "application/x-lzma", _bounded(lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY))
    zstd = zstd_decompressor()
    if zstd is not None:
        yield "application/zstd", _bounded(zstd)


_BOUNDED: Final = dict(_bounded_methods())
