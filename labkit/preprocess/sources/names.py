"""Names of categories, however they are spelt."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence


def fold(text: str) -> str:
    """What is compared of a name: without case, blanks and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign) and sign > " ")


def name_codes(
    names: Sequence[str], spellings: Mapping[str, Sequence[str]], folded: str
) -> set[int]:
    """Codes of all categories that are written that way; more than one is not clear."""
    return {
        code
        for code, name in enumerate(names)
        if folded in map(fold, (name, *spellings.get(name, ())))
    }


def spelling_codes(
    names: Sequence[str], spellings: Mapping[str, Sequence[str]]
) -> tuple[dict[str, int], dict[str, int]]:
    """Codes by exact name, and by folded spelling where that is clear."""
    exact = {name: code for code, name in enumerate(names)}
    codes: dict[str, set[int]] = {}
    for name, code in exact.items():
        for spelling in (name, *spellings.get(name, ())):
            codes.setdefault(fold(spelling), set()).add(code)
    return exact, {text: min(found) for text, found in codes.items() if len(found) == 1}
