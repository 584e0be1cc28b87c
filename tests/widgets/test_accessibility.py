"""What the browser side needs to give every control a name."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets as ipw

from widgets import Lab
from widgets.accessibility import Accessibility
from widgets.fields import NOT_NOW

NAMED = (ipw.Button, ipw.Checkbox, ipw.Dropdown, ipw.IntSlider, ipw.SelectionSlider)
NAMED += (ipw.ToggleButtons, ipw.IntProgress, ipw.FloatProgress, ipw.Text, ipw.SelectMultiple)
NAMED += (ipw.SelectionSlider, ipw.BoundedIntText, ipw.FloatText)


def widgets_in(widget: ipw.Widget) -> Iterator[ipw.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_in(child)


def test_every_control_has_the_label_that_becomes_its_name(lab: Lab) -> None:
    controls = [widget for widget in widgets_in(lab.widget) if isinstance(widget, NAMED)]
    assert len(controls) > 70
    assert all(control.description for control in controls)


def test_every_button_explains_itself(lab: Lab) -> None:
    buttons = [widget for widget in widgets_in(lab.widget) if isinstance(widget, ipw.Button)]
    assert len(buttons) == 27
    assert all(button.tooltip for button in buttons)


def test_every_tab_and_group_has_a_title(lab: Lab) -> None:
    folds = [w for w in widgets_in(lab.widget) if isinstance(w, ipw.Tab | ipw.Accordion)]
    assert len(folds) == 5
    assert all(len(fold.titles) == len(fold.children) and all(fold.titles) for fold in folds)


def test_every_setting_explains_itself(lab: Lab) -> None:
    form = lab.train_panel.form
    explained = [*form.split.options.values(), *form.recipe.options.values(), *form.clock.options]
    explained += form.failures.controls
    explained += [*lab.data_panel.steps.controls, *lab.data_panel.sources.controls[2:]]
    assert all(control.tooltip for control in explained)


def test_browser_side_and_style_travel_with_the_widget(lab: Lab) -> None:
    assert lab.accessibility in list(widgets_in(lab.widget))
    widget = Accessibility()
    assert "aria-valuetext" in widget._esm
    assert NOT_NOW.strip().replace(" ", "\\u00a0") in widget._esm  # the mark that both sides know
    assert ".lab-card" in widget._css
    assert not widget.dark
