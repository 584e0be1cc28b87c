"""Pieces of HTML: escaped, and with the roles that assistive technology needs."""

from __future__ import annotations

import pytest

from widgets.markup import alert, note, size, table


def test_alert_is_escaped_and_announced() -> None:
    assert alert("a < b") == '<div class="lab-error" role="alert">a &lt; b</div>'
    assert alert("") == ""


def test_note_has_a_name() -> None:
    assert 'role="note" aria-label="Plan"' in note("Plan: dp=2", "Plan")
    assert note("", "Plan") == ""


def test_table_has_headers_in_both_directions() -> None:
    markup = table("Speeds", ("who", "fast"), [("<me>", "1")])
    assert "<caption>Speeds</caption>" in markup
    assert markup.count('scope="col"') == 2
    assert '<th scope="row">&lt;me&gt;</th><td>1</td>' in markup


@pytest.mark.parametrize(
    ("num_bytes", "said"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB")]
)
def test_size_is_for_people(num_bytes: float, said: str) -> None:
    assert size(num_bytes) == said
