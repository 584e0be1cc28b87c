"""A connection to a running Dask scheduler; starts nothing there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster.security import check_security
from labkit.errors import SettingError

if TYPE_CHECKING:
    from distributed import Client, Security

CONNECT_S = 10.0


def connect(
    address: str, security: Security | Path | str | None = None, timeout_s: float = CONNECT_S
) -> Client:
    """A client of a scheduler, which its caller closes.

    Args:
        address: of the scheduler, such as ``tls://10.0.0.1:8786``.
        security: as in ``launch``.
        timeout_s: seconds within which the scheduler must answer.
    Raises:
        SettingError: nobody answers there, the address or a certificate cannot be read.
    """
    from distributed import Client

    checked = check_security(address, security)
    try:
        return Client(address, timeout=timeout_s, security=checked, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise SettingError(
            f"no Dask scheduler answers at {address!r} ({error}); give the address that the "
            "scheduler printed, such as tls://10.0.0.1:8786"
        ) from error
