from __future__ import annotations

import re
import stat
import threading
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from recognizance.core.errors import SetupError
from recognizance.governance import keys
from recognizance.governance.keys import KeyStore
from recognizance.governance.principal import Principal
from recognizance.storage import schema
from recognizance.storage.database import Database
from recognizance.storage.repositories import access_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def open_store(database: Database, folder: Path) -> KeyStore:
    return KeyStore(database, folder, account_id="123456789012")


@pytest.fixture
def store(database: Database, folder: Path) -> KeyStore:
    return open_store(database, folder)


def test_keys_look_like_those_that_sdks_expect(store: KeyStore) -> None:
    made = [store.create("reader") for _ in range(20)]
    for key in made:
        assert re.fullmatch("AKIA[A-Z2-7]{16}", key.access_key_id)
        assert re.fullmatch("[A-Za-z0-9+/]{40}", key.secret_access_key)
    assert len({key.access_key_id for key in made}) == len({key.secret_access_key for key in made}) == 20


def test_a_key_is_found_with_its_secret_role_and_account(database: Database, folder: Path, store: KeyStore) -> None:
    made = store.create("administrator")
    for one in (store, open_store(database, folder)):
        found = one.find(made.access_key_id)
        assert found is not None
        assert found.secret == made.secret_access_key
        assert found.enabled
        assert found.session_token_digest is None
        assert found.principal == Principal(made.access_key_id, "administrator", "123456789012")
    assert store.find("AKIANOSUCHKEY") is None


def test_keys_are_listed_without_their_secrets(store: KeyStore) -> None:
    made = [store.create(role) for role in ("reader", "administrator")]
    store.disable(made[0].access_key_id)
    listed = store.list()
    assert [(info.access_key_id, info.role, info.enabled) for info in listed] == [
        (made[0].access_key_id, "reader", False),
        (made[1].access_key_id, "administrator", True),
    ]
    for key in made:
        assert key.secret_access_key not in repr((listed, made, store.find(key.access_key_id)))


def test_no_secret_lies_in_the_data_folder_in_the_clear(database: Database, folder: Path, store: KeyStore) -> None:
    made = store.create("reader")
    database.close()
    for file in folder.iterdir():
        assert made.secret_access_key.encode() not in file.read_bytes()


def test_a_disabled_key_is_disabled_at_once(store: KeyStore) -> None:
    made = store.create("reader")
    before = store.find(made.access_key_id)
    assert before is not None
    assert before.enabled
    store.disable(made.access_key_id)
    after = store.find(made.access_key_id)
    assert after is not None
    assert not after.enabled


def test_a_key_disabled_elsewhere_is_remembered_for_less_than_a_second(
    database: Database, folder: Path, store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    made = store.create("reader")
    assert store.find(made.access_key_id) is store.find(made.access_key_id), "without a look into the database"
    open_store(database, folder).disable(made.access_key_id)
    now += 0.99
    found = store.find(made.access_key_id)
    assert found is not None
    assert not found.enabled


def test_a_key_read_while_it_is_disabled_is_not_remembered(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is read before the key is disabled, and would be remembered after."""
    made = store.create("reader")
    read, disabled = threading.Event(), threading.Event()
    get = access_keys.get

    def slow(*arguments: object) -> object:
        row = get(*arguments)  # type: ignore[arg-type] # passed on
        read.set()
        disabled.wait(30)
        return row

    monkeypatch.setattr(access_keys, "get", slow)
    thread = threading.Thread(target=store.find, args=(made.access_key_id,))
    thread.start()
    assert read.wait(30)
    store.disable(made.access_key_id)
    disabled.set()
    thread.join()
    found = store.find(made.access_key_id)
    assert found is not None
    assert not found.enabled


def test_what_does_not_exist_is_named(store: KeyStore) -> None:
    with pytest.raises(SetupError, match="no role 'root'; choose one of: administrator, reader"):
        store.create("root")
    with pytest.raises(SetupError, match="no access key 'AKIAX'"):
        store.disable("AKIAX")
    assert store.list() == []


def test_the_key_file_is_for_this_user_alone(folder: Path, store: KeyStore) -> None:
    del store
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    assert {file.name for file in folder.iterdir() if "secret" in file.name} == {"secret.key"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_file_that_others_may_read_is_refused(
    database: Database, folder: Path, store: KeyStore, mode: int
) -> None:
    del store
    (folder / "secret.key").chmod(mode)
    with pytest.raises(SetupError, match=r"may be read by other users .* run: chmod 600 .*secret\.key"):
        open_store(database, folder)


def test_a_lost_key_file_is_not_replaced(database: Database, folder: Path, store: KeyStore) -> None:
    store.create("reader")
    (folder / "secret.key").unlink()
    with pytest.raises(SetupError, match=r"is lost; .*Restore it from a backup.*recognizance keys reset"):
        open_store(database, folder)
    assert not (folder / "secret.key").exists()


def test_another_key_file_is_refused(
    database: Database, folder: Path, store: KeyStore, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    store.create("reader")
    other = Database.open(new_database())
    open_store(other, tmp_path / "other")
    other.close()
    (tmp_path / "other" / "secret.key").replace(folder / "secret.key")
    with pytest.raises(SetupError, match=r"is not the one that the access keys .* Restore the right one"):
        open_store(database, folder)


@pytest.mark.parametrize("content", [b"", b"c2hvcnQ=\n", b"\xff\xfe not base64"])
def test_a_damaged_key_file_is_refused(database: Database, folder: Path, store: KeyStore, content: bytes) -> None:
    del store
    (folder / "secret.key").write_bytes(content)
    with pytest.raises(SetupError, match=r"is damaged; restore it from a backup"):
        open_store(database, folder)


@pytest.mark.parametrize("lost", [True, False])
def test_after_a_reset_new_keys_can_be_made(database: Database, folder: Path, store: KeyStore, *, lost: bool) -> None:
    old = store.create("reader")
    if lost:
        (folder / "secret.key").unlink()
    keys.reset(database)
    again = open_store(database, folder)
    assert again.list() == []
    assert again.find(old.access_key_id) is None
    made = again.create("reader")
    found = again.find(made.access_key_id)
    assert found is not None
    assert found.secret == made.secret_access_key


def test_stores_that_open_together_agree_on_one_key_file(database: Database, folder: Path) -> None:
    derived: list[bytes] = []
    start = threading.Barrier(6)

    def work() -> None:
        start.wait()
        derived.append(open_store(database, folder).derive("x"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(derived) == 6
    assert len(set(derived)) == 1


def test_a_secret_moved_to_another_key_does_not_decrypt(database: Database, store: KeyStore) -> None:
    """Whoever can write to the database but lacks the key file must not lend one key another's secret."""
    reader, administrator = store.create("reader"), store.create("administrator")
    table = schema.access_keys
    with database.begin() as connection:
        secret = connection.scalar(sa.select(table.c.secret).where(table.c.access_key_id == reader.access_key_id))
        connection.execute(
            sa.update(table).where(table.c.access_key_id == administrator.access_key_id).values(secret=secret)
        )
    with pytest.raises(SetupError, match="was changed in the database"):
        store.find(administrator.access_key_id)


def test_derived_keys_differ_by_purpose_and_stay(database: Database, folder: Path, store: KeyStore) -> None:
    assert len(store.derive("a")) == 32
    assert store.derive("a") != store.derive("b")
    assert store.derive("a") == open_store(database, folder).derive("a")
