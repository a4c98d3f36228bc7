"""Lists of networks: what they admit."""

import pytest

from homeport.rules.network import (
    NetworkInvalidError,
    NetworkOperation,
    NetworkRules,
    is_admitted,
    parse_network,
)

PULL, PUSH = NetworkOperation.PULL, NetworkOperation.PUSH
OFFICE, HOME = parse_network("10.0.0.0/8"), parse_network("2001:db8::/32")
RULES = NetworkRules(
    system={PUSH: (OFFICE, HOME)},
    projects={7: {PULL: (parse_network("10.7.0.0/16"),), PUSH: (parse_network("10.7.0.9"),)}},
)


@pytest.mark.parametrize(
    ("operation", "address", "project_id", "expected"),
    [
        (PULL, "192.0.2.1", None, True),
        (PULL, "192.0.2.1", 3, True),
        (PULL, "192.0.2.1", 7, False),
        (PULL, "10.7.1.1", 7, True),
        (PUSH, "10.1.1.1", None, True),
        (PUSH, "10.1.1.1", 3, True),
        (PUSH, "10.1.1.1", 7, False),
        (PUSH, "10.7.0.9", 7, True),
        (PUSH, "2001:db8::5", None, True),
        (PUSH, "::ffff:10.1.1.1", None, True),
        (PUSH, "::ffff:192.0.2.1", None, False),
        (PUSH, "192.0.2.1", None, False),
        (PUSH, "", None, False),
        (PUSH, "garbage", None, False),
        (PULL, "garbage", None, True),
    ],
)
def test_lists_admit_addresses(
    operation: NetworkOperation,
    address: str,
    project_id: int | None,
    expected: bool,  # noqa: FBT001 - a table
) -> None:
    assert is_admitted(RULES, operation, address, project_id) == expected


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "office", "10.0.0.0/8, 11.0.0.0/8"])
def test_text_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(NetworkInvalidError):
        parse_network(text)
