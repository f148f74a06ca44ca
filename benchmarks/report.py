"""What was found, as text, as Markdown and as JSON, in a folder with the date in its name."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import machine, plots

if TYPE_CHECKING:
    from .lab import Lab
    from .samples import Measure
    from .targets import Outcome


def write(
    folder: Path,
    measures: Sequence[Measure],
    outcomes: Sequence[Outcome],
    minutes: dict[str, float],
    lab: Lab,
) -> Path:
    """Write it all, and return the new folder."""
    now = datetime.now(UTC)
    folder = folder / f"{now:%Y-%m-%d-%H%M}{'-quick' if lab.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "at": now.isoformat(timespec="seconds"),
        "quick": lab.quick,
        "repeat": lab.repeat,
        "concurrency": lab.concurrency,
        "minutes": {part: round(value, 1) for part, value in minutes.items()},
        **machine.describe(),
    }
    as_json = {
        "about": about,
        "targets": [_target_as_json(outcome) for outcome in outcomes],
        "measures": [measure.as_json() for measure in measures],
    }
    (folder / "results.json").write_text(json.dumps(as_json, indent=1) + "\n")
    (folder / "README.md").write_text(as_markdown(about, measures, outcomes, plots.NAMES))
    plots.draw(folder, measures)
    return folder


def as_text(measure: Measure) -> str:
    """Return one measure as a table of plain text."""
    rows = _rows(measure)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"\n{_title(measure)}"]
    lines += ["  " + _aligned(row, widths) for row in rows]
    return "\n".join(lines)


def outcomes_as_text(outcomes: Sequence[Outcome]) -> str:
    """Return the targets that were measured as a table, and what follows."""
    rows = [_outcome(outcome) for outcome in outcomes if outcome.figure is not None]
    if not rows:
        return "\nNo target was measured."
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        ["\nTargets", *("  " + _aligned(row, widths) for row in rows), summary(outcomes)]
    )


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return one line that says how many targets were reached."""
    verdicts = [outcome.reached for outcome in outcomes]
    reached, missed = verdicts.count(True), verdicts.count(False)
    return (
        f"{reached} of {reached + missed} targets reached, {missed} missed, "
        f"{verdicts.count(None)} not measured."
    )


def as_markdown(
    about: dict[str, Any],
    measures: Sequence[Measure],
    outcomes: Sequence[Outcome],
    names: dict[str, str],
) -> str:
    """Return all of it as Markdown."""
    lines = [f"# Benchmarks, {about['at'][:10]}", ""]
    if about["quick"]:
        lines += ["A quick run: it shows that everything works, and its figures are noisy.", ""]
    lines += ["```json", json.dumps(about, indent=1), "```", "", "## Targets", ""]
    lines += [summary(outcomes), ""]
    lines += _table(["target", "bound", "measured", "noise", ""], map(_outcome, outcomes))
    for part in dict.fromkeys(measure.part for measure in measures):
        lines += [f"## {part}", "", f"![{names.get(part, part)}]({part}.svg)", ""]
        for measure in measures:
            if measure.part == part:
                rows = _rows(measure)
                header = rows.pop(0) if measure.unit else ["", ""]
                lines += [f"**{_title(measure)}**", ""]
                lines += [measure.note, ""] if measure.note else []
                lines += _table(header, rows)
    return "\n".join(lines).rstrip() + "\n"


def _title(measure: Measure) -> str:
    better = "less" if measure.less_is_better else "more"
    unit = f"{measure.unit}; " if measure.unit else ""
    return f"{measure.part}: {measure.name} ({unit}{better} is better)"


def _rows(measure: Measure) -> list[list[str]]:
    unit = measure.unit
    if measure.exact:
        rows = [["", unit]] if unit else []
        rows += [[name, number(values[0])] for name, values in measure.samples.items()]
        return rows
    compares = measure.floor in measure.samples
    rows = [["", unit, "noise", *(["to " + str(measure.floor), "noise"] if compares else [])]]
    for name in measure.samples:
        figure = measure.figure(name)
        row = [name, number(figure.median), f"± {number(figure.noise)}"]
        if compares:
            ratio = measure.ratio(name)
            is_floor = name == measure.floor
            row += ["", ""] if is_floor else [f"{ratio.median:.3f}", f"± {ratio.noise:.3f}"]
        rows.append(row)
    return rows


def _outcome(outcome: Outcome) -> list[str]:
    target, figure = outcome.target, outcome.figure
    bounds = (target.at_least, target.at_most)
    unit = "" if target.way == "ratio" else f" {outcome.unit}"
    if bounds[0] == bounds[1]:
        bound = f"{bounds[0]:g}"
    else:
        bound = f"≥ {bounds[0]:g}" if bounds[0] is not None else f"≤ {bounds[1]:g}"
    if figure is None:
        return [target.text, bound, "", "", outcome.verdict]
    digits = 3 if target.way == "ratio" else 1
    measured = f"{figure.median:.{digits}f}{unit}" if unit != " " else f"{figure.median:g}"
    return [target.text, bound, measured, f"± {figure.noise:.{digits}f}", outcome.verdict]


def _target_as_json(outcome: Outcome) -> dict[str, Any]:
    target, figure = outcome.target, outcome.figure
    return {
        "target": target.text,
        "at_least": target.at_least,
        "at_most": target.at_most,
        "measured": figure and figure.median,
        "noise": figure and figure.noise,
        "unit": "" if target.way == "ratio" else outcome.unit,
        "verdict": outcome.verdict,
    }


def number(value: float) -> str:
    """Return a number with three digits that say something, or more."""
    if math.isnan(value):
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.{1 if abs(value) >= 100 else 2}f}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _table(header: Sequence[str], rows: Any) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = ["---", *("---:" for _ in header[1:])]
    return [line(header), line(rule), *map(line, rows), ""]
