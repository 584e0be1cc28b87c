"""The kinds of repair, as they stand in the log of repairs and in reports."""

from __future__ import annotations

from types import MappingProxyType

KEPT, SENTINEL, RULE, SLIP, NOISE, FILLED, LABEL = range(7)
# In the order of the codes above; KEPT is no repair.
NAMES = ("kept", "sentinel", "rule", "slip", "noise", "missing", "label")
# What each is called among a step's details.
DETAILS = MappingProxyType(
    {
        SENTINEL: "sentinels",
        RULE: "rules",
        SLIP: "slips",
        NOISE: "outliers",
        FILLED: "filled",
        LABEL: "relabelled",
    }
)
REMOVED = (SENTINEL, RULE, NOISE)
WRONG = (SENTINEL, RULE, SLIP, NOISE)  # a number that was there and was not believed
