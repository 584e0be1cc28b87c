"""The speedup curves that were kept, beside the runs that they were measured from."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from labkit.errors import SettingError
from labkit.runs.curve import Curve, CurvePoint
from labkit.runs.record_files import PARTIAL, write_whole
from labkit.runs.store import find_one, started

CURVES_FOLDER = "curves"
PREFIX = "sweep-"  # so that a sweep and a run are never taken for each other

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveEntry:
    """One line of the list of sweeps.

    Attributes:
        sweep: identifier.
        when: local time at which it was saved.
        workload, kind, device, scaling, strategies: as in the curve; empty of a damaged one.
        devices: the device counts of its points.
        best_speedup: of all its points; 0.0 without a point.
        damage: why the curve cannot be read, empty where it can.
    """

    sweep: str
    when: datetime
    workload: str = ""
    kind: str = ""
    device: str = ""
    scaling: str = ""
    strategies: tuple[str, ...] = ()
    devices: tuple[int, ...] = ()
    best_speedup: float = 0.0
    damage: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "when": self.when.isoformat(sep=" ", timespec="seconds")}


class CurveStore:
    """The sweeps in a folder of runs: one JSON file each, in a folder of their own.

    Args:
        runs: the folder of a ``RunStore``.
    """

    def __init__(self, runs: Path | str) -> None:
        self.folder = Path(runs) / CURVES_FOLDER

    def save(self, curve: Curve) -> str:
        """Write a curve; returns the identifier that it gets.

        Raises:
            SettingError: the folder cannot be written.
        """
        sweep = f"{PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.folder / f"{sweep}.json", json.dumps(asdict(curve), indent=1))
        except OSError as error:
            raise SettingError(
                f"the curve cannot be written to {self.folder} ({error}); choose another folder"
            ) from error
        return sweep

    def load(self, sweep: str) -> Curve:
        """A curve by its identifier, or a beginning that no other has.

        Raises:
            SettingError: no sweep, or more than one, begins so; or its file is damaged.
        """
        return _read(self._path(sweep))

    def list(self) -> tuple[CurveEntry, ...]:
        """What is kept, newest first; a damaged curve is an entry that says so."""
        return tuple(_entry(self.folder / f"{name}.json") for name in self._names())

    def delete(self, sweep: str) -> str:
        """Remove a curve, not its runs; returns the identifier.

        Raises:
            SettingError: as ``load``, but a damaged curve is removed too.
        """
        path = self._path(sweep)
        try:
            path.unlink()
        except OSError as error:
            raise SettingError(f"{path} cannot be deleted ({error}); mend that first") from error
        return path.stem

    def name_of(self, sweep: str) -> str:
        """The whole identifier of a sweep, from it or a beginning that no other has.

        Raises:
            SettingError: no sweep, or more than one, begins so.
        """
        return find_one(sweep, self._names(), "sweep", str(self.folder))

    def _path(self, sweep: str) -> Path:
        return self.folder / f"{self.name_of(sweep)}.json"

    def _names(self) -> Sequence[str]:
        names = (path.stem for path in self.folder.glob(f"{PREFIX}*.json"))
        return sorted((name for name in names if not name.endswith(PARTIAL)), reverse=True)


def _entry(path: Path) -> CurveEntry:
    when = started(path.stem, path)
    try:
        curve = _read(path)
    except SettingError as error:
        return CurveEntry(sweep=path.stem, when=when, damage=str(error))
    return CurveEntry(
        sweep=path.stem,
        when=when,
        workload=curve.workload,
        kind=curve.kind,
        device=curve.device,
        scaling=curve.scaling,
        strategies=tuple(curve.strategies),
        devices=tuple(sorted({point.devices for point in curve.points})),
        best_speedup=max((point.speedup for point in curve.points), default=0.0),
    )


def _read(path: Path) -> Curve:
    try:
        values = json.loads(path.read_text())
        points = [
            CurvePoint(**{**_known(CurvePoint, point), "runs": tuple(point["runs"])})
            for point in values["points"]
        ]
        return Curve(**{**_known(Curve, values), "points": points})
    except _UNREADABLE as error:
        raise SettingError(
            f"{path} holds no readable curve ({type(error).__name__}: {error}); sweep again, or "
            "choose another one"
        ) from error


def _known(of: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values that are fields in this version."""
    names = {f.name for f in fields(of)}
    return {name: value for name, value in values.items() if name in names}
