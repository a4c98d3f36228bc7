import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.auth.errors import InstanceSecretError, SealBrokenError
from homeport.auth.sealing import SECRET_FILE, Sealer, load_instance_secret
from homeport.auth.secret import Secret

SEALER = Sealer(Secret("a" * 32))


@given(st.binary(max_size=300), st.text(max_size=20))
def test_sealed_content_opens_for_its_purpose(content: bytes, purpose: str) -> None:
    assert SEALER.unseal(SEALER.seal(content, purpose), purpose) == content


def test_sealed_content_shows_nothing_and_differs_each_time() -> None:
    first, second = (SEALER.seal(b"private key", "key") for _ in range(2))
    assert first != second
    assert b"private" not in first


@pytest.mark.parametrize("position", [0, 1, 13, -1])
def test_changed_seal_does_not_open(position: int) -> None:
    sealed = bytearray(SEALER.seal(b"private key", "key"))
    sealed[position] ^= 1
    with pytest.raises(SealBrokenError):
        SEALER.unseal(bytes(sealed), "key")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + b"x" * 12, b"\x01" + b"x" * 20])
def test_seal_that_is_too_short_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBrokenError):
        SEALER.unseal(sealed, "key")


def test_seal_of_another_purpose_or_secret_does_not_open() -> None:
    sealed = SEALER.seal(b"private key", "key a")
    with pytest.raises(SealBrokenError, match="key b"):
        SEALER.unseal(sealed, "key b")
    with pytest.raises(SealBrokenError) as caught:
        Sealer(Secret("b" * 32)).unseal(sealed, "key a")
    assert "HOMEPORT_SECRET_KEY" in caught.value.hint


def test_instance_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "secrets"
    first = load_instance_secret(directory)
    path = directory / SECRET_FILE

    assert load_instance_secret(directory) == first
    assert len(first.reveal()) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [entry.name for entry in directory.iterdir()] == [SECRET_FILE]


def test_instance_secret_made_by_many_at_once_is_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(lambda _: load_instance_secret(tmp_path / "secrets"), range(64)))

    assert len({secret.reveal() for secret in made}) == 1
    assert [entry.name for entry in (tmp_path / "secrets").iterdir()] == [SECRET_FILE]


def test_instance_secret_that_is_given_makes_no_file(tmp_path: Path) -> None:
    given_secret = Secret("g" * 32)
    assert load_instance_secret(tmp_path / "secrets", given_secret) == given_secret
    assert not (tmp_path / "secrets").exists()


def test_instance_secret_that_is_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstanceSecretError, match="HOMEPORT_SECRET_KEY"):
        load_instance_secret(tmp_path, Secret("short"))
    (tmp_path / SECRET_FILE).write_text("\n")
    with pytest.raises(InstanceSecretError, match=SECRET_FILE):
        load_instance_secret(tmp_path)


def test_instance_secret_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file in the way")
    with pytest.raises(InstanceSecretError) as caught:
        load_instance_secret(tmp_path / "secrets")
    assert caught.value.hint
