"""The checks of ``make check`` that are our own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recognizance.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts are modules of the repository, not of the package."""
    monkeypatch.syspath_prepend(ROOT)
    yield
    for name in ("scripts", "scripts.check", "scripts.docs"):
        sys.modules.pop(name, None)


@pytest.fixture
def check() -> Any:
    return importlib.import_module("scripts.check")


@pytest.fixture
def docs() -> Any:
    return importlib.import_module("scripts.docs")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_module_of_more_than_600_lines_is_complained_of(check: Any, tmp_path: Path) -> None:
    long = write(tmp_path, "long.py", "x = 1\n" * 601)
    others = [write(tmp_path, "short.py", "x = 1\n" * 600), write(tmp_path, "long.txt", "x\n" * 601)]
    (complaint,) = check.long_modules([long, *others])
    assert "long.py has 601 lines" in complaint


def test_a_file_that_names_a_package_registry_is_complained_of(check: Any, tmp_path: Path) -> None:
    host = check.urlsplit(check.PYPI_SIMPLE_ENDPOINT).hostname
    named = write(tmp_path, "README.md", f"See https://{host}/simple.")
    lock = write(tmp_path, "uv.lock", f"https://{host}/")
    (complaint,) = check.registry_hosts([named, lock, write(tmp_path, "other.md", "See pip's configuration.")])
    assert "README.md" in complaint


@pytest.mark.parametrize(
    "link",
    ["other.md", "folder/", "other.md#a-heading", "#here-too", "https://example.com/nowhere", "mailto:a@example.com"],
)
def test_a_link_that_leads_somewhere_is_no_complaint(check: Any, tmp_path: Path, link: str) -> None:
    write(tmp_path, "other.md", "# A heading\n")
    (tmp_path / "folder").mkdir()
    page = write(tmp_path, "page.md", f"## Here, too\n\n[link]({link})\n")
    assert list(check.broken_links([page])) == []


@pytest.mark.parametrize(
    "text",
    [
        "[link](nowhere.md)",
        "![picture](nowhere.png)",
        '<img src="nowhere.png">',
        "[link](other.md#no-such-heading)",
        "[link](#nowhere)",
        '[link](nowhere.md "title")',
    ],
)
def test_a_link_that_leads_nowhere_is_complained_of(check: Any, tmp_path: Path, text: str) -> None:
    write(tmp_path, "other.md", "# A heading\n\n```\n# no such heading\n```\n")
    page = write(tmp_path, "page.md", text)
    (complaint,) = check.broken_links([page])
    assert "page.md links to" in complaint


def test_what_looks_like_a_link_in_code_is_none(check: Any, tmp_path: Path) -> None:
    page = write(tmp_path, "page.md", "```python\nvalues[0](nowhere)\n```\n")
    assert list(check.broken_links([page])) == []


def test_every_setting_is_in_the_table(docs: Any) -> None:
    page = docs.settings_page()
    for name, field in Settings.model_fields.items():
        assert f"| `{name}` |" in page
        assert field.description in page
    assert str(Path.home()) not in page


def test_every_command_is_on_the_page(docs: Any) -> None:
    page = docs.cli_page()
    for heading in ("## recognizance serve", "### recognizance keys create", "### recognizance models pull"):
        assert f"{heading}\n\n```text\nUsage: {heading.lstrip('# ')} " in page


def test_stale_pages_are_named_and_written(docs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert docs.main(["--check"]) == 1
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    (tmp_path / "docs" / "reference" / "cli.md").write_text("stale")
    assert docs.main(["--check"]) == 1
