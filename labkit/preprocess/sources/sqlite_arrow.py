"""SQLite files straight into Arrow, in C: much faster than row by row, where every cell is plain.

SQLite lets any cell hold any type. Apache's reader takes a column's type from its first rows and
brings the others to it, which for some mixtures changes what a cell says. Such batches are refused
here, and so is every error: ``sql.py`` reads them again row by row, or says what is wrong.

Source: Apache Arrow ADBC, the driver for SQLite.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

BATCH_ROWS = 1 << 20  # a part: a type is taken from all its rows
BATCH_OPTION = "adbc.sqlite.query.batch_rows"
EXACT = 2.0**53  # larger whole numbers among others were rounded
# How SQLite writes a number in a column of texts.
LIKE_A_NUMBER = r"^-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|[Ii]nf)$"


class NotPlain(Exception):
    """The rows are to be read one by one."""


def read_plain(path: str, query: str) -> list[pa.RecordBatch]:
    """The rows that a query finds in a file, which is only read.

    Args:
        path: of the file.
        query: without parameters.
    Raises:
        NotPlain: a column may hold cells of several types, or the file cannot be read.
    """
    from adbc_driver_manager import Error
    from adbc_driver_sqlite import dbapi

    try:
        uri = f"{Path(path).absolute().as_uri()}?mode=ro"
        with dbapi.connect(uri) as connection, connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{BATCH_OPTION: BATCH_ROWS})
            cursor.execute(query)
            batches = list(cursor.fetch_record_batch())
        plain = all(_is_plain(column) for batch in batches for column in batch.columns)
    except (Error, pa.ArrowException, OSError) as error:
        raise NotPlain from error
    if not plain:
        raise NotPlain
    return batches


def _is_plain(column: pa.Array) -> bool:
    """Whether all cells of a column surely came as they are."""
    if pa.types.is_integer(column.type):
        return True
    if pa.types.is_floating(column.type):
        most = pc.max(pc.abs(column)).as_py()
        return most is None or most < EXACT
    if not pa.types.is_string(column.type):
        return False
    texts = column.unique()
    texts.validate(full=True)  # of Unicode
    return not pc.any(pc.match_substring_regex(texts, LIKE_A_NUMBER)).as_py()
