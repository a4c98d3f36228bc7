from pathlib import Path

import pytest

from homeport.control.errors import NotFoundError
from homeport.control.systeminfo import has_certificate, measure_volumes, read_certificate


def test_directories_on_one_volume_count_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    (volume,) = measure_volumes((tmp_path, tmp_path / "data"))

    assert volume.total_bytes >= volume.free_bytes > 0


def test_certificate_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    assert not has_certificate(None)
    assert not has_certificate(path)
    with pytest.raises(NotFoundError):
        read_certificate(path)
    path.write_bytes(b"PEM")
    assert has_certificate(path)
    assert read_certificate(path) == b"PEM"
