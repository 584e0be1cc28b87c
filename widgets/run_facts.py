"""The numbers of a run, as tables beside its pictures."""

from __future__ import annotations

from html import escape

from labkit.runs.record import RunRecord
from widgets.markup import duration, size, table


def run_facts(record: RunRecord) -> str:
    """Speed while it runs; accuracy and memory afterwards."""
    facts = [f"<b>{record.throughput_samples_per_s:,.0f}</b> samples/s"]
    if record.step_time_s:
        facts.append(f"<b>{duration(record.step_time_s)}</b> a step")
    ideal_s = record.ideal.get("step_time_s")
    if ideal_s and record.step_time_s:
        share = record.step_time_s / ideal_s
        facts.append(f"<b>{share:.2f} x</b> the ideal step of {duration(ideal_s)}")
    if "correct" in record.accuracy:
        facts.append(f"<b>{record.accuracy['correct']:.1%}</b> of held-out samples right")
    if record.memory_bytes_per_rank:
        facts.append(f"at most <b>{size(max(record.memory_bytes_per_rank))}</b> of memory a rank")
    line = f'<p class="lab-facts">{"".join(f"<span>{fact}</span>" for fact in facts)}</p>'
    if record.status in ("starting", "running"):
        return line
    if record.error:
        return line + f"<pre>{escape(record.error)}</pre>"
    return line


def startup(record: RunRecord) -> str:
    """How long it took until the first step was done, as a table."""
    names = {
        "cluster": "finding workers",
        "ranks": "rank processes and process group",
        "first_step": "from the call to the end of the first step",
    }
    rows = [
        (said, duration(record.startup_s[name]))
        for name, said in names.items()
        if name in record.startup_s
    ]
    return table("Start-up on this machine", ("phase", "time"), rows) if rows else ""


def communication(record: RunRecord) -> str:
    """What the collectives carried, as a table."""
    measured, formula = record.comm_bytes["measured"], record.comm_bytes["formula"]
    rows = [
        (kind, size(measured.get(kind, 0)), size(formula.get(kind, 0)))
        for kind in dict.fromkeys((*measured, *formula))
        if measured.get(kind) or formula.get(kind)
    ]
    columns = ("collective", "measured", "by formula")
    return table("Bytes communicated, all ranks and steps", columns, rows) if rows else ""
