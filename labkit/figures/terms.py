"""Who led the ranks of a run, term by term."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from labkit.figures.picture import describe
from labkit.figures.remark import RemarkText, remark_on
from labkit.figures.style import (
    LIGHT,
    SMALL_PT,
    Theme,
    add_title,
    label_axes,
    new_figure,
    place_axes,
    style_axes,
)
from labkit.runs.record import RunRecord

ROW_IN = 0.42
MARK_ROWS = 0.5  # above the bars, for the words of the marks
MOST_SAID = 8  # terms beyond which only their numbers have room at the bars


def terms_figure(
    record: RunRecord, marks: Mapping[str, float] | None = None, theme: Theme = LIGHT
) -> Figure:
    """A bar for each term on the line of the rank that led, from its election to its end.

    Args:
        record: of a run with leaders, live or ended.
        marks: what happened, and when: seconds since the call of train.
        theme: light or dark.
    Returns:
        A figure 900 px wide at 100 dpi.
    Raises:
        ValueError: the run has had no leader.
    """
    leaders = record.leaders
    if not leaders:
        raise ValueError(f"run {record.run} has had no leader; one rank alone elects none")
    ends_s = _ends(record)
    ranks = sorted({leader["rank"] for leader in leaders})
    remark = remark_on([record])
    marked = MARK_ROWS if marks else 0.0
    height_in = 1.3 + ROW_IN * (len(ranks) + marked) + remark.height_in
    figure = new_figure(height_in, theme)
    RemarkText(figure, theme, remark)
    axes = place_axes(figure, left=0.8, right=0.3, bottom=0.55 + remark.height_in, top=0.4)
    style_axes(axes, theme, grid="x")
    said = []
    for leader, end_s in zip(leaders, ends_s, strict=True):
        begin_s, row = leader["elected_at_s"], ranks.index(leader["rank"])
        colour = theme.classes[leader["attempt"] % len(theme.classes)]
        axes.barh(row, end_s - begin_s, left=begin_s, height=0.5, color=colour)
        ended = leader["ended"] or "leads"
        words = f"term {leader['term']}: {ended}" if len(leaders) <= MOST_SAID else leader["term"]
        axes.text(
            begin_s, row + 0.40, words, va="center", fontsize=SMALL_PT, color=theme.foreground,
        )  # fmt: skip
        said.append(f"term {leader['term']} rank {leader['rank']} from {begin_s:.2f} s, {ended}")
    for name, at_s in (marks or {}).items():
        axes.axvline(at_s, color=theme.foreground, ls="--", lw=1.2)
        axes.annotate(
            name, (at_s, 1), xycoords=axes.get_xaxis_transform(), xytext=(4, -4),
            textcoords="offset points", va="top", fontsize=SMALL_PT, color=theme.muted,
        )  # fmt: skip
        said.append(f"{name} at {at_s:.2f} s")
    axes.set_xlim(left=0)
    axes.set_yticks(range(len(ranks)), [f"rank {rank}" for rank in ranks])
    axes.set_ylim(-0.45, len(ranks) - 0.3 + marked)
    label_axes(
        axes, theme, x="seconds on the wall since the start; a colour for each start of the ranks"
    )
    add_title(axes, theme, "Who leads", remark.kind_note)
    describe(figure, f"Leaders of the run: {'; '.join(said)}{remark.spoken}")
    return figure


def _ends(record: RunRecord) -> list[float]:
    """When each leader ended: with its failure, else when the next one was elected at the latest.

    Returns:
        Seconds since the call of train, by term; not before the leader's election.
    """
    failures = {entry["attempt"] - 1: entry for entry in record.recoveries}
    following_s = [leader["elected_at_s"] for leader in record.leaders[1:]]
    following_s.append(_last_heard_s(record))
    ends_s = []
    for leader, end_s in zip(record.leaders, following_s, strict=True):
        failure = failures.get(leader["attempt"])
        if failure is not None and leader["ended"] == failure["cause"]:
            end_s = min(end_s, failure["at_s"])
        ends_s.append(max(end_s, leader["elected_at_s"]))
    return ends_s


def _last_heard_s(record: RunRecord) -> float:
    """When a run was last heard of, on the wall; an emulated one's steps are on another clock."""
    heard_s = [record.load[-1].at_s] if record.load else [0.0]
    if record.steps and record.kind == "measured":
        heard_s.append(record.steps[-1].end_s)
    return max(heard_s)
