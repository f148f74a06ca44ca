"""Compressed messages, which a worker decompresses up to a bound.

kombu decompresses a body before anything else looks at it, by the method that the header
``compression`` names, whatever the worker's settings are: 306 bytes of bz2 are 800 MB of
memory. Here a worker's decoders stop at a bound that grows with the bytes that came.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import kombu.compression

from .exceptions import InvalidMessage

compression: Final[Any] = kombu.compression  # whose types are wrong

#: How often a body may be as long as what it was compressed to, and how long any may be.
MAX_RATIO: Final = 200
MIN_BOUND: Final = 4 << 20

#: The most memory that LZMA may take for its dictionary: 65 MiB are its highest preset's.
_LZMA_MEMORY: Final = 128 << 20


def bound_decompression(app: Any) -> None:
    """Bound what this process decompresses of messages.

    A method that cannot be stopped at a bound (brotli, and those that a project has registered)
    is refused, unless ``app`` itself compresses by it.
    """
    own = {compression.get_encoder(name)[1] for name in _own_methods(app)}
    for name in compression.encoders():
        encode, _ = compression.get_encoder(name)
        if name in _BOUNDED:
            compression.register(encode, _BOUNDED[name], name)
        elif name not in own:
            compression.register(encode, _refusing(name), name)


def _own_methods(app: Any) -> Iterator[str]:
    """Give the methods by which an app compresses, as kombu names them or by an alias."""
    for name in (app.conf.task_compression, app.conf.result_compression):
        if name:
            yield name
    for task in app.tasks.values():
        name = getattr(task, "compression", None)
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
    """Return a decoder that stops at the bound; ``make`` returns an incremental decompressor."""

    def decompress(data: Any) -> bytes:
        source = data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)
        most = max(MIN_BOUND, MAX_RATIO * len(source))
        decompressor = make()
        try:
            found: bytes = decompressor.decompress(source, most + 1)
        except Exception as error:
            raise InvalidMessage(
                f"The message cannot be decompressed: {type(error).__name__}."
            ) from None
        if len(found) > most:
            raise InvalidMessage(
                f"The message has {len(source):,} bytes and would be more than {most:,} "
                f"decompressed, which is refused: more than {MAX_RATIO} times as many."
            )
        if not decompressor.eof:
            raise InvalidMessage("The message cannot be decompressed: it is truncated.")
        return found

    return decompress


def _methods() -> Iterator[tuple[str, Callable[[Any], bytes]]]:
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
    zstd = getattr(compression, "zstd", None)
    if zstd is not None:
        yield "application/zstd", _bounded(zstd.ZstdDecompressor)


_BOUNDED: Final = dict(_methods())
