"""Certificates: who may speak with Dask's scheduler and workers.

Whoever reaches a Dask scheduler can run code as its owner. So a cluster that is started here
speaks TLS only, with a certificate made for it that lies in its private folder and goes with it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import SettingError

if TYPE_CHECKING:
    from distributed import Security

CERTIFICATE_FILE = "tls.pem"
VALID = timedelta(days=365)
CLOCK_SKEW = timedelta(days=1)
CERTIFICATES = (
    "pass security= the PEM file of the cluster or a distributed.Security, or set "
    "distributed.comm.tls in Dask's configuration"
)


def make_certificate(file: Path) -> None:
    """Write a fresh private key and a certificate that it signed, readable by this user only.

    The key is an elliptic curve's: it is made in a millisecond, where Dask's own temporary
    certificate (RSA) takes a third of a second.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "labkit")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALID)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(descriptor, "wb") as opened:
        opened.write(certificate.public_bytes(serialization.Encoding.PEM) + private)


def security_of(file: Path | str) -> Security:
    """TLS for everybody who can read a file of ``make_certificate``, and for nobody else."""
    from distributed import Security

    path = str(file)
    roles = {
        f"tls_{role}_{part}": path if part == "cert" else None  # the key is in the same file
        for role in ("client", "scheduler", "worker")
        for part in ("cert", "key")
    }
    return Security(require_encryption=True, tls_ca_file=path, **roles)


def check_security(address: str, security: Security | Path | str | None) -> Security:
    """The certificates for a running scheduler, from the argument or from Dask's configuration.

    Args:
        address: of the scheduler.
        security: Dask's own object, or a PEM file with certificate and key that all share, such
            as ``tls.pem`` in the folder of a cluster that another notebook started; ``None``
            reads Dask's configuration.
    Raises:
        SettingError: the address speaks TLS and there is no certificate, a file of it is not
            there, or encryption is wanted and the address has none.
    """
    from distributed import Security

    if isinstance(security, str | Path):
        _check_files({"security": str(security)})
        security = security_of(security)
    found = security if security is not None else Security()
    if address.startswith("tls://"):
        mine = found.get_tls_config_for_role("client")
        files = {"tls_ca_file": mine["ca_file"], "tls_client_cert": mine["cert"]}
        missing = [name for name, file in files.items() if not file]
        if missing:
            raise SettingError(
                f"{address} speaks TLS, but {' and '.join(missing)} of it is not known; "
                f"{CERTIFICATES}"
            )
        _check_files({**files, "tls_client_key": mine["key"]})
    elif found.require_encryption:
        raise SettingError(
            f"{address} is not encrypted, but security= or Dask's configuration requires it; give "
            f"the scheduler's tls:// address"
        )
    return found


def _check_files(files: dict[str, Any]) -> None:
    """Refuse files that cannot be read; a certificate may also be given as its text."""
    for name, file in files.items():
        if file and "\n" not in file and not os.access(file, os.R_OK):
            raise SettingError(f"{name}={file!r} is no file that can be read; {CERTIFICATES}")


def warn_of_plain(address: str) -> str:
    """What to say of an address that crosses a network without encryption; else nothing."""
    scheme, _, rest = address.rpartition("://")
    host = rest.rpartition(":")[0].strip("[]")
    if scheme not in ("", "tcp", "ws") or host.startswith("127.") or host in ("localhost", "::1"):
        return ""
    return "; without encryption: whoever reaches that address can run code on its workers"
