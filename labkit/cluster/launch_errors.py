"""What a launch that fails has to say."""

from __future__ import annotations

import multiprocessing
import sys
from typing import TYPE_CHECKING

from labkit.errors import ClusterError

if TYPE_CHECKING:
    from distributed.deploy.spec import SpecCluster

MAIN_GUARD = (
    "a script that launches a cluster is imported again by its workers; put what it does below "
    "if __name__ == '__main__':"
)


def check_not_importing_main() -> None:
    """Refuse to launch from a worker that is importing the user's script.

    Workers are spawned processes, which import the main script anew; a ``launch`` at its top
    level would start workers that start workers.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ClusterError(MAIN_GUARD)


def script_note() -> str:
    """What a script, as opposed to a notebook, may have done wrong."""
    return f" Note: {MAIN_GUARD}" if hasattr(sys.modules["__main__"], "__file__") else ""


def describe_causes(error: BaseException) -> str:
    """An error and what caused it, outermost first; Dask wraps a worker's own error twice."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(f"{type(cause).__name__}: {cause}".rstrip(": "))
        cause = cause.__cause__ or cause.__context__
    return ", because of ".join(dict.fromkeys(texts))


def logs_of(owned: SpecCluster | None) -> str:
    """The logs of the scheduler and of the workers that answer, as text for an error."""
    if owned is None or owned.status.name != "running":
        return ""
    logs = owned.get_logs()
    return "".join(f"\n--- {name}\n{text}" for name, text in logs.items() if str(text).strip())
