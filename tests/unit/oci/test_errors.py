import re

import pytest

from homeport.errors import HomeportError
from homeport.oci.errors import OciError, OciErrorCode

SPECIFIED = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "UNSUPPORTED",
}


def test_error_codes_hold_all_of_the_specification() -> None:
    assert {code.name for code in OciErrorCode} >= SPECIFIED


@pytest.mark.parametrize("code", list(OciErrorCode))
def test_error_code_is_spelled_as_the_specification_does(code: OciErrorCode) -> None:
    assert re.fullmatch("[A-Z_]+", code.name)


@pytest.mark.parametrize("code", list(OciErrorCode))
def test_error_without_message_says_what_its_code_means(code: OciErrorCode) -> None:
    error = OciError(code)
    assert str(error) == code.value
    assert error.detail is None
    assert error.hint == ""


def test_error_carries_message_detail_and_hint() -> None:
    error = OciError(OciErrorCode.DENIED, "no", detail={"a": 1}, hint="ask")
    assert isinstance(error, HomeportError)
    assert (str(error), error.detail, error.hint) == ("no", {"a": 1}, "ask")
