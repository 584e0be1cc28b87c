"""Copies of shards on the workers' own disks: where each lies, and whether it is still there.

A dataset is written into one folder on the workers' host, or on storage that they share. Placing it
copies every shard to as many workers as it is to have replicas, from worker to worker: a task on a
worker that holds the shard returns its bytes, a task on the target writes them. The client sees
neither, only the manifest, whose ``places`` then say which folders of which hosts hold what.

A rank reads the copy on its own host; where that is lost, another one that it can reach (see
``places.py``): any folder on one host, shared storage between hosts. There is no server that sends
shards to other hosts while training: a rank on a host without a copy, and without shared storage,
fails with the names of the files that it misses. Copies live as long as their worker's folder does.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.errors import SettingError, SourceError
from labkit.preprocess.manifest import files_of, what_is_wrong, write_manifest
from labkit.preprocess.pinned import Workers

PLACES_FOLDER = "labkit-shards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder that holds copies of shards.

    Attributes:
        worker: address of the worker that it belongs to.
        host: name of its machine.
        folder: on that machine.
    """

    worker: str
    host: str
    folder: str


def place(
    workers: Workers,
    manifest: Mapping[str, Any],
    folder: str,
    *,
    replicas: int = 1,
    on: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Copy every shard to its workers, and write the manifest that says where they lie.

    Shards go round the workers in turn; replicas of one go to hosts as different as there are.

    Args:
        workers: of the cluster.
        manifest: of the dataset.
        folder: the dataset's; shards are taken from the workers that can read it, and the new
            manifest is written there, on every host that got a copy too.
        replicas: copies of each shard, each on another worker.
        on: addresses of the workers that get copies; ``None`` for all.
    Returns:
        The new manifest.
    Raises:
        SettingError: more replicas than workers, or none.
        SourceError: a shard that no worker can read, or one that arrived changed.
        ClusterError: a worker that died on the way.
    """
    targets = list(on if on is not None else workers.addresses())
    if not 1 <= replicas <= len(targets):
        raise SettingError(
            f"replicas={replicas}, but there are {len(targets)} workers to hold one each; choose 1 "
            f"to {len(targets)}"
        )
    places = _places(workers, targets, manifest)
    shards = [{**entry, "places": []} for entry in manifest["shards"]]
    holders = _find_holders(workers, manifest, folder)
    for number, entry in enumerate(shards):
        entry["places"] = [(number + step) % len(places) for step in range(replicas)]
    # As many at a time as there are workers, so that each holds a shard or two in its memory.
    for start in range(0, len(shards), len(places)):
        written = [
            handle
            for source, entry in list(zip(holders, shards, strict=True))[start:][: len(places)]
            for handle in _start_copies(workers, source, folder, places, entry)
        ]
        for handle in written:
            workers.result(handle)
    placed = {**manifest, "shards": shards, "places": [asdict(each) for each in places]}
    for address in dict.fromkeys([*holders, *(each.worker for each in places)]):
        workers.result(workers.start(address, keep_manifest, folder, placed))
    return placed


def find_lost(workers: Workers, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Copies that are missing, cut short or changed; every copy is read by its own worker.

    Returns:
        ``{"shard", "worker", "host", "why", "left"}`` each, ``left`` being the good copies of the
        shard that remain.
    """
    there = set(workers.addresses())
    reasons: list[list[str]] = [[] for _ in manifest["shards"]]
    for number, each in enumerate(manifest["places"]):
        held = [at for at, entry in enumerate(manifest["shards"]) if number in entry["places"]]
        if each["worker"] in there:
            entries = [manifest["shards"][at] for at in held]
            whys = workers.result(
                workers.start(each["worker"], check_copies, each["folder"], entries)
            )
        else:
            whys = [f"worker {each['worker']} is gone"] * len(held)
        for at, why in zip(held, whys, strict=True):
            reasons[at].append(why)
    lost = []
    for entry, whys in zip(manifest["shards"], reasons, strict=True):
        holders = [number for number in range(len(manifest["places"])) if number in entry["places"]]
        for number, why in zip(holders, whys, strict=True):
            if why:
                each = manifest["places"][number]
                lost.append(
                    {
                        "shard": shard_name(entry), "worker": each["worker"],
                        "host": each["host"], "why": why, "left": whys.count(""),
                    }
                )  # fmt: skip
    return lost


def placement_table(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where every shard lies, to be shown.

    Returns:
        ``{"shard", "rows", "bytes", "replicas", "workers", "hosts"}`` each; a dataset that was not
        placed has no workers and one replica, in its own folder.
    """
    table = []
    for entry in manifest["shards"]:
        held = [manifest["places"][number] for number in entry.get("places", ())]
        table.append(
            {
                "shard": shard_name(entry),
                "rows": entry["rows"],
                "bytes": sum(file["bytes"] for file in files_of(entry)),
                "replicas": max(len(held), 1),
                "workers": [each["worker"] for each in held],
                "hosts": list(dict.fromkeys(each["host"] for each in held)),
            }
        )
    return table


def shard_name(entry: Mapping[str, Any]) -> str:
    """``train-00003``."""
    return f"{entry['split']}-{entry['number']:05d}"


def host_name() -> str:
    """Runs on a worker: the name of its machine."""
    return socket.gethostname()


def check_copies(folder: str, entries: Sequence[Mapping[str, Any]], deep: bool = True) -> list[str]:
    """Runs on a worker: for each shard why its copy here is not good, or an empty text."""
    found = []
    for entry in entries:
        wrong = (what_is_wrong(Path(folder) / f["path"], f, deep=deep) for f in files_of(entry))
        found.append(next(filter(None, wrong), ""))
    return found


def read_copy(folder: str, entry: Mapping[str, Any]) -> list[bytes]:
    """Runs on a worker that holds a shard: the bytes of its files."""
    return [(Path(folder) / file["path"]).read_bytes() for file in files_of(entry)]


def write_copy(folder: str, entry: Mapping[str, Any], contents: Sequence[bytes]) -> None:
    """Runs on a worker that is to hold a shard.

    Raises:
        SourceError: what was written is not what the manifest says.
    """
    for file, content in zip(files_of(entry), contents, strict=True):
        path = Path(folder) / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        # By a rename: a rank may have an older copy mapped, which must not change under it.
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(content)
        why = what_is_wrong(draft, file, deep=True)
        if why:
            draft.unlink()
            raise SourceError(f"{why}; preprocess again")
        draft.replace(path)


def keep_manifest(folder: str, manifest: Mapping[str, Any]) -> None:
    """Runs on a worker: the manifest in the dataset's folder, so that ranks on its host find it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_manifest(folder, manifest)


def _places(workers: Workers, targets: Sequence[str], manifest: Mapping[str, Any]) -> list[Place]:
    """A folder for each worker, hosts in turn, so that neighbours lie on different hosts."""
    handles = [workers.start(address, host_name) for address in targets]
    by_host: dict[str, list[str]] = {}
    for address, handle in zip(targets, handles, strict=True):
        by_host.setdefault(workers.result(handle), []).append(address)
    longest = max(map(len, by_host.values()))
    in_turn = [
        (host, addresses[turn])
        for turn in range(longest)
        for host, addresses in by_host.items()
        if turn < len(addresses)
    ]
    return [
        Place(
            worker=address,
            host=host,
            folder=f"{workers.local_folder(address)}/{PLACES_FOLDER}/{_folder_name(manifest)}",
        )
        for host, address in in_turn
    ]


def _folder_name(manifest: Mapping[str, Any]) -> str:
    """The dataset's name and a mark of what it holds: other data of that name lie elsewhere."""
    sums = [file["sha256"] for entry in manifest["shards"] for file in files_of(entry)]
    mark = hashlib.sha256("".join(sums).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', str(manifest['name']))}-{mark}"


def _find_holders(workers: Workers, manifest: Mapping[str, Any], folder: str) -> list[str]:
    """For each shard a worker that can read it in the dataset's folder; they take turns."""
    addresses, entries = workers.addresses(), manifest["shards"]
    handles = [workers.start(each, check_copies, folder, entries, False) for each in addresses]
    wrong = [workers.result(handle) for handle in handles]
    holders = []
    for number in range(len(entries)):
        able = [address for address, each in zip(addresses, wrong, strict=True) if not each[number]]
        if not able:
            raise SourceError(f"no worker can read the shard: {wrong[0][number]}; preprocess again")
        holders.append(able[number % len(able)])
    return holders


def _start_copies(
    workers: Workers,
    source: str,
    folder: str,
    places: Sequence[Place],
    entry: Mapping[str, Any],
) -> list[Any]:
    """One shard on its way to all its places."""
    contents = workers.start(source, read_copy, folder, entry)
    targets = [places[number] for number in entry["places"]]
    return [
        workers.start(each.worker, write_copy, each.folder, entry, contents) for each in targets
    ]
