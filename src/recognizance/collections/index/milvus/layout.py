"""How vectors lie in Milvus.

One Milvus collection for all our collections of a kind (faces or users), a dimension and a Milvus index type. A row has
the key of our row, the key of our collection, and the vector. The collection's key is Milvus's partition key: rows of a
collection lie together in one of 64 partitions, which it shares with others, and every request names it. So there may
be any number of collections, where Milvus has limits for its own collections and partitions.

One more Milvus collection holds the marks: up to which revision of its log each collection is there.
"""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from recognizance.collections.index.milvus.server import MilvusServer
from recognizance.core.errors import TemporarilyUnavailableError

Kind = Literal["faces", "users"]
Fields = Callable[[Any, Any], None]
"""Adds fields to a schema of pymilvus, given pymilvus's data types."""

PARTITIONS = 64
"""Partitions of a Milvus collection, over which Milvus spreads our collections by a hash; it allows 1,024."""

_BUILD: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "FLAT": {},
        "HNSW": {"M": 32, "efConstruction": 360},
        "IVF_SQ8": {"nlist": 1024},
        "DISKANN": {},
        "AUTOINDEX": {},
    }
)
"""Parameters of each type of index (Milvus, "Index Explained" and the pages of the types)."""

_MORE: Mapping[str, Mapping[str, object]] = MappingProxyType({"HNSW": {"properties": {"partitionkey.isolation": True}}})
"""A graph of its own for each of our collections; Milvus has that for HNSW alone ("Use Partition Key Isolation")."""


def search_parameters(index_type: str, limit: int) -> dict[str, int]:
    """Return the parameters of a search, generous in favour of recall.

    Args:
        index_type: The type of Milvus index.
        limit: How many candidates are asked for: HNSW and DISKANN must look at no fewer.
    """
    match index_type:
        case "HNSW":
            return {"ef": max(512, 2 * limit)}
        case "IVF_SQ8":
            return {"nprobe": 128}
        case "DISKANN":
            return {"search_list": max(256, 2 * limit)}
        case _:
            return {}


_NONE = (0.0, 0.0)
"""The vector of what needs none: Milvus has no collection without vectors."""


class Layout:
    """The Milvus collection that holds vectors of one kind and dimension. It is made when it is first needed.

    Args:
        server: The Milvus server.
        installation: Tells this database's vectors from those of others in the same Milvus.
        kind: Faces or users.
        dimensions: Length of a vector.
    """

    def __init__(self, server: MilvusServer, installation: str, kind: Kind, dimensions: int) -> None:
        self.kind = kind
        self.dimensions = dimensions
        self.marks = Marks(server, installation)
        self.name = f"{_stem(server, installation)}_{kind}_{dimensions}"
        self._server = server

    def make(self) -> None:
        """Make the Milvus collection if need be, and have Milvus load it."""
        index_type = self._server.index_type
        more = {"num_partitions": PARTITIONS, **_MORE.get(index_type, {})}

        def make() -> None:
            _make(self._server, self.name, self._fields, index_type=index_type, **more)

        self._server.once(self.name, make)

    def _fields(self, schema: Any, types: Any) -> None:  # noqa: ANN401 - pymilvus's
        schema.add_field("pk", types.INT64, is_primary=True)
        schema.add_field("collection", types.INT64, is_partition_key=True)
        schema.add_field("vector", types.FLOAT_VECTOR, dim=self.dimensions)


class Marks:
    """Up to which revision of its log each collection's faces and users are in Milvus."""

    def __init__(self, server: MilvusServer, installation: str) -> None:
        self._server = server
        self._name = f"{_stem(server, installation)}_marks"

    def _make(self) -> None:
        self._server.once(self._name, lambda: _make(self._server, self._name, _mark_fields, index_type="FLAT"))

    def get(self, collection_pk: int) -> dict[Kind, int]:
        """Return the revisions of faces and of users; those that were never put are missing."""
        self._make()
        rows = self._server.call(
            "query",
            self._name,
            filter=f"collection == {collection_pk}",
            output_fields=_MARK,
            consistency_level="Strong",
        )
        return {_kind(row): int(row["revision"]) for row in rows}

    def put(self, collection_pk: int, revisions: Mapping[Kind, int]) -> None:
        """Write revisions."""
        self._make()
        rows = [
            {"pk": 2 * collection_pk + (kind == "users"), "collection": collection_pk, "revision": one, "none": _NONE}
            for kind, one in revisions.items()
        ]
        self._server.call("upsert", self._name, rows)

    def remove(self, collection_pk: int) -> None:
        """Forget a collection."""
        self._make()
        self._server.call("delete", self._name, filter=f"collection == {collection_pk}")

    def all(self) -> dict[int, dict[Kind, int]]:
        """Return the revisions of every collection that has, or may have, something in Milvus."""
        self._make()
        pages = self._server.pages(
            collection_name=self._name, filter="pk > 0", output_fields=_MARK, consistency_level="Strong"
        )
        found: dict[int, dict[Kind, int]] = {}
        for row in itertools.chain.from_iterable(pages):
            found.setdefault(int(row["collection"]), {})[_kind(row)] = int(row["revision"])
        return found


def erase(server: MilvusServer, installation: str, collection_pk: int) -> None:
    """Remove everything of a collection that was deleted, whatever its dimension was."""
    marks = Marks(server, installation)
    stem = _stem(server, installation)
    for name in server.call("list_collections"):
        if name.startswith((f"{stem}_faces_", f"{stem}_users_")):
            server.call("delete", name, filter=f"collection == {collection_pk}")
    marks.remove(collection_pk)


def _stem(server: MilvusServer, installation: str) -> str:
    """Another index type is another set of Milvus collections, filled anew: Milvus changes none in place."""
    return f"{server.prefix}_{installation}_{server.index_type.lower()}"


_MARK = ["pk", "collection", "revision"]


def _kind(mark: Mapping[str, Any]) -> Kind:
    return "users" if mark["pk"] % 2 else "faces"


def _mark_fields(schema: Any, types: Any) -> None:  # noqa: ANN401 - pymilvus's
    schema.add_field("pk", types.INT64, is_primary=True)
    schema.add_field("collection", types.INT64)
    schema.add_field("revision", types.INT64)
    schema.add_field("none", types.FLOAT_VECTOR, dim=len(_NONE))


def _make(server: MilvusServer, name: str, fields: Fields, *, index_type: str, **named: object) -> None:
    """Make a Milvus collection if need be, and have Milvus load it."""
    if not server.call("has_collection", name):
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        fields(schema, DataType)
        vector = next(field.name for field in schema.fields if field.dtype == DataType.FLOAT_VECTOR)
        index = MilvusClient.prepare_index_params()
        index.add_index(vector, index_type=index_type, metric_type="IP", params=dict(_BUILD[index_type]))
        try:
            server.call(
                "create_collection", name, schema=schema, index_params=index, consistency_level="Strong", **named
            )
        except TemporarilyUnavailableError:
            if not server.call("has_collection", name):  # else another process was quicker
                raise
    server.call("load_collection", name)
