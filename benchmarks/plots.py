"""The measures as bars, one drawing a part, with their noise as whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .samples import Measure

#: What the drawing of each part shows.
NAMES: Final = {
    "descriptor": "Calls and look-ups with and without the decorator",
    "imports": "Import times",
    "codec": "Bytes and microseconds of messages",
    "instructions": "Instructions of a message, counted by callgrind",
    "publish": "Messages published per second",
    "counts": "Queries, sessions and fetches",
    "consume": "Tasks consumed per second, and CPU of the consumer",
    "bulk": "Rows sent and run per second",
    "durable": "Transactions that send a task, and bulks of durable methods",
    "relay": "Stored messages sent, and durable tasks run",
    "memory": "Growth of the sending process",
}

_OURS: Final = ("cereal-pickle", "cereal-json", "json", "@model_task", "bulk_delay", "batch_size")
_COLUMNS: Final = 3


def draw(folder: Path, measures: Sequence[Measure]) -> None:
    """Write one SVG a part."""
    # Here, so that it is no burden for the processes that measure.
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text: a tenth of the size
    mpl.rcParams["svg.hashsalt"] = "cereal_methods"
    from matplotlib import pyplot as plt

    for part in dict.fromkeys(measure.part for measure in measures):
        shown = [measure for measure in measures if measure.part == part]
        columns = min(_COLUMNS, len(shown))
        rows = -(-len(shown) // columns)
        height = 0.9 + 0.32 * max(len(measure.samples) for measure in shown)
        size = (5.2 * columns, height * rows)
        figure, axes = plt.subplots(
            rows, columns, figsize=size, squeeze=False, layout="constrained"
        )
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        for axis, measure in zip(axes.flat, shown, strict=False):
            _bars(axis, measure)
        figure.suptitle(NAMES.get(part, part))
        figure.savefig(folder / f"{part}.svg", metadata={"Date": None})
        plt.close(figure)


def _bars(axis: Any, measure: Measure) -> None:
    names = list(measure.samples)
    figures = [measure.figure(name) for name in names]
    colours = ["#2a6fbb" if name.startswith(_OURS) else "#9aa5b1" for name in names]
    axis.barh(
        names,
        [figure.median for figure in figures],
        xerr=None if measure.exact else [figure.noise for figure in figures],
        color=colours,
        ecolor="#333333",
        capsize=2,
    )
    axis.invert_yaxis()
    # matplotlib takes what stands between two dollars for mathematics.
    better = "less" if measure.less_is_better else "more"
    axis.set_title(f"{measure.name}\n{measure.unit or 'count'}; {better} is better", fontsize=9)
    axis.tick_params(labelsize=8)
    for spine in ("top", "right"):
        axis.spines[spine].set_visible(False)
