"""Any body ends in its value or in an error of decoding.

``FUZZ_BODIES`` says how many bodies are tried, of all formats together;
``tox run -e fuzz`` tries a million.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from cereal_methods.running.arguments import LazyArgs
from tests.unit.bodies import FORMATS, decode

from .outcomes import SEEDS, Watch, judge, judge_result, seed, watched
from .strategies import as_bytes, bodies

BODIES = int(os.environ.get("FUZZ_BODIES", "8000"))
#: Examples of hypothesis: each has ten bodies or more.
EXAMPLES = -(-BODIES // len(FORMATS) // 10)


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watched() as found:
        yield found


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", FORMATS)
def test_any_body_ends_in_its_value_or_in_an_error_of_decoding(name: str, watch: Watch) -> None:
    seen: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="FUZZ_BODIES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies(name))
    def try_some(found: list[bytes]) -> None:
        for body in found:
            half = len(body) // 2
            for each in (body, body[:-1], body[1:], body[half:] + body[:half]):
                outcome = judge(each, name, watch)
                seen[type(outcome).__name__] += 1
                judge_result(each, name, watch)

    try_some()
    print(f"{name}: {sum(seen.values()):,} bodies: {dict(seen)}")

    # It reaches what it is to reach: values and errors.
    assert seen["tuple"] > 0
    assert seen["InvalidMessage"] > 0


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_body_that_nobody_has_changed_has_its_value(name: str, kind: str, watch: Watch) -> None:
    payload = seed(kind, name)

    for each in (payload, as_bytes(payload)):
        if kind in ("result", "value"):
            assert judge_result(each, name, watch) == SEEDS[kind]
            assert str(judge(each, name, watch)) == (
                "The message is the result of a task, not a call."
                if kind == "result" or name == "cereal-pickle"
                else "The message is not a call of a task."
            )
        else:
            args, kwargs, embed = judge(each, name, watch)
            assert (tuple(args), kwargs, embed) == SEEDS[kind]
            is_plain = kind == "plain" and name != "cereal-pickle"
            assert isinstance(decode(each, name)[0], list if is_plain else LazyArgs)
