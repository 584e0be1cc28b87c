"""What each step of preprocessing does to learning: trained with all steps, and without each.

The article claims that the quality of the data is the upper limit of learning. One call measures
it. The same things are held out in every variant, since the split follows from their keys, and
each counts once. Where the data are made up, the *true* class of a thing decides, so that wrong
labels among the held-out rows cannot. What differs is what a variant does with these rows before
they reach the model: it treats them as it would treat new data, and only the training rows say how.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from labkit.errors import RunStopped, SettingError
from labkit.preprocess.preprocess import NO_SETTINGS, PREPROCESSED
from labkit.runs.step_effect_result import StepEffect, Trial, VariantEffect
from labkit.workload import Workload, find_workload

if TYPE_CHECKING:
    from labkit.cluster.cluster import Cluster
    from labkit.preprocess.choose import Planned
    from labkit.preprocess.spec import PipelineSpec

# Statistics only looks, so it is no variant and in none of them.
CHANGING = ("integration", "cleaning", "reduction", "transformation")
VARIANTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "all steps": CHANGING,
        **{f"no {step}": tuple(s for s in CHANGING if s != step) for step in CHANGING},
        "no step": (),
    }
)
MADE = ("fruit",)  # specifications whose data each seed draws anew; others are real


def step_effect(
    workload: str | Workload = "fruit",
    *,
    cluster: Cluster,
    rows: int = 20_000,
    seeds: Sequence[int] = range(5),
    steps: int = 40,
    variants: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    sources: Sequence[str | Path] | None = None,
    spec: str | Path | PipelineSpec | None = None,
    settings: Mapping[str, Mapping[str, Any]] = NO_SETTINGS,
    hide: Sequence[str] = (),
    redraw: bool = True,
    on_update: Callable[[StepEffect], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> StepEffect:
    """Train a workload on data that went through all steps, and without each single one.

    Args:
        workload: a bundled name or a ``Workload``; its dataset, or ``spec``, is a specification.
        cluster: where to preprocess and to train; one worker trains.
        rows: of made-up data, >= 1.
        seeds: each gives other initial weights and another order of samples, and with ``redraw``
            other rows.
        steps: optimiser steps of each training, >= 1.
        variants: some of ``VARIANTS``, or by name the steps that are done; ``None`` for all.
        sources: paths or URLs; ``None`` takes those of the specification.
        spec: as of ``preprocess``; ``None`` takes the one that the workload's dataset is named by.
        settings: of the steps, as of ``preprocess``; the same in every variant.
        hide: columns that no variant is shown. Sources say much twice, so that what is wrong with
            one column is made good by others; a task with fewer columns shows it.
        redraw: make the data anew for each seed, where they are made up; otherwise all seeds
            share those of the first, and every variant is preprocessed once.
        on_update: called in this thread with what there is, after each seed.
        should_stop: polled; what there is by then is returned.
    Returns:
        Accuracy, seconds, rows and inputs of each variant. One that could not be trained says why.
    Raises:
        SettingError: no such variant, no seed, or a dataset that no specification describes.
        SourceError, WorkloadError: what keeps every variant from being trained.
    """
    from labkit.preprocess import folders
    from labkit.preprocess.choose import chosen_spec, plan_sources
    from labkit.preprocess.spec import find_spec
    from labkit.preprocess.tasks import OnCluster
    from labkit.runs.hidden_columns import hide_columns
    from labkit.runs.step_trials import StepLab

    workload = find_workload(workload)
    chosen_steps = check_variants(variants, seeds, steps)
    if spec is None and workload.dataset not in PREPROCESSED:
        raise SettingError(
            f"workload {workload.name!r} learns from {workload.dataset!r}, which goes through no "
            f"steps; choose a workload on {' or '.join(PREPROCESSED)}, or give spec"
        )
    described = hide_columns(find_spec(workload.dataset if spec is None else spec), hide)
    chosen = chosen_spec(described, None, (), settings, has_sources=bool(sources))
    executor = OnCluster(cluster.client, should_stop=should_stop)
    base = f"{cluster.folder}/step-effect-{uuid.uuid4().hex[:8]}"
    lab = StepLab(executor, cluster, workload, steps, base)
    paths = None if sources is None else [str(source) for source in sources]
    trials: dict[str, list[Trial]] = {name: [] for name in chosen_steps}
    planned: Planned | None = None
    effect = None
    try:
        for seed in seeds:
            if planned is None or (redraw and sources is None and planned.spec.name in MADE):
                data = lab.new_folder("data")
                planned = plan_sources(executor, chosen, paths, data, rows=rows, seed=seed)
                prepared = lab.prepare_all(chosen_steps, planned)
            for name, trial in lab.try_all(prepared, planned, seed).items():
                trials[name].append(trial)
            effect = StepEffect(
                workload=workload.name,
                dataset=planned.spec.name,
                training_steps=steps,
                variants=tuple(
                    VariantEffect(name, tuple(chosen_steps[name]), tuple(each))
                    for name, each in trials.items()
                ),
            )
            if on_update is not None:
                on_update(effect)
    except RunStopped:
        if effect is None:
            raise
    finally:
        lab.forget(folders.discard)
    assert effect is not None, "there is at least one seed"
    return effect


def check_variants(
    variants: Sequence[str] | Mapping[str, Sequence[str]] | None, seeds: Sequence[int], steps: int
) -> dict[str, tuple[str, ...]]:
    """By name the steps of each variant, in their order.

    Raises:
        SettingError: a variant, a step, or a number that there is not.
    """
    if not seeds:
        raise SettingError("no seed to train with; give at least one")
    if steps < 1:
        raise SettingError(f"steps={steps} is not a length; choose a number >= 1")
    if isinstance(variants, Mapping):
        unknown = [s for each in variants.values() for s in each if s not in CHANGING]
        if unknown or not variants:
            raise SettingError(
                f"variants hold {', '.join(map(repr, unknown)) or 'nothing'}; choose from the "
                f"steps {', '.join(CHANGING)}"
            )
        return {n: tuple(s for s in CHANGING if s in each) for n, each in variants.items()}
    names = list(VARIANTS) if variants is None else list(dict.fromkeys(variants))
    unknown = [name for name in names if name not in VARIANTS]
    if unknown or not names:
        raise SettingError(
            f"variants {', '.join(map(repr, unknown)) or 'are empty'}; choose from "
            f"{', '.join(VARIANTS)}, or give the steps of each by name"
        )
    return {name: VARIANTS[name] for name in names}
