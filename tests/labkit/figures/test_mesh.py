"""The mesh of a plan: who holds what, and who talks to whom."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from labkit.figures.mesh import mesh_figure
from labkit.figures.mesh_layout import mesh_layout
from labkit.figures.picture import alt_of
from labkit.figures.style import DARK, LIGHT
from labkit.plan import Plan

SIXTEEN = [
    Plan(),
    Plan(dp=16),
    Plan(dp=7, sync="ring"),
    Plan(dp=2, sync="ring"),
    Plan(dp=16, sync="ring"),
    Plan(dp=2, sync="parameter_server"),
    Plan(dp=16, sync="async_parameter_server"),
    Plan(dp=16, shard="parameters"),
    Plan(dp=3, split="features"),
    Plan(pp=8),
    Plan(pp=16),
    Plan(pp=4, schedule="interleaved1f1b"),
    Plan(pp=5, placement="branches"),
    Plan(tp=16),
    Plan(dp=8, pp=2),
    Plan(dp=2, pp=8),
    Plan(pp=8, tp=2),
    Plan(dp=2, pp=2, tp=4),
    Plan(dp=2, pp=4, tp=2),
]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def arrows(figure: Figure) -> Counter[str]:
    """Number of arrows by the kind of span whose colour they have."""
    kinds = {colour.lower(): kind for kind, colour in LIGHT.spans.items()}
    found = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    return Counter(kinds[to_hex(arrow.get_edgecolor())] for arrow in found)


@pytest.mark.parametrize("plan", SIXTEEN, ids=lambda plan: f"{plan.world_size}-{plan.strategy}")
def test_boxes_stay_in_the_picture_and_apart(plan: Plan) -> None:
    layout = mesh_layout(plan, 0.5, 0.6, 0.2)
    assert [box.rank for box in layout.boxes] == list(range(plan.world_size))
    for box in layout.boxes:
        assert box.x >= 0.2
        assert box.x + box.width <= 8.8
        assert box.y >= 0.5
        assert box.y + box.height <= layout.bottom + 1e-9
    for one, other in combinations(layout.boxes, 2):
        beside = one.x + one.width < other.x or other.x + other.width < one.x
        above = one.y + one.height < other.y or other.y + other.height < one.y
        assert beside or above


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("plan", SIXTEEN, ids=lambda plan: f"{plan.world_size}-{plan.strategy}")
def test_words_stay_in_their_boxes(plan: Plan, theme: Any) -> None:
    figure = mesh_figure(plan, theme=theme, devices_per_host=4)
    figure.draw_without_rendering()
    boxes = {box.rank: box for box in mesh_layout(plan, 0.0, 0.6, 0.2).boxes}
    ranks = [text for text in figure.axes[0].texts if text.get_text().startswith("rank ")]
    assert len(ranks) == plan.world_size
    for text in figure.axes[0].texts:
        extent = text.get_window_extent()
        assert extent.x0 >= 0
        assert extent.x1 <= 900
        assert extent.y0 >= 0
    widest = max(text.get_window_extent().width for text in ranks)
    assert widest < 100 * min(box.width for box in boxes.values())


def test_hybrid_has_a_row_a_replica_a_column_a_stage_and_a_frame_a_tensor_group() -> None:
    plan = Plan(dp=2, pp=2, tp=2)
    figure = mesh_figure(
        plan, [[0, 1], [2, 3]], layer_names=["Embedding", "Block", "Block", "Head"]
    )
    said = texts(figure)
    assert {"replica 0\n1/2 of batch", "replica 1\n1/2 of batch"} <= set(said)
    assert {"stage 0\nEmbedding, Block", "stage 1\nBlock, Head"} <= set(said)
    assert said.count("layers 0-1\nslice 0 of 2") == 2
    assert arrows(figure) == {"comm_pp": 4, "comm_tp": 4, "comm_dp": 4}
    frames = [
        patch
        for patch in figure.axes[0].patches
        if isinstance(patch, FancyBboxPatch)
        and to_hex(patch.get_edgecolor()) == LIGHT.spans["comm_tp"].lower()
    ]
    assert len(frames) == 4


def test_plan_of_a_record_is_drawn_the_same() -> None:
    plan = Plan(dp=2, pp=2)
    assert texts(mesh_figure(plan.to_dict(), [[0], [1]])) == texts(mesh_figure(plan, [[0], [1]]))


def test_replicas_meet_at_a_bar_and_those_of_a_ring_pass_on() -> None:
    assert arrows(mesh_figure(Plan(dp=4))) == {"comm_dp": 4}
    assert "all_reduce of the gradients, in buckets during the backward" in texts(
        mesh_figure(Plan(dp=4))
    )
    ring = mesh_figure(Plan(dp=5, sync="ring"))
    assert arrows(ring) == {"comm_dp": 5}
    assert "gradients: 8 messages of 1/5 each to the next rank" in texts(ring)
    layout = mesh_layout(Plan(dp=5, sync="ring"), 0.5, 0.6, 0.0)
    starts = [arrow.points[0] for arrow in layout.arrows]
    assert len(set(starts)) == 5  # every rank sends once


def test_parameter_server_is_a_star_around_rank_0() -> None:
    figure = mesh_figure(Plan(dp=5, sync="parameter_server"))
    assert arrows(figure) == {"comm_dp": 4}
    assert texts(figure).count("worker\n1/5 of batch") == 4
    assert "server, worker\n1/5 of batch" in texts(figure)
    late = mesh_figure(Plan(dp=3, sync="async_parameter_server", max_staleness=1))
    assert "at most 1 step ahead" in alt_of(late)


def test_branches_are_placed_as_the_ranks_place_them() -> None:
    spare = alt_of(mesh_figure(Plan(pp=5, placement="branches"), num_branches=4))
    assert "rank 0: trunk; rank 1: branch 0; rank 2: branch 1" in spare
    shared = alt_of(mesh_figure(Plan(pp=3, placement="branches"), num_branches=4))
    assert "rank 0: trunk, branches 0, 3; rank 1: branch 1; rank 2: branch 2" in shared
    unknown = alt_of(mesh_figure(Plan(pp=3, placement="branches")))
    assert "rank 0: trunk; rank 1: branch; rank 2: branch" in unknown


def test_virtual_stages_go_round_and_round() -> None:
    plan = Plan(pp=2, schedule="interleaved1f1b")
    figure = mesh_figure(plan, [[0], [1], [2, 3], [4]])
    assert {"stages 0, 2", "stages 1, 3"} <= set(texts(figure))
    assert "layers 0, 2-3" in texts(figure)
    assert arrows(figure) == {"comm_pp": 3}  # there, back, and to the next chunk


@pytest.mark.parametrize(
    ("shard", "pieces"), [("optimizer", 1), ("gradients", 2), ("parameters", 3)]
)
def test_bars_are_full_for_copies_and_pieces_for_shards(shard: Any, pieces: int) -> None:
    patches = mesh_figure(Plan(dp=4, shard=shard)).axes[0].patches
    bars = [patch for patch in patches if type(patch) is Rectangle and patch.get_height() < 0.08]
    outlines = [bar for bar in bars if bar.get_facecolor()[3] == 0]
    filled = [bar for bar in bars if bar.get_facecolor()[3] > 0]
    shares = [b.get_width() / o.get_width() for b, o in zip(filled, outlines, strict=True)]
    assert sorted(shares) == pytest.approx([0.25] * 4 * pieces + [1.0] * 4 * (3 - pieces))
    starts = [b.get_x() - o.get_x() for b, o in zip(filled, outlines, strict=True)]
    width = outlines[0].get_width()
    last_bars = [start / width for start in starts[2::3]]  # of the optimizer, rank by rank
    assert last_bars == pytest.approx([0.0, 0.25, 0.5, 0.75])


def test_hosts_hold_neighbouring_ranks() -> None:
    said = texts(mesh_figure(Plan(dp=8), devices_per_host=4))
    assert [one for one in said if one.startswith("host")] == ["host 0", "host 1"]
    assert not [one for one in texts(mesh_figure(Plan(dp=8))) if one.startswith("host")]
    broken = texts(mesh_figure(Plan(dp=6, sync="ring"), devices_per_host=4))
    assert broken.count("host 0") == 2  # its last rank stands on the other side of the ring


def test_sentence_tells_every_rank() -> None:
    said = alt_of(mesh_figure(Plan(dp=2, shard="optimizer"), devices_per_host=2))
    assert "rank 1: replica 1, 1/2 of batch, shard 1 of optimizer" in said
    assert said.endswith("2 ranks on each host")
    columns = alt_of(mesh_figure(Plan(dp=2, split="features")))
    assert "rank 1: columns 1 of 2, whole batch" in columns
    assert alt_of(mesh_figure(Plan())).endswith("rank 0: whole model, whole batch")
