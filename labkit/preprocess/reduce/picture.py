"""What reduction shows: a line for people, figures by name, and points to draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.preprocess.reduce.components import angle_between
from labkit.preprocess.reduce.find import Findings
from labkit.preprocess.reduce.fitted import Reduction
from labkit.preprocess.schema import KEY, Schema, label_codes
from labkit.preprocess.split import hash_ids

SCATTER_POINTS = 500


def note_of(fitted: Reduction, found: Findings) -> str:
    """One line: what was dropped, and what became of the rest."""
    said = [f"{len(fitted.dropped)} useless columns dropped"]
    if fitted.components:
        explained = sum(fitted.components.explained)
        said.append(
            f"{len(found.kept)} became {len(fitted.components.names)} components that explain "
            f"{explained:.1%} of the variance"
        )
    elif found.kept:
        said.append(f"{len(found.kept)} go on as they are")
    if fitted.wavelet:
        said.append(
            f"signals of {len(fitted.wavelet.columns)} values became {len(fitted.wavelet.names)} "
            f"wavelet coefficients that hold {sum(fitted.wavelet.energy):.1%} of the energy"
        )
    return ", ".join(said)


def details_of(fitted: Reduction, found: Findings) -> dict[str, Any]:
    """Figures by name, plain values."""
    details: dict[str, Any] = {
        "dropped": dict(fitted.dropped),
        "columns": list(found.kept),
        "names": fitted.names,
        "importance": dict(found.importance),
        "label_bits": found.label_bits,
        "correlation": {
            "columns": list(found.compared),
            "matrix": found.correlation.tolist(),
        },
    }
    if fitted.components:
        details["loadings"] = fitted.components.loadings
        details["explained"] = fitted.components.explained
    if found.exact and found.sampled:
        details["sample"] = {
            "rows": found.num_sampled,
            "explained_exact": found.exact.all_explained,
            "explained_sampled": found.sampled.all_explained,
            "components_exact": len(found.exact.names),
            "components_sampled": len(found.sampled.names),
            "angle_deg": angle_between(found.exact, found.sampled),
        }
    if fitted.wavelet:
        details["wavelet"] = {
            "wavelet": fitted.wavelet.basis.wavelet,
            "shape": fitted.wavelet.basis.shape,
            "levels": fitted.wavelet.basis.levels,
            "positions": fitted.wavelet.positions,
            "energy": fitted.wavelet.energy,
            "lost": 1 - sum(fitted.wavelet.energy),
        }
    return details


def picture_of(
    fitted: Reduction, found: Findings, sample: pd.DataFrame, schema: Schema
) -> dict[str, Any]:
    """Shares of the components, some training rows along the first two, bits by column.

    The points are those of the sample whose keys hash lowest. Where columns go on as they are,
    they are still drawn along their components; where there is only a signal, along its
    coefficients; where there are only categories, there is nothing to draw.
    """
    order = np.argsort(hash_ids(sample[KEY].to_numpy()), kind="stable")[:SCATTER_POINTS]
    chosen = sample.iloc[order]
    drawn = fitted.components or found.exact
    axes: list[str] = []
    places: NDArray[np.float64] = np.empty((0, len(chosen)))
    explained: list[float] = []
    num_kept = 0
    if drawn:
        axes, places, explained = drawn.names[:2], drawn.project(chosen)[:2], [*drawn.all_explained]
        num_kept = len(fitted.components.names) if fitted.components else len(found.kept)
    elif fitted.wavelet:
        axes = fitted.wavelet.names[:2]
        places = fitted.wavelet.transform(fitted.wavelet.signals_of(chosen)).T[:2]
        explained = sorted(fitted.wavelet.all_energy, reverse=True)
        num_kept = len(fitted.wavelet.names)
    nowhere = [0.0] * len(chosen)  # one component alone is drawn on a line
    names = [*schema.class_names, "unknown"]
    picture: dict[str, Any] = {
        "explained": explained,
        "num_kept": num_kept,
        "axes": axes,
        "points": {
            "x": places[0].tolist() if len(places) > 0 else nowhere,
            "y": places[1].tolist() if len(places) > 1 else nowhere,
            "class": [names[code] for code in label_codes(chosen, schema)],
        },
        "importance": dict(found.importance),
        "correlation": {"columns": list(found.compared), "matrix": found.correlation.tolist()},
    }
    if fitted.wavelet:
        energy = np.cumsum(np.sort(fitted.wavelet.all_energy)[::-1])
        picture["energy"] = {"held": energy.tolist(), "num_kept": len(fitted.wavelet.names)}
    return picture
