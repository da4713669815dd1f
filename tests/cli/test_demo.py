"""``recognizance demo``: the program that newcomers run first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program


@pytest.mark.usefixtures("portraits")
def test_the_demonstration_recognises_everybody_and_touches_nothing_else(program: Program, tmp_path: Path) -> None:
    output, data = tmp_path / "pictures", tmp_path / "data"
    done = program("demo", "--output", output, "--json", RECOGNIZANCE_DATA=str(data), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    found = {one["picture"]: one for one in told["answers"] if one["operation"] == "SearchFacesByImage"}
    for picture in ("obama2", "obama3", "obama_partial_face", "obama_partial_face2"):
        assert found[picture]["answer"] == "Barack_Obama"
        assert found[picture]["similarity"] >= 90
    group = sorted(one["answer"] for picture, one in found.items() if picture.startswith("group"))
    assert group == ["Barack_Obama", "Barack_Obama", "Joe_Biden"]
    verdicts = {one["picture"]: one["answer"] for one in told["answers"] if one["operation"] == "CompareFaces"}
    assert verdicts == {"obama and obama3": "same person", "obama and biden": "different people"}

    assert [str(path) for path in sorted(output.iterdir())] == told["pictures"]
    for path in output.iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.width > 1000
    assert told["contract"] == "core"
    assert not data.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"], "the server's data folder is gone"


@pytest.mark.usefixtures("portraits")
def test_a_folder_that_cannot_be_made_is_named(program: Program, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = program("demo", "--output", tmp_path / "file" / "below")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "--output" in done.stderr
