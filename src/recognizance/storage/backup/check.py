"""Whether a backup is whole and can be restored by this version of the program."""

import pyarrow as pa
import pyarrow.parquet as pq

from recognizance.core.errors import SetupError
from recognizance.storage.backup.manifest import TableEntry
from recognizance.storage.backup.package import Package
from recognizance.storage.backup.progress import Progress, silent
from recognizance.storage.backup.tables import TableShape, tables_of


def check(package: Package, progress: Progress = silent) -> tuple[TableShape, ...]:
    """Compare every file of a backup with its digest, and its tables with those of its revision of the schema.

    Returns:
        The tables to restore, each after those that its rows refer to.

    Raises:
        SetupError: It is damaged, or of a newer version.
    """
    shapes = tables_of(package.manifest.schema_revision)
    if len(shapes) != len(package.manifest.tables):
        raise _contradiction(package, "tables")
    for shape, table in zip(shapes, package.manifest.tables, strict=True):
        if not table.fits(shape):
            raise _contradiction(package, f"the columns of {table.name}")
    package.verify(progress)
    for shape, table in zip(shapes, package.manifest.tables, strict=True):
        with open_table(package, table, shape):
            pass
    return shapes


def open_table(package: Package, table: TableEntry, shape: TableShape) -> pq.ParquetFile:
    """Open a table's file.

    Raises:
        SetupError: It is no Parquet file, or has other columns or rows than the manifest says.
    """
    try:
        file = pq.ParquetFile(package.open(table.file), page_checksum_verification=True)
    except pa.ArrowException as error:
        raise SetupError(f"{table.file} of {package.path} cannot be read: {error}") from error
    if file.schema_arrow != shape.schema or file.metadata.num_rows != table.rows:
        file.close(force=True)
        raise _contradiction(package, table.file)
    return file


def _contradiction(package: Package, what: str) -> SetupError:
    return SetupError(f"The backup {package.path} contradicts its manifest: {what}. Use another backup.")
