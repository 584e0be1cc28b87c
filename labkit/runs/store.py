"""The runs that were kept: list, load, note and delete them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.runs.kept_checkpoints import CHECKPOINT_FOLDER, is_checkpoints, kept_in, remove
from labkit.runs.record import RunRecord
from labkit.runs.record_files import (
    PARTIAL,
    RECORD_FILE,
    SPANS_FILE,
    load_record,
    load_without_spans,
    save_record,
    write_whole,
)
from labkit.train.checkpoint_files import latest

NOTE_FILE = "note.txt"
NUM_NAMED = 5  # runs that a message about an unknown or ambiguous one names

_OWN_FILES = (RECORD_FILE, SPANS_FILE, NOTE_FILE)
_SIGNS = (RECORD_FILE, SPANS_FILE, CHECKPOINT_FOLDER)  # how names in the folder of a run begin
_STAMP = re.compile(r"(\d{8}-\d{6})-")  # identifiers begin with the local time of their start

__all__ = ["Entry", "RunStore", "find_one", "load_record", "save_record", "started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the list of runs.

    Attributes:
        run: identifier, the name of its folder.
        when: local time of its start.
        kind, workload, strategy, plan, status, emulation, repeats: as in the record; empty of a
            damaged one.
        devices: ranks.
        throughput_samples_per_s: after the warm-up.
        final_loss: of the last step; ``None`` without a step.
        note: what the user wrote beside it.
        damage: why the record cannot be read, empty where it can.
    """

    run: str
    when: datetime
    kind: str = ""
    workload: str = ""
    strategy: str = ""
    plan: dict[str, Any] = field(default_factory=dict)
    devices: int = 0
    status: str = ""
    throughput_samples_per_s: float = 0.0
    final_loss: float | None = None
    emulation: dict[str, Any] = field(default_factory=dict)
    repeats: str = ""
    note: str = ""
    damage: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "when": self.when.isoformat(sep=" ", timespec="seconds")}


class RunStore:
    """A folder with one folder for each run.

    Several processes may save different runs at once: each writes in a folder of its own, and a
    record appears when it is whole.

    Args:
        folder: made at the first save.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def save(self, record: RunRecord) -> Path:
        """Write a record; returns its folder.

        Raises:
            SettingError: the folder cannot be written.
        """
        return save_record(record, self.folder)

    def list(self) -> tuple[Entry, ...]:
        """What is kept, newest first; a damaged record is an entry that says so."""
        entries = (self._entry(folder) for folder in self._folders())
        newest_first = sorted((e for e in entries if e), key=lambda e: (e.when, e.run))[::-1]
        return tuple(newest_first)

    def load(self, run: str) -> RunRecord:
        """The whole record of a run.

        Args:
            run: its identifier, or a beginning that no other run has.
        Raises:
            SettingError: no run, or more than one, begins so; or the record is damaged.
        """
        return load_record(self.folder_of(run))

    def note(self, run: str, text: str) -> str:
        """Write a line beside a run, or remove it with an empty text; returns the identifier.

        Raises:
            SettingError: as ``load``, or the folder cannot be written.
        """
        folder = self.folder_of(run)
        text = " ".join(text.split())
        try:
            if text:
                write_whole(folder / NOTE_FILE, text + "\n")
            else:
                (folder / NOTE_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise SettingError(
                f"the note of run {folder.name} cannot be written ({error}); mend that first"
            ) from error
        return folder.name

    def note_of(self, run: str) -> str:
        """What the user wrote beside a run, empty without."""
        return _read_note(self.folder_of(run))

    def delete(self, run: str) -> str:
        """Remove a run's folder, damaged or not; returns the identifier.

        Raises:
            SettingError: as ``load``, or the folder holds anything that the store did not write.
        """
        folder = self.folder_of(run)
        foreign = sorted(path.name for path in folder.iterdir() if not _is_own(path))
        if folder.is_symlink() or foreign:
            what = "is a link" if folder.is_symlink() else f"also holds {', '.join(foreign[:3])}"
            raise SettingError(f"{folder} {what}, so it is not deleted; remove it by hand")
        try:
            remove(folder.iterdir())
            folder.rmdir()
        except OSError as error:
            raise SettingError(
                f"run {folder.name} cannot be deleted ({error}); mend that first"
            ) from error
        return folder.name

    def folder_of(self, run: str) -> Path:
        """The folder of a run, by its identifier or the beginning of it.

        Raises:
            SettingError: no run, or more than one, begins so.
        """
        names = sorted((folder.name for folder in self._folders()), reverse=True)
        return self.folder / find_one(run, names, "run", str(self.folder))

    def _folders(self) -> tuple[Path, ...]:
        """Every folder that holds a record, the beginning of one, or checkpoints."""
        if not self.folder.exists():
            return ()
        if not self.folder.is_dir():
            raise SettingError(f"{str(self.folder)!r} is a file; choose the folder of the runs")
        return tuple(path for path in self.folder.iterdir() if path.is_dir() and _has_record(path))

    def _entry(self, folder: Path) -> Entry | None:
        """One line of the list; None when the run was deleted meanwhile."""
        when, note = started(folder.name, folder), _read_note(folder)
        try:
            record = load_without_spans(folder)
        except SettingError as error:
            if not folder.is_dir():
                return None
            damaged = Entry(run=folder.name, when=when, note=note, damage=str(error))
            return damaged if (folder / RECORD_FILE).exists() else self._cut_off(damaged)
        return Entry(
            run=folder.name,
            when=when,
            kind=record.kind,
            workload=record.workload["name"],
            strategy=record.strategy,
            plan=record.plan,
            devices=record.world_size,
            status=record.status,
            throughput_samples_per_s=record.throughput_samples_per_s,
            final_loss=record.losses[-1] if record.steps else None,
            emulation=record.emulation,
            repeats=record.repeats,
            note=note,
        )

    def _cut_off(self, entry: Entry) -> Entry:
        """A run without a record: what its newest checkpoint says, if it has one."""
        try:
            saved = latest(kept_in(self.folder, entry.run))
        except SettingError as error:
            return replace(entry, damage=str(error))
        if saved is None:
            return entry
        plan = Plan.from_dict(saved.plan)
        return replace(
            entry,
            workload=str(saved.workload["name"]),
            strategy=plan.strategy,
            plan=saved.plan,
            devices=plan.world_size,
            damage="it has no record: it still runs, or was cut off; labkit train --resume "
            f"{entry.run} goes on from step {saved.step}",
        )


def find_one(wanted: str, names: Iterable[str], what: str, where: str) -> str:
    """The name that is, or alone begins with, what was asked for.

    Args:
        wanted: a whole name or the beginning of one.
        names: what there is, newest first.
        what: what the names are of, for the message, such as ``run``.
        where: where they are, for the message.
    Raises:
        SettingError: none or several; names the nearest.
    """
    names = list(names)
    if wanted in names:
        return wanted
    fits = [name for name in names if wanted and name.startswith(wanted)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        some = ", ".join(fits[:NUM_NAMED]) + (", ..." if len(fits) > NUM_NAMED else "")
        raise SettingError(f"{what} {wanted!r} is ambiguous: {some}; give more of it")
    if not names:
        raise SettingError(f"{what} {wanted!r} is unknown: there is none in {where}")
    near = get_close_matches(wanted, names, n=3, cutoff=0.5) or names[:3]
    raise SettingError(f"{what} {wanted!r} is unknown; near ones are {', '.join(near)}")


def started(name: str, path: Path) -> datetime:
    """When something was started, from its name, else from when its files last changed."""
    stamp = _STAMP.search(name)
    if stamp:
        with contextlib.suppress(ValueError):  # digits that are no time, such as 20269999-000000
            return datetime.strptime(stamp[1], "%Y%m%d-%H%M%S")
    return datetime.fromtimestamp(path.stat().st_mtime if path.exists() else 0.0)


def _is_own(path: Path) -> bool:
    name = path.name
    partial = name.endswith(PARTIAL) and name.startswith(_OWN_FILES)
    return is_checkpoints(path) or (path.is_file() and (name in _OWN_FILES or partial))


def _has_record(folder: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, PermissionError):  # just deleted, or not ours
        return any(path.name.startswith(_SIGNS) for path in folder.iterdir())
    return False


def _read_note(folder: Path) -> str:
    path = folder / NOTE_FILE
    return path.read_text(errors="replace").strip() if path.is_file() else ""
