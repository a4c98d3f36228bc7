import pytest

from homeport.auth.cli_secrets import open_cli_secret, seal_cli_secret
from homeport.auth.errors import SealBrokenError
from homeport.auth.sealing import Sealer
from homeport.auth.secret import Secret

SEALER = Sealer(Secret("0123456789abcdef0123456789abcdef"))


def test_secret_opens_for_its_user_alone() -> None:
    sealed = seal_cli_secret(SEALER, 7, Secret("s3cret"))

    assert open_cli_secret(SEALER, 7, sealed) == Secret("s3cret")
    with pytest.raises(SealBrokenError):
        open_cli_secret(SEALER, 8, sealed)
