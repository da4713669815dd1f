"""The transcripts in the documentation: commands with what they print, which are run again to be kept true.

In a page, each line of a ``console`` block that begins with ``$ `` is a command and what follows is its output. A
``python`` block whose first line is ``# name.py`` is written to that file. ``python -m scripts.transcripts`` runs a
page's commands, top to bottom in one empty folder, and puts the new output in; with ``--check`` it only says where the
output differs by more than numbers and identifiers.

``recognizance serve`` goes on in the background, on a free port, and what it tells the reader to paste is pasted. A
second ``serve`` kills the first with SIGKILL before it starts.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from recognizance.core.settings import Settings

PAGES = (Path("docs/tutorial/first-collection.md"),)

_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w.]+\.py)\n")
_EXPORT = re.compile(r"^export (\w+)=(\S+)$", re.MULTILINE)
_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+ +\[.*\n", re.MULTILINE)
# AWS's own examples of a key and a secret: what looks like a real one would alarm those who look for leaked secrets.
_EXAMPLES = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
_VARIABLE = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\d+(\.\d+)?", "N"),
    (r"installed now", "installed"),
)


class Reader:
    """Whoever follows a page, in an empty folder.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._server: subprocess.Popen[str] | None = None
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RECOGNIZANCE_"))
        }
        self._environment = inherited | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RECOGNIZANCE_PORT": str(self._port),
            "RECOGNIZANCE_MODELS": str(Settings().models),
            "AWS_PAGER": "",
        }

    def block(self, kind: str, text: str) -> str:
        """Do what a block says; return it with the output as it is now."""
        if kind == "python":
            if name := _FILE.match(text):
                (self._folder / name[1]).write_text(text, encoding="utf-8")
            return text
        commands = [line for line in text.splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n{self._masked(self._run(line.removeprefix('$ ')))}" for line in commands)

    def leave(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.kill()
            self._server.communicate()
            self._server = None

    def _run(self, command: str) -> str:
        if command.startswith("recognizance serve"):
            return self._serve(command)
        done = subprocess.run(  # noqa: S603 - a page of this repository
            ["bash", "-c", command],  # noqa: S607 - as a reader has it
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.stdout

    def _serve(self, command: str) -> str:
        self.leave()
        said = ""
        self._server = subprocess.Popen(  # noqa: S603 - likewise
            command.split(), cwd=self._folder, env=self._environment, stderr=subprocess.PIPE, text=True
        )
        for line in self._server.stderr or ():
            said += line
            if line.startswith("Serving"):
                break
        self._environment |= dict(_EXPORT.findall(said))
        return _LOG_LINE.sub("", said).strip("\n") + "\n"

    def _masked(self, text: str) -> str:
        for name, example in _EXAMPLES.items():
            if secret := self._environment.get(name):
                text = text.replace(secret, example)
        text = text.replace(f":{self._port}", ":8111")
        return "".join(line.rstrip() + "\n" for line in text.splitlines())


def replay(page: str) -> str:
    """Return a page with the output of its commands as it is now."""
    with tempfile.TemporaryDirectory(prefix="recognizance-docs-") as folder:
        reader = Reader(Path(folder))
        try:
            return _BLOCK.sub(lambda block: f"```{block[1]}\n{reader.block(block[1], block[2])}```", page)
        finally:
            reader.leave()


def difference(page: str, replayed: str) -> str:
    """Return how two versions of a page differ, numbers, identifiers and the width of columns apart; or nothing."""
    return "\n".join(difflib.unified_diff(_plain(page), _plain(replayed), "page", "replayed", lineterm=""))


def _plain(page: str) -> list[str]:
    for pattern, name in _VARIABLE:
        page = re.sub(pattern, name, page)
    return [" ".join(re.sub("━+", "━", line).split()) for line in page.splitlines()]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def main(arguments: list[str] | None = None) -> int:
    """Bring the pages up to date, or with ``--check`` say which are not; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.transcripts", description="Run the pages' commands again.")
    parser.add_argument("--check", action="store_true", help="fail when a page is stale instead of writing it")
    check = parser.parse_args(arguments).check
    stale = False
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        replayed = replay(page)
        if check:
            stale |= bool(found := difference(page, replayed))
            sys.stderr.write(found)
        else:
            path.write_text(replayed, encoding="utf-8")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
