"""Where the database is, whatever the data folder is called."""

from pathlib import Path

import pytest

from recognizance.core.settings import Settings
from recognizance.storage.database import Database


@pytest.mark.parametrize("name", ["plain", "a?b=c", "p%41", "with space", "ü#x"])
def test_the_database_lies_in_the_data_folder(tmp_path: Path, name: str) -> None:
    settings = Settings(data=tmp_path / name / "data")
    Database.open(settings.resolved_database_url).close()
    assert (settings.data / "recognizance.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
