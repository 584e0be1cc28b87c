"""The numbers of a run, as tables beside its pictures."""

from __future__ import annotations

from html import escape

from labkit.runs.record import RunRecord
from widgets.markup import size, table


def run_facts(record: RunRecord) -> str:
    """Speed while it runs; start-up, bytes beside their formula and memory afterwards."""
    facts = [f"<b>{record.throughput_samples_per_s:,.0f}</b> samples/s"]
    if record.step_time_s:
        facts.append(f"<b>{1e3 * record.step_time_s:.1f}</b> ms a step")
    if "correct" in record.accuracy:
        facts.append(f"<b>{record.accuracy['correct']:.1%}</b> of held-out samples right")
    if record.memory_bytes_per_rank:
        facts.append(f"at most <b>{size(max(record.memory_bytes_per_rank))}</b> of memory a rank")
    line = f'<p class="lab-facts">{"".join(f"<span>{fact}</span>" for fact in facts)}</p>'
    if record.status in ("starting", "running"):
        return line
    if record.error:
        return line + f"<pre>{escape(record.error)}</pre>"
    return f'{line}<div class="lab-tables">{_startup(record)}{_communication(record)}</div>'


def _startup(record: RunRecord) -> str:
    names = {
        "cluster": "finding workers",
        "ranks": "rank processes and process group",
        "first_step": "from the call to the end of the first step",
    }
    rows = [
        (said, f"{1e3 * record.startup_s[name]:.0f} ms")
        for name, said in names.items()
        if name in record.startup_s
    ]
    return table("Start-up", ("phase", "time"), rows) if rows else ""


def _communication(record: RunRecord) -> str:
    measured, formula = record.comm_bytes["measured"], record.comm_bytes["formula"]
    rows = [
        (kind, size(measured.get(kind, 0)), size(formula.get(kind, 0)))
        for kind in dict.fromkeys((*measured, *formula))
        if measured.get(kind) or formula.get(kind)
    ]
    columns = ("collective", "measured", "by formula")
    return table("Bytes communicated, all ranks and steps", columns, rows) if rows else ""


def attribution_alt(record: RunRecord) -> str:
    """The attribution in one sentence."""
    total = sum(record.attribution_s.values())
    parts = ", ".join(
        f"{name.replace('_', ' ')} {seconds / total:.0%}"
        for name, seconds in record.attribution_s.items()
        if seconds / total >= 0.005
    )
    return f"Where the time of {record.workload['name']} went: {parts}"
