"""Check cells of exercises whose answer is no run: a function, a dataset, several things."""

from __future__ import annotations

from typing import Any

from widgets.checks import Claim, Verdict


def check_work(work: Any, *claims: Claim) -> Verdict:
    """Judge what the reader made, by what it does when it is used.

    Args:
        work: anything; ``None`` before the exercise was done.
        claims: what is asked of it. A claim whose figure cannot be taken does not hold, and says
            what was raised: the work is the reader's, and may do anything.
    Returns:
        The verdict; a cell that ends with it shows it.
    """
    if work is None:
        return Verdict(None)
    lines = []
    for claim in claims:
        try:
            lines.append(claim.judge(work))
        except Exception as error:
            lines.append((False, f"{claim.what}: {type(error).__name__}: {error}"))
    return Verdict(all(held for held, _ in lines), tuple(lines))
