"""The checks of ``make check`` that no other tool makes: ``python -m scripts.check`` in the repository's root."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pypi_simple import PYPI_SIMPLE_ENDPOINT

from recognizance.operations import coverage
from scripts import docs

MAX_LINES = 600
"""The longest a module may be. Most have less than 200 lines."""

_LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|(?:src|href)="([^"]+)\"""")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def files() -> list[Path]:
    """Return every file that belongs to the repository: committed, or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - git, wherever it is
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(path for path in map(Path, filter(None, listed.split("\0"))) if path.is_file())


def long_modules(paths: list[Path]) -> Iterator[str]:
    """Give a complaint for each module of more than 600 lines."""
    for path in paths:
        if path.suffix == ".py":
            count = len(path.read_text(encoding="utf-8").splitlines())
            if count > MAX_LINES:
                yield f"{path} has {count} lines; {MAX_LINES} are the most: split it"


def registry_hosts(paths: list[Path]) -> Iterator[str]:
    """Give a complaint for each file that names the package registry's host.

    Which index is used is for pip's configuration to say: a site may have only a mirror. The lock file is uv's.
    """
    host = urlsplit(PYPI_SIMPLE_ENDPOINT).hostname or ""
    for path in paths:
        if path.name != "uv.lock" and host.encode() in path.read_bytes():
            yield f"{path} names the host of a package registry"


def broken_links(paths: list[Path]) -> Iterator[str]:
    """Give a complaint for each relative link of a Markdown file that leads nowhere."""
    for path in paths:
        if path.suffix != ".md":
            continue
        text = _FENCE.sub("", path.read_text(encoding="utf-8"))
        for match in _LINK.finditer(text):
            target = match[1] or match[2]
            if not urlsplit(target).scheme and not _leads_somewhere(path, target):
                yield f"{path} links to {target}, which does not exist"


def _leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = unquote(target).partition("#")
    found = page.parent / name if name else page
    if not found.exists():
        return False
    if not anchor or found.suffix != ".md":
        return True
    text = _FENCE.sub("", found.read_text(encoding="utf-8"))
    return anchor in {slug(heading) for heading in _HEADING.findall(text)}


def slug(heading: str) -> str:
    """Return the anchor that a heading of Markdown gets: lower case, without punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def complaints(checks: tuple[Callable[[list[Path]], Iterator[str]], ...]) -> list[str]:
    """Return what the checks complain of."""
    paths = files()
    return [complaint for check in checks for complaint in check(paths)]


def main() -> int:
    """Make every check, say on standard error what is wrong, and return the exit status."""
    found = complaints((long_modules, registry_hosts, broken_links))
    for complaint in found:
        sys.stderr.write(f"{complaint}\n")
    stale = [coverage.main(["--check"]), docs.main(["--check"])]
    return 1 if found or any(stale) else 0


if __name__ == "__main__":
    sys.exit(main())
