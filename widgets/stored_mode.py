"""The Compare panel's second half: runs and sweeps that were kept, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw

from labkit.errors import LabError, SettingError
from labkit.runs.compare import compare
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord
from widgets.compare_export import export_comparison
from widgets.jobs import Job
from widgets.markup import alert, file_links, hint, note
from widgets.panel import DESCRIPTION, FULL, Panel, action_button
from widgets.run_export import shown_paths
from widgets.stored_list import Listing, choices, damaged_note, read_listing
from widgets.stored_view import StoredView

MOST_RUNS = 8  # that can be told apart in one picture
NOTHING = (
    "Choose runs in the list (Control or Shift for several), then press Compare. Every run and "
    "sweep of this lab and of the command line is kept in the folder of runs."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is marked in the lists, read in one go."""

    runs: tuple[str, ...]
    sweeps: tuple[str, ...]
    note: str


class StoredMode:
    """Lists what is kept; compares, notes and deletes what is marked.

    Attributes:
        controls, results: the two sides of the card.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._listing: Listing | None = None
        self._listed = -1  # the store's number when it was last listed
        self.list_job = Job("list runs", panel.state.log, panel.pump.poke, quiet=True)
        panel.state.background.append(self.list_job)
        self._doomed: Chosen | None = None  # what a second press of Delete removes
        self.runs = _list("Runs", 9)
        self.sweeps = _list("Sweeps", 4)
        self.compare_button = action_button("Compare", "columns", "primary", "Show what is marked")
        self.refresh_button = action_button("Refresh", "refresh", "", "Read the folder again")
        self.note = ipw.Text(
            description="Note", placeholder="a line beside the marked run",
            continuous_update=False, style=DESCRIPTION, layout=FULL,
        )  # fmt: skip
        self.note_button = action_button("Write note", "pencil", "", "Keep it with the marked run")
        self.delete_button = action_button("Delete", "trash", "", "Remove what is marked")
        self.export_button = action_button("Export", "download", "", "Pictures and a CSV table")
        self.damaged, self.files = ipw.HTML(), ipw.HTML()
        self.view = StoredView(panel.new_image)
        self._build()

    def _build(self) -> None:
        self.controls = ipw.VBox(
            [
                ipw.HBox([self.compare_button, self.refresh_button]), self.view.against, self.note,
                ipw.HBox([self.note_button, self.delete_button]),
                ipw.HBox([self.export_button]),
            ]
        )  # fmt: skip
        self.results = ipw.VBox(
            [self.runs, self.sweeps, self.damaged, self.view.widget, self.files]
        )
        panel = self._panel
        panel.on_change(self.runs, self.sweeps, self.view.against)
        self.view.tabs.observe(lambda _: panel.pump.poke(), "selected_index")
        panel.on_click(
            self.compare_button, lambda: panel.begin(self._compare, self.read, "compare")
        )
        panel.on_click(self.refresh_button, self.refresh)
        panel.on_click(self.note_button, lambda: panel.begin(self._note, self.read, "note"))
        panel.on_click(self.delete_button, lambda: panel.begin(self._delete, self._doom, "delete"))
        panel.on_click(self.export_button, lambda: panel.begin(self._export, self._shown, "export"))

    # -- jobs ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Have the folder read again."""
        self._panel.state.num_stored += 1
        self._panel.pump.poke()

    def read(self) -> Chosen:
        """What is marked; on the pump's thread."""
        return Chosen(
            runs=tuple(self.runs.value), sweeps=tuple(self.sweeps.value), note=str(self.note.value)
        )

    def _compare(self, chosen: Chosen) -> None:
        if not chosen.runs and not chosen.sweeps:
            raise SettingError("nothing is marked; mark runs or sweeps in the lists first")
        if len(chosen.runs) > MOST_RUNS:
            raise SettingError(
                f"{len(chosen.runs)} runs are too many for one picture; mark at most {MOST_RUNS}"
            )
        store, curves = self._panel.state.store, self._panel.state.curves
        records = [store.load(run) for run in chosen.runs]
        loaded = [curves.load(sweep) for sweep in chosen.sweeps]
        self._panel.pump.call(lambda: self._show(records, loaded))

    def _show(self, records: Sequence[RunRecord], curves: Sequence[Curve]) -> None:
        self.files.value = ""
        self.view.choose(records, curves)

    def _note(self, chosen: Chosen) -> None:
        if len(chosen.runs) != 1:
            raise SettingError(f"{len(chosen.runs)} runs are marked; mark the one the note is for")
        self._panel.state.store.note(chosen.runs[0], chosen.note)
        self.refresh()

    def _doom(self) -> tuple[Chosen, bool]:
        """What is marked, and whether it was when Delete was pressed before."""
        chosen = self.read()
        again = self._doomed is not None and _marks(self._doomed) == _marks(chosen)
        self._doomed = None if again else chosen
        return chosen, again

    def _delete(self, doomed: tuple[Chosen, bool]) -> None:
        chosen, again = doomed
        if not chosen.runs and not chosen.sweeps:
            raise SettingError("nothing is marked; mark what is to be deleted first")
        if not again:
            return  # the button now asks for a second press
        for run in chosen.runs:
            self._panel.state.store.delete(run)
        for sweep in chosen.sweeps:
            self._panel.state.curves.delete(sweep)
        self._panel.state.log(f"deleted {', '.join((*chosen.runs, *chosen.sweeps))}")
        self.refresh()

    def _shown(self) -> tuple[list[RunRecord], dict[str, bytes]]:
        if not self.view.records:
            raise LabError("no comparison of runs is shown; mark runs and press Compare first")
        return list(self.view.records), self.view.pngs(self._panel.state.theme)

    def _export(self, given: tuple[list[RunRecord], dict[str, bytes]]) -> None:
        records, pngs = given
        paths = export_comparison(compare(records), pngs, self._panel.state.store)
        links = file_links("Written:", shown_paths(paths))
        self._panel.pump.call(lambda: self._show_files(links))

    def _show_files(self, markup: str) -> None:
        self.files.value = markup

    # -- on the pump's thread ------------------------------------------------------------------

    def render(self) -> None:
        """The lists, what can be done with what is marked, and the comparison."""
        state = self._panel.state
        self._follow_store()
        chosen = self.read()
        free = state.active_job is None
        marked = len(chosen.runs) + len(chosen.sweeps)
        self.compare_button.disabled = not free or not marked
        self.refresh_button.disabled = not free
        self.note_button.disabled = not free or len(chosen.runs) != 1
        self.export_button.disabled = not free or not self.view.records
        asked = self._doomed is not None and _marks(self._doomed) == _marks(chosen) and marked
        if not asked:
            self._doomed = None
        self.delete_button.disabled = not free or not marked
        self.delete_button.description = f"Really delete {marked}?" if asked else "Delete"
        self.delete_button.button_style = "danger" if asked else ""
        self.view.render(state.theme, hint(NOTHING))

    def _follow_store(self) -> None:
        """Have the folder read in the background whenever something was kept or removed."""
        state = self._panel.state
        if state.num_stored != self._listed and not self.list_job.active and not state.active_job:
            self._listed = state.num_stored
            self.list_job.start(self._read_list)
        if self.list_job.error:
            self.damaged.value = alert(self.list_job.error)
        elif self._listing is not None:
            relist(self.runs, choices(self._listing.runs))
            relist(self.sweeps, choices(self._listing.sweeps))
            self.damaged.value = note(damaged_note(self._listing), "Damaged records")

    def _read_list(self) -> None:
        self._listing = read_listing(self._panel.state.store, self._panel.state.curves)


def relist(control: ipw.SelectMultiple, options: Sequence[tuple[str, str]]) -> None:
    """Give a list its newest lines; what was marked and is still there stays marked."""
    if tuple(control.options) == tuple(options):
        return
    marked = control.value
    there = {value for _, value in options}
    with control.hold_sync():
        control.options = tuple(options)
        control.value = tuple(value for value in marked if value in there)


def _marks(chosen: Chosen) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return chosen.runs, chosen.sweeps


def _list(description: str, rows: int) -> Any:
    control = ipw.SelectMultiple(
        description=description, options=(), rows=rows, style={"description_width": "56px"},
        layout=ipw.Layout(width="100%", max_width="900px"),
    )  # fmt: skip
    control.add_class("lab-list")
    return control
