"""What preprocessing is told: the columns, the sources, and the settings of each step.

A specification is a TOML file in ``specs/`` or one of the user's own; a new kind of data is a new
file and no code. ``infer.py`` writes one for files that nobody has described.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from labkit.errors import SettingError
from labkit.preprocess.clean.settings import CleaningSettings
from labkit.preprocess.integrate.settings import IntegrationSettings
from labkit.preprocess.reduce.settings import ReductionSettings
from labkit.preprocess.schema import Column, Schema
from labkit.preprocess.sources.maps import SourceMap, read_source_maps
from labkit.preprocess.step import read_settings
from labkit.preprocess.transform.settings import TransformationSettings

_FOLDER = resources.files("labkit.preprocess") / "specs"
SPECS: tuple[str, ...] = tuple(
    sorted(f.name.removesuffix(".toml") for f in _FOLDER.iterdir() if f.name.endswith(".toml"))
)
_STEPS = {
    "integration": IntegrationSettings,
    "cleaning": CleaningSettings,
    "reduction": ReductionSettings,
    "transformation": TransformationSettings,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """Everything that preprocessing is told about one kind of data.

    Attributes:
        name: of the dataset that comes out.
        schema: the common columns, the key and the label.
        sources: how each source is read, in the order of their priority.
        integration, cleaning, reduction, transformation: settings of the steps.
        units: definitions for pint beyond its own, such as ``"EUR = [currency]"``.
        description: for people.
    """

    name: str
    schema: Schema
    sources: tuple[SourceMap, ...]
    integration: IntegrationSettings = field(default_factory=IntegrationSettings)
    cleaning: CleaningSettings = field(default_factory=CleaningSettings)
    reduction: ReductionSettings = field(default_factory=ReductionSettings)
    transformation: TransformationSettings = field(default_factory=TransformationSettings)
    units: tuple[str, ...] = ()
    description: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PipelineSpec:
        """The specification that plain values describe, as in a TOML file.

        Raises:
            SettingError: something is missing, unknown or impossible; says what and where.
        """
        known = {"name", "key", "label", "columns", "sources", "units", "description", *_STEPS}
        unknown = [name for name in values if name not in known]
        if unknown:
            raise SettingError(
                f"a specification has no entry {', '.join(map(repr, unknown))}; choose from "
                f"{', '.join(sorted(known))}"
            )
        for name in ("name", "columns", "sources"):
            if not values.get(name):
                raise SettingError(f"the specification lacks {name!r}; see specs/fruit.toml")
        columns = [
            read_settings(Column, {"name": name, **each}, f"[columns.{name}]")
            for name, each in values["columns"].items()
        ]
        key = values.get("key", ())
        schema = Schema(
            columns=tuple(columns),
            key=(key,) if isinstance(key, str) else tuple(key),
            label=values.get("label", ""),
        )
        units = tuple(values.get("units", ()))
        steps: dict[str, Any] = {
            name: read_settings(settings, values.get(name, {}), f"[{name}]")
            for name, settings in _STEPS.items()
        }
        steps["integration"].check(schema)
        return cls(
            name=values["name"],
            schema=schema,
            sources=read_source_maps(values["sources"], schema, units),
            units=units,
            description=values.get("description", ""),
            **steps,
        )


def find_spec(name: str | Path | PipelineSpec) -> PipelineSpec:
    """The specification of that name, or in that TOML file; one is returned as it is.

    Raises:
        SettingError: no such name or file, or one that cannot be read.
    """
    if isinstance(name, PipelineSpec):
        return name
    if name in SPECS:
        text = (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).suffix == ".toml" and Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise SettingError(
            f"specification {str(name)!r} is unknown; choose from {', '.join(SPECS)}, or give the "
            "path of a .toml file"
        )
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"specification {name} is not TOML: {error}") from error
    return PipelineSpec.from_dict(values)


def with_settings(spec: PipelineSpec, settings: Mapping[str, Mapping[str, Any]]) -> PipelineSpec:
    """The specification with some settings of its steps replaced.

    Raises:
        SettingError: an unknown step or setting, or a value that a step refuses.
    """
    unknown = [step for step in settings if step not in _STEPS]
    if unknown:
        raise SettingError(
            f"step {', '.join(map(repr, unknown))} has no settings; choose from {', '.join(_STEPS)}"
        )
    changed: dict[str, Any] = {}
    for step, values in settings.items():
        before = getattr(spec, step)
        old = {each.name: getattr(before, each.name) for each in fields(before)}
        changed[step] = read_settings(_STEPS[step], {**old, **values}, f"[{step}]")
    return replace(spec, **changed)
