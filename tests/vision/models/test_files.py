"""Writing files whole or not at all, and locks against other processes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizance.core.errors import SetupError
from recognizance.vision.models.files import copy, locked, replacing, scratch

if TYPE_CHECKING:
    from pathlib import Path

    from tests.vision.models.conftest import Forge


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_scratch_files_go(tmp_path: Path) -> None:
    with scratch(tmp_path) as file:
        file.write(b"much")
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_copying_stops_one_byte_beyond_the_limit(forge: type[Forge], data: bytes, limit: int) -> None:
    target = io.BytesIO()
    digest, size = copy(io.BytesIO(data), target, limit)
    assert target.getvalue() == data[: limit + 1]
    assert (digest, size) == (forge.digest(target.getvalue()), min(len(data), limit + 1))


def test_one_thread_at_a_time_holds_a_folder(tmp_path: Path) -> None:
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with locked(tmp_path / "model", sleep=lambda _: None):
                with guard:
                    inside += 1
                    most = max(most, inside)
                threading.Event().wait(0.001)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_another_process_holds_a_folder_until_it_dies(tmp_path: Path) -> None:
    """Its leftovers go when the next one comes."""
    program = """
import sys, pathlib
from recognizance.vision.models.files import locked, replacing
folder = pathlib.Path(sys.argv[1])
with locked(folder), replacing(folder / "net.onnx") as file:
    file.write(b"half")
    file.flush()
    print("holding", flush=True)
    sys.stdin.read()
"""
    folder = tmp_path / "model"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "holding\n"
        with pytest.raises(SetupError, match="Another process"), locked(folder, patience=0, sleep=lambda _: None):
            pass
        assert len(list(folder.glob(".*.part"))) == 1
        holder.kill()
    with locked(folder, patience=0):
        assert {path.name for path in folder.iterdir()} == {".lock"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="--models"), locked(tmp_path / "file" / "model"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SetupError, match="--models"), locked(tmp_path / "model"):
        pass
