"""A fuzzer that is guided by what code the bodies reach: ``tox run -e guided``.

It needs atheris, which has no wheels for every platform, and runs outside of CI::

    python -m tests.fuzz.guided cereal-json corpus/ -max_total_time=300

The options after the format are libFuzzer's. The corpus begins with the golden files and
the seeds. What it finds is written to ``crash-...``: put that file into
``tests/fuzz/findings/<format>/``, where ``test_findings.py`` reads it from then on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import atheris

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

with atheris.instrument_imports(
    include=["cereal_methods", "json", "yaml", "kombu.utils.json", "kombu.serialization"]
):
    import json.decoder
    import json.scanner

    # The scanner in Python is one that can be followed into.
    json.decoder.scanstring = json.decoder.py_scanstring  # type: ignore[attr-defined]
    json.scanner.make_scanner = json.scanner.py_make_scanner  # type: ignore[attr-defined]

    import django

    django.setup()

    from cereal_methods.serializers import json as _json  # noqa: F401
    from cereal_methods.serializers import msgpack, pickle, yaml  # noqa: F401
    from tests.unit.serializers.test_golden import FILES, GOLDEN

    from .outcomes import SEEDS, Watch, judge, judge_result, seed, watched
    from .strategies import as_bytes, measured


def fill(folder: Path, name: str) -> None:
    """Write what the corpus begins with."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in SEEDS:
        (folder / f"seed-{kind}").write_bytes(as_bytes(seed(kind, name)))
    for path in FILES:
        if path.parts[1] == name:
            (folder / f"golden-{'-'.join(path.parts)}").write_bytes((GOLDEN / path).read_bytes())


def main(name: str, folder: str, *options: str) -> None:
    """Try bodies of a format until something is found or the time is over."""
    fill(Path(folder), name)
    with watched() as watch:

        def try_one(data: bytes) -> None:
            _try(data, name, watch)

        atheris.Setup([sys.argv[0], folder, *options], try_one)
        atheris.Fuzz()


def _try(data: bytes, name: str, watch: Watch) -> None:
    for body in (data, measured(data, name)):
        judge_result(body, name, watch)
        judge(body, name, watch)


if __name__ == "__main__":
    main(*sys.argv[1:])
