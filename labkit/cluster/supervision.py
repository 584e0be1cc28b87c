"""How the ranks of a run are watched over, and started again when they fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OnFailure = Literal["replace", "shrink"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """What the ranks of one attempt at a run are told about it.

    An attempt is one set of fresh rank processes; a run has one more of them than restarts.

    Attributes:
        run: identifier of the run, the same in all attempts; names the register of its leader.
        attempt: number of the attempt, from 0.
        first_term: above all terms that the run is known to have had.
        recoverable: whether another attempt follows when this one fails. Then ranks that lost
            another one do not end at once: their leader says how it goes on.
        on_failure: what the leader decides by: as many ranks again, or those that are left.
    """

    run: str
    attempt: int = 0
    first_term: int = 1
    recoverable: bool = True
    on_failure: OnFailure = "replace"

    @property
    def gang(self) -> str:
        """Identifier of this attempt's ranks; no other attempt has it."""
        return self.run if self.attempt == 0 else f"{self.run}.{self.attempt}"
