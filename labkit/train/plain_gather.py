"""What ranks tell each other beside the training: plain values as JSON, arrays as their numbers.

``all_gather_object`` and its like unpickle what they receive, and unpickling runs whatever the
bytes name. Where ranks have no network of their own, other users of the machine can reach their
ports, so nothing of the lab's own is unpickled. (DCP plans its checkpoints by pickled objects.)

All of it is in the host's memory, and so travels by gloo, beside NCCL as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


def gather_plain(mine: Any) -> list[Any]:
    """What every rank says, in the order of the ranks. A collective of all ranks.

    Args:
        mine: what JSON can carry; tuples arrive as lists.
    """
    if not dist.is_initialized():
        return [mine]
    said = torch.frombuffer(bytearray(json.dumps(mine).encode()), dtype=torch.uint8)
    sizes = _gather(torch.tensor([len(said)])).view(-1).tolist()
    padded = torch.zeros(max(sizes), dtype=torch.uint8)
    padded[: len(said)] = said
    heard = _gather(padded).numpy()
    return [json.loads(text[:size].tobytes()) for text, size in zip(heard, sizes, strict=True)]


def gather_arrays(mine: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The arrays of every rank, in the order of the ranks, on rank 0; elsewhere an empty list.

    A collective of all ranks.
    """
    about = gather_plain([(name, array.dtype.str, array.shape) for name, array in mine.items()])
    if len(about) > 1 and dist.get_rank() > 0:
        for array in mine.values():
            if array.size:
                dist.send(torch.from_numpy(array), 0)
        return []
    others = [{name: np.empty(shape, dtype) for name, dtype, shape in each} for each in about[1:]]
    for rank, arrays in enumerate(others, start=1):
        for array in arrays.values():
            if array.size:
                dist.recv(torch.from_numpy(array), rank)
    return [dict(mine), *others]


def _gather(x: Tensor) -> Tensor:
    """The tensors of all ranks, of one shape, stacked along a new first dimension."""
    whole = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(whole, x)
    return torch.stack(whole)
