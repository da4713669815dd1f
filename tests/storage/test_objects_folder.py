"""A local folder as an object store: what it reads, and everything it refuses."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizance.core.errors import ImageTooLargeError, InvalidS3ObjectError, SetupError
from recognizance.core.settings import Settings
from recognizance.storage.objects import FolderObjectStore, NoObjectStore, open_object_store

SECRET = b"outside the buckets"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a bucket, beside a file that no key may reach."""
    (tmp_path / "secret.jpg").write_bytes(SECRET)
    bucket = tmp_path / "buckets" / "photos"
    (bucket / "2026" / "may").mkdir(parents=True)
    (bucket / "a.jpg").write_bytes(b"picture a")
    (bucket / "2026" / "may" / "with space & ünicode.jpg").write_bytes(b"picture b")
    return tmp_path / "buckets"


@pytest.fixture
def store(folder: Path) -> FolderObjectStore:
    return FolderObjectStore(folder)


@pytest.mark.parametrize(
    ("key", "content"), [("a.jpg", b"picture a"), ("2026/may/with space & ünicode.jpg", b"picture b")]
)
def test_keys_are_paths_below_the_bucket(store: FolderObjectStore, key: str, content: bytes) -> None:
    assert store.read("photos", key, None, 100) == content


def test_an_object_of_exactly_the_limit_is_read_and_one_byte_more_is_too_large(store: FolderObjectStore) -> None:
    assert store.read("photos", "a.jpg", None, 9) == b"picture a"
    with pytest.raises(ImageTooLargeError):
        store.read("photos", "a.jpg", None, 8)


def test_a_file_has_the_null_version_and_no_other(store: FolderObjectStore) -> None:
    assert store.read("photos", "a.jpg", "null", 100) == b"picture a"
    with pytest.raises(InvalidS3ObjectError):
        store.read("photos", "a.jpg", "1", 100)


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("photos", "missing.jpg"),
        ("missing", "a.jpg"),
        ("photos", "2026"),  # a folder
        ("photos", "a.jpg/"),  # S3 knows no such object either
        ("photos", "/a.jpg"),
        ("photos", "2026//may"),
        ("photos", ""),
        ("photos", "a.jpg\0"),
        ("photos", "\ud800"),  # no file name can hold it
        ("photos", "x" * 1024),
        ("photos", "../../secret.jpg"),
        ("photos", "2026/../../../secret.jpg"),
        ("photos", "../photos/a.jpg"),
        ("..", "secret.jpg"),
        (".", "photos/a.jpg"),
        ("photos/2026", "may"),
        ("", "photos/a.jpg"),
    ],
)
def test_a_key_that_names_no_file_of_the_bucket_is_an_invalid_object(
    store: FolderObjectStore, bucket: str, key: str
) -> None:
    with pytest.raises(InvalidS3ObjectError):
        store.read(bucket, key, None, 100)


def test_symbolic_links_are_not_followed(store: FolderObjectStore, folder: Path) -> None:
    (folder / "photos" / "link.jpg").symlink_to(folder.parent / "secret.jpg")
    (folder / "photos" / "up").symlink_to(folder.parent)
    (folder / "linked").symlink_to(folder.parent)
    for bucket, key in [("photos", "link.jpg"), ("photos", "up/secret.jpg"), ("linked", "secret.jpg")]:
        with pytest.raises(InvalidS3ObjectError):
            store.read(bucket, key, None, 100)


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(store: FolderObjectStore, folder: Path) -> None:
    os.mkfifo(folder / "photos" / "pipe.jpg")
    refused = threading.Event()

    def read() -> None:
        with pytest.raises(InvalidS3ObjectError):
            store.read("photos", "pipe.jpg", None, 100)
        refused.set()

    threading.Thread(target=read, daemon=True).start()
    assert refused.wait(30)


def test_reading_leaves_no_descriptor_open(store: FolderObjectStore, folder: Path) -> None:
    for key in ["a.jpg", "missing.jpg", "2026", "2026/may/missing.jpg", "a.jpg/b"] * 20:
        with suppress(InvalidS3ObjectError):
            store.read("photos", key, None, 100)
    opened = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread's, closed meanwhile
            opened.append(link.readlink())
    assert [path for path in opened if path.is_relative_to(folder)] == []


_NAMES = st.sampled_from(["..", ".", "", "photos", "2026", "may", "secret.jpg", "a.jpg", "\0", "~", "%2e%2e", "\\"])


@given(bucket=_NAMES | st.text(max_size=8), names=st.lists(_NAMES | st.text(max_size=8), max_size=8))
def test_no_bucket_and_key_reach_a_file_outside_the_folder(
    tmp_path_factory: pytest.TempPathFactory, bucket: str, names: list[str]
) -> None:
    """Whatever is asked for, the answer is an error or a file of the bucket."""
    base = tmp_path_factory.getbasetemp() / "traversal"
    photos = base / "buckets" / "photos"
    if not photos.exists():
        photos.mkdir(parents=True)
        (base / "secret.jpg").write_bytes(SECRET)
        (photos / "a.jpg").write_bytes(b"picture a")
    try:
        data = FolderObjectStore(base / "buckets").read(bucket, "/".join(names), None, 100)
    except InvalidS3ObjectError:
        return
    assert data == b"picture a"
    assert (bucket, names) == ("photos", ["a.jpg"])


def test_without_a_store_the_error_names_the_settings() -> None:
    store = open_object_store(Settings())
    assert isinstance(store, NoObjectStore)
    with pytest.raises(InvalidS3ObjectError, match=r"RECOGNIZANCE_S3_ENDPOINT_URL.*RECOGNIZANCE_BUCKETS_FOLDER"):
        store.read("photos", "a.jpg", None, 100)


def test_a_folder_setting_opens_a_folder_store(folder: Path) -> None:
    assert open_object_store(Settings(buckets_folder=folder)).read("photos", "a.jpg", None, 100) == b"picture a"


def test_a_missing_folder_and_two_stores_at_once_are_setup_errors(folder: Path) -> None:
    with pytest.raises(SetupError, match="buckets_folder"):
        open_object_store(Settings(buckets_folder=folder / "missing"))
    with pytest.raises(SetupError, match="not both"):
        open_object_store(Settings(buckets_folder=folder, s3_region="eu-west-1"))
