"""Where the time of a run went: what a perfect speedup would have turned into computing.

Every instant of every rank goes to exactly one part, so the parts add up to the wall time:

- ``compute``: forward, backward, optimiser, without the communication inside them.
- ``exposed_communication``: waiting for a collective that all its ranks have already entered, the
  report of losses among them; handing over messages, and making ready to receive them.
- ``bubble``: a stage waiting for another stage to compute what it needs.
- ``imbalance``: waiting for the slowest rank of a collective to arrive.
- ``data_wait``: reading samples.
- ``startup``: from the call of train until all ranks began the first step together.
- ``other``: the rest, such as the loop itself, checkpoints, and what the ranks tell the client.

Clocks of ranks on one host are comparable, which is what separates waiting from transfer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from labkit.runs.record import CHECKPOINT, COMM_KINDS, COMPUTE_KINDS, Span
from labkit.train.job import RankResult

PARTS = (
    "compute",
    "exposed_communication",
    "bubble",
    "imbalance",
    "data_wait",
    "startup",
    "other",
)

# What an instant counts as when spans overlap: a blocking collective inside a forward or backward
# stops the computing, whereas the all_reduce of a bucket of gradients is hidden behind it.
_PRIORITY = {
    **dict.fromkeys(COMM_KINDS, 4),
    **dict.fromkeys(COMPUTE_KINDS, 3),
    "bucket": 2,
    "data": 1,
    "idle": 0,
}


def attribute(
    results: Sequence[RankResult], *, with_startup: bool = True
) -> tuple[dict[str, float], float]:
    """Share out the wall time of a run, as the mean over its ranks.

    Where a long run has dropped old spans, the steps that every rank still has stand for all.

    Args:
        results: of all ranks, by rank.
        with_startup: whether the time before the first step counts; the declared device of an
            emulated run has none.
    Returns:
        Seconds by part, in the order of ``PARTS``, which sum to the second value: seconds from
        the call of train to the end of the last step on the slowest rank. All zero when no step
        was done.
    """
    ends_s = [result.step_ends_s[-1] for result in results if result.step_ends_s]
    if not ends_s:
        return dict.fromkeys(PARTS, 0.0), 0.0
    start_s, end_s = min(result.loop_start_s for result in results), max(ends_s)
    wall_s = end_s - start_s
    since_s = max([start_s, *(_first_whole_step_s(r) for r in results if r.num_dropped_spans)])
    arrivals = _Arrivals(results)
    seconds = dict.fromkeys(PARTS, 0.0)
    for result in results:
        for span, from_s, to_s in exclusive_pieces(result.spans):
            from_s, to_s = max(from_s, since_s), min(to_s, end_s)
            if to_s > from_s:
                _share_out(seconds, result, span, from_s, to_s, arrivals)
    scale = wall_s / (end_s - since_s) / len(results) if end_s > since_s else 0.0
    shares = {part: scale * seconds[part] for part in PARTS}
    shares["other"] += wall_s - sum(shares.values())
    if with_startup:
        shares["startup"] = start_s
        wall_s += start_s
    return shares, wall_s


def exclusive_pieces(spans: Sequence[Span]) -> Iterator[tuple[Span, float, float]]:
    """Cut overlapping spans of one rank into pieces that do not overlap.

    Yields:
        (span, start_s, end_s): at each instant the span with the highest priority, of equal ones
        the one that started last.
    """
    edges = sorted(
        edge
        for i, span in enumerate(spans)
        for edge in ((span.start_s, i), (span.start_s + span.duration_s, i))
    )
    active: set[int] = set()
    previous_s = 0.0
    for time_s, i in edges:
        if active and time_s > previous_s:
            winner = max(active, key=lambda j: (_priority(spans[j]), spans[j].start_s))
            yield spans[winner], previous_s, time_s
        active ^= {i}
        previous_s = time_s


def _priority(span: Span) -> int:
    return _PRIORITY["bucket" if span.name.startswith("bucket ") else span.kind]


class _Arrivals:
    """When the ranks that a span waits for were ready, by what they did in the same step."""

    def __init__(self, results: Sequence[RankResult]) -> None:
        self.num_stages = 1 + max(result.stage for result in results)
        self._entered: dict[tuple[object, ...], float] = defaultdict(float)
        self._computed: dict[tuple[object, ...], float] = {}
        self._keys: dict[tuple[int, Span], tuple[object, ...]] = {}
        for result in results:
            nth: Counter[tuple[object, ...]] = Counter()
            for span in result.spans:
                self._note(result, span, nth)

    def _note(self, result: RankResult, span: Span, nth: Counter[tuple[object, ...]]) -> None:
        place = (result.replica, result.stage, result.tensor_rank)
        if span.kind in ("forward", "backward"):
            done_s = span.start_s + span.duration_s
            where = (result.replica, span.stage, result.tensor_rank)
            self._computed[(span.kind, span.step, span.microbatch, *where)] = done_s
        elif span.kind == "idle" and span.name != CHECKPOINT:
            self._enter(("idle", span.step), span.start_s)
            self._enter(("idle", span.step, result.replica), span.start_s)
        elif span.kind in ("comm_dp", "comm_tp") and span.bytes:
            group = place[1:] if span.kind == "comm_dp" else place[:2]
            self._meet(result, span, span.name, group, nth)
        elif span.kind == "comm_pp" and span.microbatch < 0:
            what = span.name.partition(" ")[2]  # after "send" on one rank, "receive" on another
            self._meet(result, span, what, (), nth)

    def _meet(
        self,
        result: RankResult,
        span: Span,
        name: str,
        group: tuple[int, ...],
        nth: Counter[tuple[object, ...]],
    ) -> None:
        """Note a call that several ranks enter, each as its n-th one of that name in a step."""
        call = (span.kind, span.step, name)
        key = (*call, nth[call], *group)
        nth[call] += 1
        self._keys[(result.rank, span)] = key
        self._enter(key, span.start_s)

    def _enter(self, key: tuple[object, ...], time_s: float) -> None:
        self._entered[key] = max(self._entered[key], time_s)

    def all_entered_s(self, result: RankResult, span: Span) -> float:
        """When the last rank of a collective entered it."""
        key = self._keys.get((result.rank, span))
        return span.start_s if key is None else self._entered[key]

    def reported_s(self, span: Span, replica: int | None = None) -> float:
        """When the last rank, of one replica or of all, entered a report."""
        which = () if replica is None else (replica,)
        return self._entered[("idle", span.step, *which)]

    def neighbour_ready_s(self, result: RankResult, span: Span) -> float:
        """When the sender had computed what this span receives.

        Of a pipeline, the microbatch's computing on the neighbouring stage; handing over waits for
        nobody there. Of other messages, when both sender and receiver were there.
        """
        if span.microbatch < 0:
            return self.all_entered_s(result, span)
        if span.name.startswith(("send ", "post ")):
            return span.start_s
        is_activation = "activation" in span.name
        key = (
            "forward" if is_activation else "backward",
            span.step,
            span.microbatch,
            *(result.replica, span.stage + (-1 if is_activation else 1), result.tensor_rank),
        )
        return self._computed.get(key, span.start_s)


def _share_out(
    seconds: dict[str, float],
    result: RankResult,
    span: Span,
    from_s: float,
    to_s: float,
    arrivals: _Arrivals,
) -> None:
    """Add a piece of a span to the parts that it belongs to, in the order in time."""
    limits: list[tuple[str, float]]
    if span.kind in COMPUTE_KINDS:
        limits = [("compute", to_s)]
    elif span.kind == "data":
        limits = [("data_wait", to_s)]
    elif span.kind == "comm_pp":
        ready_s = arrivals.neighbour_ready_s(result, span)
        limits = [("bubble", ready_s), ("exposed_communication", to_s)]
    elif span.name == CHECKPOINT:
        limits = [("other", to_s)]
    elif span.kind == "idle":
        # The last stage is done before the first: until its own pipeline has drained it stands
        # in a bubble, after that it waits for other replicas.
        drained_s = arrivals.reported_s(span, result.replica) if arrivals.num_stages > 1 else 0.0
        reported_s = arrivals.reported_s(span)
        limits = [
            ("bubble", drained_s),
            ("imbalance", reported_s),
            ("exposed_communication", to_s),
        ]
    else:
        entered_s = arrivals.all_entered_s(result, span)
        limits = [("imbalance", entered_s), ("exposed_communication", to_s)]
    for part, until_s in limits:
        until_s = min(max(until_s, from_s), to_s)
        seconds[part] += until_s - from_s
        from_s = until_s


def _first_whole_step_s(result: RankResult) -> float:
    """Start of the first step of which no span was dropped; infinite when there is none."""
    whole = (span.start_s for span in result.spans if span.step > result.spans[0].step)
    return next(whole, float("inf"))
