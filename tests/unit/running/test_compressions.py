"""Compressed messages: what they may grow to."""

from __future__ import annotations

import bz2
import lzma
import tracemalloc
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import kombu.compression
import pytest

from cereal_methods.exceptions import InvalidMessage
from cereal_methods.running import compressions
from cereal_methods.running.compressions import MIN_BOUND, bound_decompression
from tests.celery import app

METHODS = {"zlib": zlib.compress, "bzip2": bz2.compress, "lzma": lzma.compress}
if "application/zstd" in kombu.compression.encoders():
    METHODS["zstd"] = kombu.compression.get_encoder("zstd")[0]


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Bound decompression, and nothing of it after the test."""
    registry: Any = kombu.compression
    before = dict(registry._encoders), dict(registry._decoders)
    registry.register(lambda data: data, lambda data: b"all", "application/x-own", ["own"])
    bound_decompression(app)
    yield
    registry._encoders.clear()
    registry._decoders.clear()
    registry._encoders.update(before[0])
    registry._decoders.update(before[1])
    registry._aliases.pop("own")


@pytest.mark.parametrize("name", METHODS)
def test_ordinary_bodies_are_decompressed(name: str) -> None:
    for body in (b"", b"[[1],{},null]", bytes(range(256)) * 10_000, b"x" * MIN_BOUND):
        compressed, _ = kombu.compression.compress(body, name)
        assert kombu.compression.decompress(compressed, name) == body


@pytest.mark.parametrize("name", METHODS)
def test_a_bomb_is_refused_and_takes_little_memory(name: str) -> None:
    bomb = METHODS[name](bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(InvalidMessage) as caught:
        kombu.compression.decompress(bomb, name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    most = max(MIN_BOUND, 200 * len(bomb))
    assert str(caught.value) == (
        f"The message has {len(bomb):,} bytes and would be more than {most:,} decompressed, which "
        "is refused: more than 200 times as many."
    )
    assert peak < 3 * most + 10_000_000  # of which LZMA has a dictionary


def test_zstd_is_bounded_by_the_decompressor_of_kombus_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compressions, "zstd_decompressor", lambda: bz2.BZ2Decompressor)

    decompress = dict(compressions._bounded_methods())["application/zstd"]

    assert decompress(bz2.compress(b"[[1],{},null]")) == b"[[1],{},null]"
    with pytest.raises(InvalidMessage, match="which is refused: more than 200 times as many"):
        decompress(bz2.compress(bytes(2 * MIN_BOUND)))


@pytest.mark.parametrize("name", METHODS)
def test_truncated_data_and_noise_are_refused(name: str) -> None:
    whole = METHODS[name](b"x" * 1000)

    for data in (b"noise", whole[:-5]):
        with pytest.raises(InvalidMessage, match="cannot be decompressed: "):
            kombu.compression.decompress(data, name)


def test_a_method_that_cannot_be_bounded_is_refused() -> None:
    with pytest.raises(InvalidMessage) as caught:
        kombu.compression.decompress(b"x", "own")

    assert str(caught.value) == (
        "The message is compressed by application/x-own, which cannot be bounded, and this "
        "worker's app does not use it. Compress messages by zlib, bzip2, lzma or zstd, or set "
        "CELERY_TASK_COMPRESSION here too."
    )


@pytest.mark.parametrize("of_task", [False, True])
def test_a_method_that_the_app_uses_is_allowed(of_task: bool) -> None:
    registry: Any = kombu.compression
    registry.register(lambda data: data, lambda data: b"all", "application/x-own", ["own"])
    conf = SimpleNamespace(task_compression=None if of_task else "own", result_compression=None)
    tasks = {"a": SimpleNamespace(compression="own" if of_task else None)}

    bound_decompression(SimpleNamespace(conf=conf, tasks=tasks))

    assert kombu.compression.decompress(b"x", "own") == b"all"
