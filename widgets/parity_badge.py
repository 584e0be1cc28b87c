"""The parity badge: whether a split run learned what one process learns."""

from __future__ import annotations

from labkit.runs.parity import Parity
from widgets.markup import badge


def parity_badge(parity: Parity) -> str:
    """Green where rounding explains all, grey where the plan is approximate by nature, else red."""
    apart = [f"losses within {parity.loss:.1g}"]
    if parity.weights is not None:
        apart.append(f"weights {parity.weights:.1g}")
    if parity.gradients is not None:
        apart.append(f"gradients {parity.gradients:.1g}")
    found = f"{', '.join(apart)} over {parity.steps} steps"
    if parity.holds is None:
        return badge("Approximate by nature", "open", f"{parity.why}; {found}")
    if parity.holds:
        return badge("Equal to one process", "good", f"{found} ({parity.why})")
    return badge("Differs from one process", "bad", f"{found} ({parity.why})")
