"""The coverage table says what is true, and COVERAGE.md is that table."""

from __future__ import annotations

from pathlib import Path

import pytest

from recognizance.operations import OPERATIONS, coverage
from recognizance.operations.registry import Operation

ROOT = Path(__file__).parents[2]


def states() -> dict[str, list[str]]:
    """Return the table's rows: state and what is missing by name."""
    rows = [line.strip("|").split("|") for line in coverage.render().splitlines() if line.startswith("| ")]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in rows if name.strip() != "Operation"}


def test_every_operation_of_the_service_model_has_one_row() -> None:
    assert sorted(states()) == coverage.model_operations()[1]
    assert len(states()) >= 75


def test_a_row_is_real_partial_or_not_yet_as_the_registry_says() -> None:
    for name, (state, missing) in states().items():
        if name not in OPERATIONS:
            assert (state, missing) == ("not yet", "")
        elif OPERATIONS[name].missing is None:
            assert (state, missing) == ("**real**", "")
        else:
            assert (state, missing) == ("**partial**", OPERATIONS[name].missing)


def test_the_counts_add_up() -> None:
    text = coverage.render()
    listed = [row[0] for row in states().values()]
    assert f"has {len(listed)} operations" in text
    assert f"performs {listed.count('**real**')} (**real**)" in text
    assert f"performs {listed.count('**partial**')} in part" in text


def test_an_operation_that_rekognition_does_not_have_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, "DetectGhosts", Operation("DetectGhosts", lambda _context, _request: {}))
    with pytest.raises(ValueError, match="DetectGhosts"):
        coverage.render()


def test_the_file_is_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert coverage.main(["--check"]) == 0


def test_a_stale_or_missing_file_fails_the_check_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert coverage.main(["--check"]) == 1
    assert "python -m recognizance.operations.coverage > COVERAGE.md" in capsys.readouterr().err
    assert coverage.main([]) == 0
    Path("COVERAGE.md").write_text(capsys.readouterr().out + "stale\n", encoding="utf-8")
    assert coverage.main(["--check"]) == 1
