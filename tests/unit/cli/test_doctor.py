"""`homeport doctor` says what is wrong, and its exit code says whether anything is."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.registry.contents import REPOSITORY, Contents, push_contents

from homeport.blobs.directory import DirectoryStore
from homeport.db.engine import open_database
from homeport.db.upgrade import upgrade_database

TIMEOUT_S = 60


async def fill(data: Path) -> Contents:
    data.mkdir()
    database = open_database(f"sqlite:///{data / 'homeport.db'}", data / "run")
    store = DirectoryStore(data)
    await database.open()
    await store.open()
    try:
        await upgrade_database(database)
        return await push_contents(database, store)
    finally:
        await store.close()
        await database.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return where a server's data is to be."""
    return tmp_path / "data"


@pytest.fixture
def contents(data: Path) -> Contents:
    """Fill a data directory as a server does."""
    return asyncio.run(fill(data))


def doctor(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "homeport", "doctor", "--data", str(data), *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def lose_a_blob(data: Path, contents: Contents) -> None:
    encoded = contents.layer.encoded
    (data / "blobs" / "sha256" / encoded[:2] / encoded).unlink()


def test_doctor_finds_nothing_where_nothing_is_wrong(data: Path, contents: Contents) -> None:
    del contents

    ended = doctor(data, "--content")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "1 projects, 1 repositories, 3 manifests, 2 tags, 2 blobs with 5002 bytes",
        "Nothing is lost or damaged.",
    ]


def test_doctor_tells_what_is_lost_and_what_to_do(data: Path, contents: Contents) -> None:
    lose_a_blob(data, contents)

    ended = doctor(data)

    assert ended.returncode == 1
    damage, advice, _, summary = ended.stdout.splitlines()
    assert damage == f"damage: {REPOSITORY}@{contents.layer}: the blob is not in the store"
    assert "push an image" in advice
    assert summary == "1 damages found."


def test_doctor_prints_json(data: Path, contents: Contents) -> None:
    lose_a_blob(data, contents)

    ended = doctor(data, "--json")
    report = json.loads(ended.stdout)

    assert ended.returncode == 1
    assert (report["healthy"], report["damages"], report["notes"]) == (False, 1, 0)
    assert report["counts"]["manifests"] == 3
    assert [finding["kind"] for finding in report["findings"]] == ["blob_missing"]


def test_doctor_makes_nothing_where_no_server_was(data: Path) -> None:
    ended = doctor(data)

    assert ended.returncode == 1
    assert "there is no Homeport data in" in ended.stderr
    assert not data.exists()


def test_doctor_says_when_the_store_is_not_there(data: Path, contents: Contents) -> None:
    del contents
    (data / "blobs").rename(data / "elsewhere")

    ended = doctor(data)

    assert ended.returncode == 1
    assert not (data / "blobs").exists()
    assert "Traceback" not in ended.stderr
