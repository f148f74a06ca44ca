"""What is to be reached, and whether a run has reached it: computed, from its measures alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from .samples import Figure, Measure

FLOOR: Final = "by hand"
METHODS: Final = ("cereal-pickle", "cereal-json", "json")

Way = Literal["value", "ratio", "difference"]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for what one contender does, by itself or against another."""

    text: str
    part: str
    measure: str
    contender: str
    way: Way
    at_least: float | None = None
    at_most: float | None = None
    to: str | None = None

    def judge(self, measures: Sequence[Measure]) -> Outcome:
        """Return what a run has measured for it."""
        for measure in measures:
            if (measure.part, measure.name) != (self.part, self.measure):
                continue
            if {self.contender, self.to or self.contender} <= measure.samples.keys():
                return Outcome(self, self._figure(measure), measure.unit)
        return Outcome(self, None, "")

    def _figure(self, measure: Measure) -> Figure:
        if self.way == "value":
            return measure.figure(self.contender)
        compare: Callable[..., Figure] = (
            measure.ratio if self.way == "ratio" else measure.difference
        )
        return compare(self.contender, self.to)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A target, and what was measured for it, if it was."""

    target: Target
    figure: Figure | None
    unit: str

    @property
    def reached(self) -> bool | None:
        """Whether the median is within the bound; None if it was not measured."""
        if self.figure is None:
            return None
        least, most = self.target.at_least, self.target.at_most
        return (least is None or self.figure.median >= least) and (
            most is None or self.figure.median <= most
        )

    @property
    def verdict(self) -> str:
        """The same in words."""
        return {True: "reached", False: "NOT REACHED", None: "not measured"}[self.reached]


def judge(measures: Sequence[Measure]) -> list[Outcome]:
    """Return the outcome of every target."""
    return [target.judge(measures) for target in all_targets()]


def all_targets() -> list[Target]:
    """Return the targets."""
    return [
        *(*_consume(), *_publish(), *_codec(), *_counts(), *_small(), *_bulk()),
        *_durable(),
        *_relay(),
    ]


def _consume() -> list[Target]:
    found = []
    for broker in ("redis", "rabbitmq"):
        for connections, least in (("default", 0.97), ("persistent", 0.95)):
            name = f"tasks per second, {broker}, {connections} connections"
            for method in METHODS:
                text = f"consumed, {broker}, {connections} connections: {method} to by hand"
                found.append(
                    Target(text, "consume", name, method, "ratio", at_least=least, to=FLOOR)
                )
        for work in ("", ", a method that writes"):
            name = f"tasks per second, {broker}, default connections{work}"
            for method in METHODS:
                text = f"consumed, {broker}, default connections{work}: {method} to django-cereal"
                found.append(
                    Target(text, "consume", name, method, "ratio", at_least=1.5, to="django-cereal")
                )
        for connections in ("default", "persistent"):
            name = f"CPU of the consumer per message, {broker}, {connections} connections"
            for method in METHODS:
                text = f"CPU of the consumer, {broker}, {connections}: {method} to Celery's json"
                found.append(Target(text, "consume", name, method, "ratio", at_most=1.0, to=FLOOR))
    return found


def _publish() -> list[Target]:
    return [
        Target(
            f"published, {broker}: {method} to by hand",
            "publish",
            f"messages per second, {broker}",
            method,
            "ratio",
            at_least=0.95,
            to=FLOOR,
        )
        for broker in ("redis", "rabbitmq", "memory")
        for method in METHODS
    ]


def _codec() -> list[Target]:
    found = [
        Target(
            f"encode + decode, {kind}: {method} more than by hand",
            "codec",
            f"one instance, {kind}: encode + decode",
            method,
            "difference",
            at_most=15.0,
            to=FLOOR,
        )
        for kind in ("self of a method", "an argument")
        for method in METHODS
        if not (kind == "an argument" and method == "json")
    ]
    for method, standard, called in (
        ("cereal-pickle", "whole pickle", "pickle"),
        ("cereal-json", FLOOR, "json"),
    ):
        found.append(
            Target(
                f"encode + decode, 10,000 integers: {method} to {called}",
                "codec",
                "10,000 integers, no instance: encode + decode",
                method,
                "ratio",
                at_most=1.15,
                to=standard,
            )
        )
    return found


def _counts() -> list[Target]:
    found = []
    for method in METHODS:
        for what, name, count in (
            ("queries per task", "a task: queries", 1),
            ("sessions per task", "a task: sessions", 1),
            ("fetches of a chain of 10", "a chain of 10: fetches", 10),
            (
                "fetches of a chord of 100 with an instance in its body",
                "a chord of 100: fetches",
                101,
            ),
        ):
            found.append(
                Target(
                    f"{what}: {method}",
                    "counts",
                    name,
                    method,
                    "value",
                    at_least=count,
                    at_most=count,
                )
            )
    return found


def _small() -> list[Target]:
    return [
        Target(
            "plain call through the descriptor, more than undecorated",
            "descriptor",
            "plain call on an instance",
            "@model_task",
            "difference",
            at_most=500.0,
            to="undecorated",
        ),
        *(
            Target(
                name,
                "imports",
                "import time beyond Django and Celery",
                name,
                "value",
                at_most=5.0,
            )
            for name in ("import cereal_methods", "from cereal_methods import model_task")
        ),
    ]


def _bulk() -> list[Target]:
    rates = [
        ("rows sent per second", "bulk_delay", "loop over delay", 1.3),
        ("rows sent per second", "batch_size=1000", "loop over delay", 100.0),
        ("rows run per second", "batch_size=500", "a message a row", 30.0),
    ]
    return [
        *(
            Target(
                f"{name}: {one} to {other}", "bulk", name, one, "ratio", at_least=least, to=other
            )
            for name, one, other, least in rates
        ),
        *(
            Target(
                f"memory, {rows}, {way}",
                "memory",
                "growth of the sending process",
                f"{way}, {rows} rows",
                "value",
                at_most=50.0,
            )
            for way, rows in (("bulk_delay", "100,000"), ("batch_size=1000", "1,000,000"))
        ),
        *(
            Target(
                f"memory, {way}: {many} rows more than {few}",
                "memory",
                "growth of the sending process",
                f"{way}, {many} rows",
                "difference",
                at_most=5.0,
                to=f"{way}, {few} rows",
            )
            for way, few, many in (
                ("bulk_delay", "10,000", "100,000"),
                ("batch_size=1000", "100,000", "1,000,000"),
            )
        ),
    ]


def _durable() -> list[Target]:
    sending, bulks = (
        "transactions per second that save a row and send a task",
        "rows recorded or sent per second",
    )
    return [
        Target(
            f"{sending}: durable to delay_on_commit",
            "durable",
            sending,
            "durable",
            "ratio",
            at_least=0.75,
            to="delay_on_commit",
        ),
        Target(
            "rows of a durable bulk recorded per second, to a loop over delay that sends",
            "durable",
            bulks,
            "bulk_delay of a durable method",
            "ratio",
            at_least=10,
            to="loop over delay",
        ),
    ]


def _relay() -> list[Target]:
    sending = "stored messages sent per second"
    done = "1,000,000 done records"
    return [
        Target(sending, "relay", sending, "relay", "value", at_least=20_000),
        *(
            Target(f"{sending}: relay to {other}", "relay", sending, "relay", "ratio",
                   at_least=least, to=other)
            for other, least in (
                ("django-celery-outbox", 10.0),
                ("loop over delay", 6.4),
                ("producer.batch() of ready messages", 0.31),
            )
        ),
        *(
            Target(f"tasks per second, {connections} connections: durable to in a transaction",
                   "relay", f"tasks per second, {connections} connections", "a durable method",
                   "ratio", at_least=0.85, to="a method in a transaction")
            for connections in ("default", "persistent")
        ),
        Target(f"{sending}, {done}", "relay", f"{sending}, beside done records", done,
               "ratio", at_least=0.9, to="no other records"),
        Target(f"a tick of an idle relay, {done}", "relay", "a tick of an idle relay", done,
               "difference", at_most=100.0, to="no other records"),
    ]  # fmt: skip
