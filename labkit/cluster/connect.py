"""A connection to a running Dask scheduler; starts nothing there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster.security import check_security
from labkit.errors import SettingError

if TYPE_CHECKING:
    from distributed import Client, Security

CONNECT_S = 10.0
PRINTED = "give the address that the scheduler printed, such as tls://10.0.0.1:8786"


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

    _check_address(address)
    checked = check_security(address, security)
    try:
        return Client(address, timeout=timeout_s, security=checked, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise SettingError(
            f"no Dask scheduler answers at {address!r} ({error}); {PRINTED}"
        ) from error


def _check_address(address: str) -> None:
    """Refuse what is no address before a client is made of it.

    A client of Dask (2026.7.1) that raises in its making waits for 20 s when it is collected, and
    prints a traceback.

    Raises:
        SettingError: no scheme of Dask's, no host or no port.
    """
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    try:
        scheme, place = parse_address(address)
        get_backend(scheme)
        host, port = parse_host_port(place)
        if not host:
            raise ValueError("it names no host")
        host.encode("idna")  # as the system will
        if not 0 < port < 2**16:
            raise ValueError(f"there is no port {port}")
    except ValueError as error:
        raise SettingError(f"{address!r} is no address ({error}); {PRINTED}") from error
