"""Where sources lie: local paths, addresses of files (``s3://`` and others), databases.

Passwords are needed to open a source and shown nowhere: messages and reports are given
``hide_password(source)``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from labkit.errors import SourceError
from labkit.preprocess.sources.web import open_web_file

KIND_OF_SUFFIX = MappingProxyType(
    {
        ".parquet": "parquet",
        ".pq": "parquet",
        ".csv": "csv",
        ".tsv": "csv",
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".sqlite": "sql",
        ".sqlite3": "sql",
        ".db": "sql",
    }
)
COMPRESSIONS = MappingProxyType({".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"})
KINDS_HINT = (
    f"a file ({', '.join(KIND_OF_SUFFIX)}), a folder of such files, its address (s3://bucket/..., "
    "https://...) or a database (postgresql+psycopg://user:password@host/name)"
)
WEB = ("http://", "https://")
DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql")
CONNECT_S, REQUEST_S, S3_TRIES = 10, 60, 3
_SECRET = re.compile(
    r"(?i)(\b[\w-]*(?:password|passwd|pwd|secret|token|signature|credential|key|sig)[\w-]*=)([^&\s]+)"
)
_USER_INFO = re.compile(r"(?<=://)([^/@:\s]*):(\S*)@")


def hide_password(text: str, source: str = "") -> str:
    """A source without its passwords and keys, or a message without those of ``source``."""
    for secret in _secrets(source):
        text = text.replace(secret, "***")
    return _SECRET.sub(r"\1***", _USER_INFO.sub(r"\1:***@", text))


def _secrets(source: str) -> list[str]:
    found = [match.group(2) for match in _USER_INFO.finditer(source)]
    found += [match.group(2) for match in _SECRET.finditer(source)]
    found += [unquote(secret) for secret in found]
    return [secret for secret in found if len(secret) > 2]  # shorter ones would hide any text


def is_address(source: str) -> bool:
    """Whether it is a URL and not a local path."""
    return "://" in source


def is_database(source: str) -> bool:
    """Whether it is a database's URL, such as ``postgresql+psycopg://...``."""
    return is_address(source) and source.split("://")[0].split("+")[0].lower() in DATABASES


def kind_of(name: str) -> str:
    """Kind of a file by its name; empty if it is none that is read."""
    suffixes = [suffix.lower() for suffix in Path(name.split("?")[0]).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        kind = KIND_OF_SUFFIX.get(suffixes[-2], "") if len(suffixes) > 1 else ""
        return kind if kind in ("csv", "jsonl") else ""
    return KIND_OF_SUFFIX.get(suffixes[-1], "") if suffixes else ""


def name_of(source: str) -> str:
    """The last part of a path or address, for reports; a database's name."""
    return hide_password(source).split("?")[0].rstrip("/").rsplit("/", 1)[-1]


def list_files(source: str) -> list[str]:
    """The data files that a path or an address of a file or a folder stands for, in order.

    Raises:
        SourceError: nothing there, or no kind of file that is read.
    """
    shown = hide_password(source)
    try:
        files, is_folder = (_list_remote if is_address(source) else _list_local)(source)
    except OSError as error:
        raise SourceError(
            f"source {shown} cannot be looked into ({hide_password(str(error), source)}); see that "
            "it is there and that it may be read"
        ) from error
    found = sorted(file for file in files if kind_of(file))
    if is_folder and not found:
        raise SourceError(f"source {shown} holds no data files; give {KINDS_HINT}")
    if not found:
        raise SourceError(f"source {shown} has an unknown kind of name; give {KINDS_HINT}")
    return found


def _list_local(source: str) -> tuple[list[str], bool]:
    at = Path(source)
    if at.is_dir():
        return [str(file) for file in at.rglob("*") if file.is_file()], True
    if not at.exists():
        raise SourceError(f"source {source} does not exist; give {KINDS_HINT}")
    return [source], False


def _list_remote(source: str) -> tuple[list[str], bool]:
    if source.startswith(WEB):
        return [source], False  # the web has no folders
    system, path = open_system(source)
    if not system.exists(path):
        raise SourceError(
            f"source {hide_password(source)} does not exist, or these credentials may not see it; "
            f"give {KINDS_HINT}"
        )
    if not system.isdir(path):
        return [source], False
    scheme = source.split("://")[0]
    return [f"{scheme}://{str(file).lstrip('/') if scheme != 'file' else file}"
            for file in system.find(path)], True  # fmt: skip


def open_system(source: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path there."""
    import fsspec  # type: ignore[import-untyped]

    scheme = source.split("://")[0].lower()
    if scheme in ("s3", "s3a"):
        return _open_s3(os.environ), source.split("://", 1)[1].rstrip("/")
    try:
        system, path = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        raise SourceError(
            f"source {hide_password(source)}: addresses with {scheme}:// cannot be read here "
            f"({hide_password(str(error))})"
        ) from error
    return system, path


def _open_s3(environment: Mapping[str, str]) -> Any:
    """S3 by Arrow, which s3fs would not allow beside this Dask.

    Endpoint, region and keys are the usual variables: AWS_ENDPOINT_URL, AWS_REGION,
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; without keys Arrow looks where
    Amazon's tools do.
    """
    from fsspec.implementations.arrow import (  # type: ignore[import-untyped]
        ArrowFSWrapper,
    )
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    scheme, _, host = (endpoint or "https://").partition("://")
    return ArrowFSWrapper(
        S3FileSystem(
            access_key=environment.get("AWS_ACCESS_KEY_ID"),
            secret_key=environment.get("AWS_SECRET_ACCESS_KEY"),
            session_token=environment.get("AWS_SESSION_TOKEN"),
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
            scheme=scheme,
            endpoint_override=host.rstrip("/") or None,
            connect_timeout=CONNECT_S,
            request_timeout=REQUEST_S,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=S3_TRIES),
        )
    )


def compression_of(source: str) -> str:
    """How a file is compressed, by its name; empty if it is not."""
    return COMPRESSIONS.get(Path(source.split("?")[0]).suffix.lower(), "")


def open_file(source: str, compression: str = "") -> Any:
    """A file for reading and seeking, wherever it lies; close it after use."""
    if compression:
        from fsspec.compression import compr  # type: ignore[import-untyped]

        return compr[compression](open_file(source), mode="rb")
    if not is_address(source):
        return pa.OSFile(source, "rb")
    if source.startswith(WEB):
        return open_web_file(source)
    system, path = open_system(source)
    return system.open(path, "rb")
