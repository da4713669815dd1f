"""A Milvus to test with: milvus-lite, which serves one folder from within this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recognizance.collections.index.milvus import MilvusServer
from recognizance.core.settings import Settings


@pytest.fixture(scope="module")
def milvus_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What ``milvus_url`` names: a file of this module's own."""
    from milvus_lite.server_manager import server_manager_instance

    path = tmp_path_factory.mktemp("milvus") / "vectors.db"
    yield path
    server_manager_instance.release_server(str(path))


@pytest.fixture
def open_milvus(milvus_file: Path) -> Iterator[Callable[..., MilvusServer]]:
    """Connect once more, as another process would."""
    opened: list[MilvusServer] = []

    def connect(**settings: object) -> MilvusServer:
        values = {"milvus_url": str(milvus_file), "milvus_timeout_seconds": 60} | settings
        opened.append(MilvusServer(Settings.model_validate(values)))
        return opened[-1]

    yield connect
    for server in opened:
        server.close()
