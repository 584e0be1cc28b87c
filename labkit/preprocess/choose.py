"""Which specification describes the sources, and what of them is read.

Runs partly on a worker, since the sources lie on the workers' host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from labkit.errors import SettingError, SourceError
from labkit.preprocess import folders, resume
from labkit.preprocess.flights import write_flight_sources
from labkit.preprocess.fruit_files import write_fruit_sources
from labkit.preprocess.integrate.lookup_files import LookupFiles, save_lookups, without_lookups
from labkit.preprocess.sources.find import SourcePart, find_parts
from labkit.preprocess.sources.infer import infer_spec_values
from labkit.preprocess.sources.places import hide_password
from labkit.preprocess.spec import SPECS, PipelineSpec, find_spec, with_settings
from labkit.preprocess.tasks import Executor

# What makes the sources of a bundled specification: (folder, rows, seed, executor) -> paths.
MAKERS: Mapping[str, Callable[[str, int, int, Executor], list[str]]] = MappingProxyType(
    {"fruit": write_fruit_sources, "flights": write_flight_sources}
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the user said about the sources; plain enough to be compared by ``repr``.

    Attributes:
        spec: the specification; ``None`` finds one that fits.
        label, key: for sources that none describes.
        settings: by step, to be used instead of the specification's.
    """

    spec: PipelineSpec | None
    label: str | None
    key: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Planned:
    """What will be read, and how."""

    spec: PipelineSpec
    parts: Sequence[SourcePart]
    lookups: LookupFiles
    origin: Any  # where the sources came from, plain values


def chosen_spec(
    spec: str | Path | PipelineSpec | None,
    label: str | None,
    key: str | Sequence[str],
    settings: Mapping[str, Mapping[str, Any]],
    *,
    has_sources: bool,
) -> Chosen:
    """What the arguments of ``preprocess`` say; checked before anything starts.

    Raises:
        SettingError: an unknown specification or setting, or ones that do not go together.
    """
    if spec is not None and (label is not None or key):
        raise SettingError(
            f"spec={str(spec)!r} names label and key itself; leave out label and key, or spec"
        )
    found = None
    if spec is not None or not has_sources:
        found = find_spec("fruit" if spec is None else spec)
        if not has_sources and found.name not in MAKERS:
            raise SettingError(
                f"specification {found.name!r} brings no data; give sources, or choose from "
                f"{', '.join(MAKERS)}"
            )
        with_settings(found, settings)
    names = (key,) if isinstance(key, str) else tuple(key)
    return Chosen(found, label, names, {step: dict(each) for step, each in settings.items()})


def plan_sources(
    executor: Executor,
    chosen: Chosen,
    paths: Sequence[str] | None,
    folder: str,
    *,
    rows: int,
    seed: int,
) -> Planned:
    """Make the sources if none are given, and find what they hold.

    Args:
        executor: reads headers on a worker.
        chosen: what the user said.
        paths: of the sources; ``None`` makes those of the specification under ``folder``.
        folder: of the dataset.
        rows, seed: of made fruit.
    """
    origin: Any = [hide_password(path) for path in paths] if paths is not None else None
    if paths is None:
        assert chosen.spec is not None, "chosen_spec has found one"
        paths = MAKERS[chosen.spec.name](folder, rows, seed, executor)
        origin = {"made": chosen.spec.name, "rows": rows, "seed": seed}
    spec, parts = executor.call(find_and_describe, list(paths), chosen)
    lookups = executor.call(save_lookups, list(paths), spec, folder)
    return Planned(spec, parts, lookups, origin)


def check_sources(paths: Sequence[str | Path], chosen: Chosen) -> None:
    """Refuse sources of this host that cannot be used, before a cluster is launched for them.

    Raises:
        SourceError: as ``find_parts``.
    """
    find_and_describe([str(path) for path in paths], chosen)


def find_and_describe(
    paths: Sequence[str], chosen: Chosen
) -> tuple[PipelineSpec, list[SourcePart]]:
    """The specification with its settings, and the parts of the sources; on the sources' host.

    Raises:
        SourceError: as ``find_parts``.
    """
    spec = chosen.spec or _fitting_spec(paths, chosen)
    spec = with_settings(spec, chosen.settings)
    return spec, find_parts(without_lookups(paths, spec), spec.sources, spec.schema)


def _fitting_spec(paths: Sequence[str], chosen: Chosen) -> PipelineSpec:
    """A bundled specification that the sources match, else one that is inferred from them."""
    if not chosen.label and not chosen.key:
        for name in SPECS:
            spec = find_spec(name)
            try:
                find_parts(without_lookups(paths, spec), spec.sources, spec.schema)
            except (SourceError, SettingError):
                continue
            return spec
    values = infer_spec_values(paths, label=chosen.label, key=chosen.key)
    return PipelineSpec.from_dict(values)


def begin_again(draft: str, target: str, paths: Sequence[str] | None, begun: Sequence[Any]) -> bool:
    """``folders.begin_again`` with what tells these sources from changed ones; on their host."""
    files = [
        [str(file), file.stat().st_size, file.stat().st_mtime_ns]
        for path in paths or ()
        if "://" not in path and Path(path).exists()
        for file in (sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)])
    ]
    sources = None if paths is None else [hide_password(path) for path in paths]
    return folders.begin_again(
        draft,
        target,
        {"tasks": resume.TASKS, "begun": list(begun), "sources": sources, "files": files},
    )
