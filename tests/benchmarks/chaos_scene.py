"""What an attack is given, and what it comes to."""

from __future__ import annotations

import random
from dataclasses import dataclass

from chaos_arenas import HandMadeArena, OwnArena

import labkit

STOPPED_S = (0.5, 3.0)  # for how long what is going to be continued is stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """What happens when nobody attacks.

    Attributes:
        losses, seconds: of a training, by plan.
        shards, preprocess_s: hash of the shards of a preprocessing, and its seconds.
    """

    losses: dict[labkit.Plan, list[float]]
    seconds: dict[labkit.Plan, float]
    shards: str
    preprocess_s: float


@dataclass(slots=True)
class Outcome:
    """What an attack came to; ``wrong`` is empty when all was as expected.

    Attributes:
        detection_s: from the attack until it was noticed; ``None`` where nothing was to be noticed.
        recovery_s: from there until the work went on.
    """

    wrong: str = ""
    detection_s: float | None = None
    recovery_s: float | None = None
    note: str = ""


@dataclass(slots=True)
class Scene:
    """Where and when: an arena, a plan, a generator of its own for each attack.

    Attributes:
        trained: the plan that was trained indeed; ``None`` for none.
    """

    arena: OwnArena | HandMadeArena
    calm: Calm
    plan: labkit.Plan
    chance: random.Random
    trained: labkit.Plan | None = None
