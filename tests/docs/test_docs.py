"""The documentation says what is so: nothing that exists is missing from it, and nothing in it has become untrue."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from recognizance.cli.app import COMMANDS, load_command
from recognizance.collections.faces import MAX_FACES
from recognizance.collections.tagging import MAX_TAGS
from recognizance.collections.users import MAX_FACES_OF_USER
from recognizance.core import errors
from recognizance.core.settings import ENV_PREFIX, Settings
from recognizance.operations import OPERATIONS
from recognizance.operations.coverage import model_operations
from recognizance.storage.repositories.face_log import KEPT
from recognizance.vision import image
from recognizance.vision.analyser import Analysers
from recognizance.vision.contracts import NAMES, load_contract
from recognizance.vision.models.manifest import shipped_manifests
from recognizance.vision.quality import BARS
from recognizance.wire import body, connections, protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("training/*.md")])
# What a person wrote: without the pages that hold everything because they are generated.
GENERATED = {ROOT / "COVERAGE.md", DOCS / "reference" / "cli.md", DOCS / "reference" / "settings.md"}
WRITTEN = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page not in GENERATED)

_CODE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(language: str) -> list[tuple[str, str]]:
    """Return every code block of a language, each with the name of its page."""
    return [
        (str(path.relative_to(ROOT)), dedent(text))
        for path in PAGES
        for _, kind, text in _CODE.findall(path.read_text(encoding="utf-8"))
        if kind == language
    ]


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables of a page."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


# What exists is documented.


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_reference(name: str) -> None:
    assert f"| `{name}` |" in page("docs/reference/settings.md")


def test_every_setting_that_the_pages_name_exists() -> None:
    named = set(re.findall(rf"\b{ENV_PREFIX}([A-Z0-9_]+)\b", WRITTEN))
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_reference_and_in_a_page_that_somebody_wrote(name: str) -> None:
    reference = page("docs/reference/cli.md")
    assert f"## recognizance {name}\n" in reference
    assert re.search(rf"`?(recognizance|make) {name}\b|`{name}`", WRITTEN)
    for sub in getattr(load_command(name), "commands", {}):
        assert f"### recognizance {name} {sub}\n" in reference


def test_every_command_that_the_pages_name_exists() -> None:
    known = {f"recognizance {name}" for name in COMMANDS}
    shell = "\n".join(text for _, text in [*blocks("sh"), *blocks("console")]) + "\n".join(
        re.findall(r"`(recognizance [^`]+)`", WRITTEN)
    )
    # The service's user has the program's name too.
    called = set(re.findall(r"(?<!-u )(?:^|(?<=[/$ ]))(recognizance [a-z]+)\b", shell, re.MULTILINE))
    assert called
    assert called <= known


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_that_is_built_is_in_a_page_that_somebody_wrote(name: str) -> None:
    assert re.search(rf"\b{name}\b", WRITTEN)


def test_the_readme_counts_the_operations_right() -> None:
    partial = sum(operation.missing is not None for operation in OPERATIONS.values())
    counts = f"{len(OPERATIONS)} of Rekognition's {len(model_operations()[1])} operations"
    assert counts in page("README.md")
    assert f"{len(OPERATIONS) - partial} completely and {partial} in part" in page("README.md")


def service_errors() -> set[str]:
    found = {errors.ServiceError.code}
    waiting = [errors.ServiceError]
    while waiting:
        for child in waiting.pop().__subclasses__():
            if child.__module__ == errors.__name__:
                found.add(child.code)
                waiting.append(child)
    return found


def test_the_page_of_errors_lists_every_error_and_no_other() -> None:
    listed = {cells[0].strip("`") for cells in rows(page("docs/reference/errors.md")) if cells[0].startswith("`")}
    assert listed == service_errors()


def test_the_page_of_errors_quotes_what_errors_say_by_themselves() -> None:
    text = page("docs/reference/errors.md")
    for error in (errors.InvalidImageFormatError, errors.ImageTooLargeError, errors.ThroughputExceededError):
        assert f"`{error().message}`" in text
    assert errors.InvalidS3ObjectError().message.startswith("Unable to get object metadata from S3. ")


@pytest.mark.parametrize("name", [name for name, one in shipped_manifests().items() if not one.asset])
def test_the_readme_names_every_model_with_its_licence(name: str) -> None:
    (cells,) = (cells for cells in rows(page("README.md")) if f"`{name}`" in cells[0])
    manifest = shipped_manifests()[name]
    assert cells[3] == manifest.licence
    users = {contract for contract in NAMES if name in load_contract(contract).model_names}
    assert cells[1] == "each contract's" or set(re.findall(r"`(\w+)`", cells[1])) == users
    for word in ("UTKFace", "WIDER FACE", "MS-Celeb-1M", "7,485", "85,164"):
        assert (word in manifest.data_terms) == (word in cells[4])


# Numbers are those of the code.


def test_the_quality_filters_table_is_the_codes() -> None:
    text = page("docs/explanation/quality-filter.md")
    table = {cells[0]: cells[1:5] for cells in rows(text) if len(cells) == 6}
    levels = [BARS[name] for name in ("LOW", "AUTO", "MEDIUM", "HIGH")]
    assert table["Detector's confidence, at least"] == [f"{bar.score:.0%}".replace("%", " %") for bar in levels]
    assert table["Width in pixels, at least"] == [f"{bar.width:g}" for bar in levels]
    assert table["Brightness, at least"] == [f"{bar.brightness:g}" for bar in levels]
    assert table["Sharpness, at least"] == [f"{bar.sharpness:g}" for bar in levels]
    assert table["Turned sideways, up or down, at most"] == [f"{bar.turn:g}°" for bar in levels]
    assert table["Face quality, at least"] == [f"{bar.quality:g}" for bar in levels]


@pytest.mark.parametrize("name", NAMES)
def test_the_similarities_of_the_pages_are_those_of_the_contract(name: str) -> None:
    data = json.loads(page(f"src/recognizance/vision/contracts/{name}.json"))["similarity_table"]
    rates = dict(zip(data["similarities"], data["false_match_rates"], strict=True))
    listed = {
        float(cells[0].split()[0]): 1 / int(cells[1].split()[2].rstrip(",").replace(",", ""))
        for document in ("README.md", "docs/explanation/similarity-and-thresholds.md")
        for cells in rows(page(document))
        if len(cells) == 2 and cells[1].startswith("1 in ")
    }
    assert listed.keys() >= {50, 70, 80, 90, 95, 99}
    assert {similarity: rates[similarity] for similarity in listed} == pytest.approx(listed)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_contracts_has_their_versions(name: str) -> None:
    table = {cells[0]: cells[1:] for cells in rows(page("docs/explanation/model-contracts.md"))}
    column = table[""].index(f"`{name}`")
    contract = load_contract(name)
    assert table["Face model version"][column] == contract.version
    assert table["Numbers in an embedding"][column] == str(contract.dimensions)
    size = sum(shipped_manifests()[model].download_size for model in contract.model_names)
    assert table["To download"][column].startswith(f"{size / 1e6:.0f} MB")


def test_limits_are_those_of_the_code() -> None:
    text = page("docs/reference/http.md")
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    waiting = defaults["queue_timeout_seconds"]
    for row in (
        f"| Request head | {protocol.MAX_HEAD_BYTES // 1024} KiB, within {protocol.HEAD_SECONDS:g} seconds |",
        f"| Request body | {defaults['max_body_bytes'] // 2**20} MiB | `max_body_bytes` |",
        f"| Time for the body | {defaults['body_timeout_seconds']:g} seconds | `body_timeout_seconds` |",
        f"| Bodies held at once | {defaults['max_buffered_bytes'] // 2**20} MiB, those up to {body.SMALL // 1024} KiB",
        f"| Requests waiting for their turn | {defaults['max_waiting_requests']}, each for {waiting:g} seconds |",
        f"| Requests waiting for the S3 store | {defaults['max_remote_waits']} |",
        f"| Open connections | {defaults['max_connections']} |",
        f"| Time to read an answer | {protocol.ANSWER_SECONDS:g} to {2 * protocol.ANSWER_SECONDS:g} seconds |",
        f"| Large answers not yet read | {connections.MAX_UNSENT_BYTES // 2**20} MiB in all |",
        f"| Picture in the request | {image.MAX_BYTES // 2**20} MiB |",
        f"| Picture in a bucket | {image.MAX_OBJECT_BYTES // 2**20} MiB |",
        f"| {image.MIN_SIDE} to {image.MAX_SIDE:,} pixels, {image.MAX_PIXELS // 10**6} megapixels in all |",
        f"| Scans of a progressive JPEG | {image.MAX_SCANS} |",
        f"| Faces of a collection | {MAX_FACES:,} |",
        f"| Faces of a user | {MAX_FACES_OF_USER} |",
        f"| Tags of a collection | {MAX_TAGS} |",
    ):
        assert row in text
    assert f"{KEPT:,} entries" in page("ARCHITECTURE.md")


def test_no_figure_is_left_to_be_measured() -> None:
    left = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in PAGES
        for name in re.findall(r"FIGURE\([^)]*\)", path.read_text())
    }
    assert not left, "\n".join(sorted(left))


# Pages hang together.


def test_links_lead_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.chdir(ROOT)
    from scripts import check

    assert not list(check.broken_links([path.relative_to(ROOT) for path in PAGES]))


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, waiting = set(), [DOCS / "index.md"]
    while waiting:
        current = waiting.pop()
        if current in reached or current.suffix != ".md" or not current.is_file():
            continue
        reached.add(current)
        links = _LINK.findall(current.read_text(encoding="utf-8"))
        waiting += [(current.parent / link.partition("#")[0]).resolve() for link in links]
    assert set(DOCS.rglob("*.md")) <= reached


def test_decisions_are_numbered_without_gaps_and_listed_under_their_titles() -> None:
    records = sorted((DOCS / "adr").glob("0*.md"))
    assert [path.name[:4] for path in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    listed = page("docs/adr/README.md")
    for path in records:
        number, _, title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(": ")
        assert f"| [{number}]({path.name}) | {title} |" in listed


# What can be run, runs.


@pytest.mark.parametrize(("name", "code"), blocks("python"))
def test_python_in_the_pages_compiles(name: str, code: str) -> None:
    compile(code, name, "exec")


@pytest.mark.parametrize(("name", "text"), [*blocks("json")])
def test_json_in_the_pages_is_json(name: str, text: str) -> None:
    assert json.loads(text), name


@pytest.mark.parametrize(("name", "text"), blocks("toml"))
def test_settings_in_the_pages_can_be_set(name: str, text: str) -> None:
    assert tomllib.loads(text).keys() <= Settings.model_fields.keys(), name
    Settings(**tomllib.loads(text))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tutorial_prints_what_it_says() -> None:
    settings = Settings()
    installed = Analysers(settings)
    if not installed.installed("standard") or not installed.store.installed("demo_pictures"):
        pytest.skip("the models of the contract standard and the demonstration pictures are not installed")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.transcripts", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    assert done.returncode == 0, done.stderr
