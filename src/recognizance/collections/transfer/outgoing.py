"""Writing a collection to Parquet files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection

from recognizance import __version__
from recognizance.collections.transfer.about import (
    ABOUT_KEY,
    DIGEST_KEY,
    FORMAT_VERSION,
    ROWS_OF_GROUP,
    USERS_SCHEMA,
    About,
    faces_schema,
    users_path,
)
from recognizance.collections.transfer.digest import ContentDigest
from recognizance.collections.vectors import from_rows
from recognizance.core import clock
from recognizance.storage.atomic import new_file
from recognizance.storage.backup.progress import Progress, silent
from recognizance.storage.repositories import tags, transfers
from recognizance.storage.repositories.collections import CollectionRow


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: The table of faces.
        users_path: The table of users, None where there are none.
        faces: How many faces.
        users: How many users.
    """

    path: Path
    users_path: Path | None
    faces: int
    users: int


def export(
    connection: Connection, collection: CollectionRow, dimensions: int, path: Path, progress: Progress = silent
) -> Exported:
    """Write a collection, as the connection sees it, to new files.

    Both get their names when they are complete and on the disk, the table of faces last; only this user may read them.

    Args:
        connection: A snapshot in which the collection was read.
        collection: Its row.
        dimensions: Length of its embeddings.
        path: A path that does not exist, for the table of faces; that of users lies beside it.
        progress: Told how many faces are written.

    Raises:
        SetupError: A file exists, or cannot be written.
    """
    about = About(
        format="recognizance collection",
        format_version=FORMAT_VERSION,
        program_version=__version__,
        table="faces",
        collection=collection.collection_id,
        face_model_version=collection.contract_version,
        dimensions=dimensions,
        rows=collection.face_count,
        tags=tags.get(connection, collection.pk),
        users=None,
        exported_at=clock.now(),
    )
    beside, digest = users_path(path), None
    made = False
    try:
        with new_file(path) as file:
            if collection.user_count:
                with new_file(beside) as users_file:
                    of_users = about.model_copy(update={"table": "users", "rows": collection.user_count, "tags": {}})
                    digest = _write(users_file, of_users, USERS_SCHEMA, _users(connection, collection))
                made = True
            about = about.model_copy(update={"users": digest})
            schema = faces_schema(dimensions)
            _write(file, about, schema, _faces(connection, collection, schema), progress)
    except BaseException:
        if made:
            beside.unlink(missing_ok=True)
        raise
    return Exported(path, beside if made else None, collection.face_count, collection.user_count)


def _write(
    file: BinaryIO, about: About, schema: pa.Schema, groups: Iterator[pa.RecordBatch], progress: Progress = silent
) -> str:
    text = about.model_dump_json().encode()
    digest, rows = ContentDigest(text), 0
    # Ids are different in every row, and embeddings are noise to a compressor.
    same = [name for name in schema.names if name not in {"face_id", "image_id", "embedding"}]
    with pq.ParquetWriter(
        file,
        schema,
        compression={name: "zstd" if name != "embedding" else "none" for name in schema.names},
        use_dictionary=same,
        write_statistics=same,
        write_page_checksum=True,
    ) as parquet:
        for group in groups:
            parquet.write_batch(group, row_group_size=ROWS_OF_GROUP)
            digest.update(group)
            rows += group.num_rows
            progress(rows, about.rows)
        parquet.add_key_value_metadata({ABOUT_KEY: text, DIGEST_KEY: digest.hexdigest()})
    if rows != about.rows:
        raise RuntimeError(f"{about.collection} counts {about.rows} {about.table} and has {rows}")
    return digest.hexdigest()


def _users(connection: Connection, collection: CollectionRow) -> Iterator[pa.RecordBatch]:
    for rows in transfers.users(connection, collection.pk, ROWS_OF_GROUP):
        columns = zip(zip(*rows, strict=True), USERS_SCHEMA, strict=True)
        yield pa.record_batch([pa.array(values, field.type) for values, field in columns], schema=USERS_SCHEMA)


def _faces(connection: Connection, collection: CollectionRow, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for rows in transfers.faces(connection, collection.pk, ROWS_OF_GROUP):
        face_ids, image_ids, *plain, stored, created_at = zip(*rows, strict=True)
        vectors = from_rows(list(stored))
        embeddings = np.ascontiguousarray(vectors[:, :-1])
        values = [
            list(map(transfers.uuid_text, face_ids)),
            list(map(transfers.uuid_text, image_ids)),
            *plain,
            pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), type=schema.field("embedding").type),
            -2 * vectors[:, -1].astype(np.float32),
            created_at,
        ]
        arrays = [
            value if isinstance(value, pa.Array) else pa.array(value, field.type)
            for value, field in zip(values, schema, strict=True)
        ]
        yield pa.record_batch(arrays, schema=schema)
