"""Which folders hold a copy of a shard, the nearest first."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def folders_of(
    manifest: Mapping[str, Any], entry: Mapping[str, Any], home: Path, host: str = ""
) -> list[Path]:
    """Folders in which the files of a shard are looked for, in this order.

    First copies on this host, then copies whose folders can be reached from here (shared storage),
    then the dataset's own folder.

    Args:
        manifest: of the dataset, with its ``places``.
        entry: of the shard; its ``places`` are numbers of those.
        home: the dataset's folder.
        host: whose view is taken; empty for this one.
    """
    here = host or socket.gethostname()
    held = [manifest["places"][number] for number in entry.get("places", ())]
    near = [Path(place["folder"]) for place in held if place["host"] == here]
    far = [Path(place["folder"]) for place in held if place["host"] != here]
    return [*near, *(folder for folder in far if folder.is_dir()), home]
