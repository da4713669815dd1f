"""One process may open a database file several times."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from recognizance.storage.database import Database
from recognizance.storage.repositories import meta

if TYPE_CHECKING:
    from pathlib import Path

_COUNT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO meta (name, value) SELECT 'theirs ' || count(*), x'00' FROM meta")
connection.commit()
print(connection.execute("SELECT count(*) FROM meta").fetchone()[0])
connection.close()
"""


def test_opening_a_file_again_drops_no_lock_of_those_who_have_it_open(tmp_path: Path) -> None:
    """A process that ends would otherwise take the write-ahead log for its own, and delete it."""
    path = tmp_path / "data" / "x.db"
    first = Database.open(f"sqlite:///{path}")
    Database.open(f"sqlite:///{path}").close()
    for expected in (2, 4):
        with first.begin() as connection:
            meta.put(connection, f"ours {expected}", b"1")
        counted = subprocess.run([sys.executable, "-c", _COUNT, str(path)], check=True, capture_output=True, text=True)
        assert int(counted.stdout) == expected
    first.close()
