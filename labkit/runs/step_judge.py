"""What runs beside the data for ``step_effect``: right answers, thing by thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labkit.cluster.rank_context import RankContext
from labkit.preprocess.folders import WORK
from labkit.preprocess.schema import KEY, Schema, label_codes
from labkit.preprocess.shards import ShardReader
from labkit.preprocess.split import hash_ids, is_test
from labkit.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

MAX_THINGS = 20_000  # that are judged; the same in every variant
CHUNK = 4_096  # samples at a time
TRUTH_FILES = "truth/part-*.parquet"  # of made-up data, beside their sources


@dataclass(frozen=True, slots=True)
class Judged:
    """How well a model does on the things that were held out.

    Attributes:
        keys: (things,) rising.
        recorded: (things,) share of a thing's rows whose recorded class is predicted.
        true: (things,) share for which its true class is; NaN where that is not known.
    """

    keys: NDArray[np.int64]
    recorded: NDArray[np.float64]
    true: NDArray[np.float64]


def judge_rank(
    ctx: RankContext,
    workload: Workload,
    folder: str,
    weights: Mapping[str, NDArray[Any]],
    schema: Schema,
    truth_folder: str,
) -> Judged:
    """Let a trained model classify the held-out rows of a dataset that kept its work.

    Args:
        ctx: of the one rank.
        workload: names the model.
        folder: of the dataset, with the integrated rows that its shards were made of.
        weights: of the trained model.
        schema: of the sources: names label and key.
        truth_folder: where ``truth`` lies, if anywhere.
    """
    import torch

    from labkit.train.evaluate import load_weights
    from labkit.train.rank import build_model

    reader = ShardReader(folder, "test")
    model = load_weights(build_model(workload, reader.manifest), weights).to(ctx.device).eval()
    precision = next(model.parameters()).dtype
    answers, targets = [], []
    for start in range(0, reader.num_samples, CHUNK):
        places = np.arange(start, min(start + CHUNK, reader.num_samples))
        inputs, recorded = reader.take(places)
        with torch.no_grad():
            logits = model(torch.from_numpy(inputs).to(ctx.device, precision))
        answers.append(logits.argmax(dim=1).cpu().numpy())
        targets.append(recorded)
    keys = held_out_keys(folder, schema)
    assert len(keys) == reader.num_samples, f"{len(keys)} keys of {reader.num_samples} samples"
    true = true_classes(keys, schema, truth_folder)
    return by_thing(keys, np.concatenate(answers), np.concatenate(targets), true)


def held_out_keys(folder: str, schema: Schema) -> NDArray[np.int64]:
    """(samples,) the key of each held-out sample, in the order of the shards."""
    from labkit.preprocess.parts import ArrowRows

    keys = [np.empty(0, dtype=np.int64)]
    names = (KEY, schema.label) if schema.label else (KEY,)
    for path in sorted((Path(folder) / WORK).glob("integrated-*.arrow")):
        frame = ArrowRows(((str(path), 0, None),), columns=names).read()
        held_out = is_test(frame[KEY].to_numpy())
        if schema.label:
            held_out &= label_codes(frame, schema) >= 0
        keys.append(frame[KEY].to_numpy()[held_out])
    return np.concatenate(keys)


def true_classes(keys: NDArray[np.int64], schema: Schema, truth_folder: str) -> NDArray[np.float64]:
    """(samples,) the code of the true class of each, NaN where nobody knows it."""
    import pandas as pd

    files = sorted(Path(truth_folder).glob(TRUTH_FILES)) if truth_folder else []
    if not files or len(schema.key) != 1:
        return np.full(len(keys), np.nan)
    names = [schema.key[0], schema.label]
    truth: pd.DataFrame = pd.concat([pd.read_parquet(file, columns=names) for file in files])
    found: NDArray[np.float64] = (
        truth.set_index(names[0])[names[1]].reindex(keys).to_numpy(dtype=np.float64)
    )
    return found


def by_thing(
    keys: NDArray[np.int64],
    answers: NDArray[np.integer[Any]],
    recorded: NDArray[np.integer[Any]],
    true: NDArray[np.float64],
) -> Judged:
    """Right answers by thing: each counts once, however many rows describe it.

    Args:
        keys, answers, recorded, true: (samples,) what each describes, and its three classes.
    """
    things, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    right = np.bincount(place, weights=answers == recorded, minlength=len(things)) / counts
    truly = np.where(np.isnan(true), np.nan, answers == true)
    right_truly = np.bincount(place, weights=truly, minlength=len(things)) / counts
    if len(things) > MAX_THINGS:
        chosen = np.sort(np.argsort(hash_ids(~things), kind="stable")[:MAX_THINGS])
        things, right, right_truly = things[chosen], right[chosen], right_truly[chosen]
    return Judged(things, right, right_truly)


def largest_input(folder: str) -> float:
    """The greatest size of any input of the training samples; NaN if one is not a number."""
    reader = ShardReader(folder, "train")
    largest = 0.0
    for start in range(0, reader.num_samples, CHUNK):
        places = np.arange(start, min(start + CHUNK, reader.num_samples))
        largest = float(np.maximum(largest, np.abs(reader.take(places)[0]).max()))
    return largest
