"""The chain's rules: no two records have one canonical form, and every kind of damage is told apart."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.rules.audit_chain import (
    GENESIS,
    ChainPoint,
    ChainVerifier,
    Fault,
    Link,
    RecordKind,
    Value,
    checkpoint_message,
    kind_of_stream,
    link_hash,
    stream_of,
)

VALUES = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=5)


def chain(length: int) -> list[Link]:
    links, previous = [], GENESIS
    for sequence in range(1, length + 1):
        values: tuple[Value, ...] = (sequence, "pull", None)
        previous = link_hash(previous, 0, sequence, values)
        links.append(Link(sequence + 100, sequence, previous, values))
    return links


def faults(links: list[Link], head: ChainPoint | None, checkpoints: dict[int, str]) -> list[Fault]:
    verifier = ChainVerifier(0, None, checkpoints)
    found = [finding.fault for link in links for finding in verifier.check(link)]
    return found + [finding.fault for finding in verifier.finish(head)]


def head_of(links: list[Link]) -> ChainPoint:
    return ChainPoint(0, links[-1].sequence, links[-1].hash)


@given(VALUES, VALUES)
def test_hash_tells_records_apart(one: list[Value], other: list[Value]) -> None:
    are_same = link_hash(GENESIS, 0, 1, one) == link_hash(GENESIS, 0, 1, other)

    assert are_same == (one == other)


def test_hash_is_what_the_documentation_says() -> None:
    """Auditors recompute it with their own programs: it must not change."""
    text = f'["{GENESIS}",0,1,1,"pull",null,"\u00e9"]'

    assert link_hash(GENESIS, 0, 1, (1, "pull", None, "\u00e9")) == sha256(text.encode()).hexdigest()


@given(st.integers(1, 6), st.integers(0, 6))
def test_whole_chain_has_no_fault(length: int, checkpoint: int) -> None:
    links = chain(length)
    checkpoints = {link.sequence: link.hash for link in links if link.sequence == checkpoint}

    assert faults(links, head_of(links), checkpoints) == []


@given(st.data())
def test_every_single_change_is_found(data: st.DataObject) -> None:
    links = chain(5)
    head = head_of(links)
    position = data.draw(st.integers(0, 4))
    attack = data.draw(st.sampled_from(["change", "delete", "swap", "double", "hash"]))
    match attack:
        case "change":
            links[position] = replace(links[position], values=(0, "push", None))
        case "hash":
            links[position] = replace(links[position], hash="f" * 64)
        case "delete":
            del links[position]
        case "double":
            links.insert(position, links[position])
        case _:
            other = (position + 1) % 5
            links[position], links[other] = (
                replace(links[other], sequence=links[position].sequence),
                replace(links[position], sequence=links[other].sequence),
            )

    assert faults(links, head, {})


def test_empty_stream_has_no_fault() -> None:
    assert faults([], None, {}) == []


def test_checkpoint_behind_the_end_shows_a_cut() -> None:
    links = chain(3)

    assert faults(links, head_of(links), {5: "a" * 64}) == [Fault.MISSING]


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("pull", RecordKind.PULL),
        ("login", RecordKind.ACCESS),
        ("denial", RecordKind.ACCESS),
        ("push", RecordKind.CHANGE),
        ("update_configuration", RecordKind.CHANGE),
    ],
)
def test_streams_hold_one_kind_of_records(operation: str, kind: RecordKind) -> None:
    for project in (None, *map(str, range(50))):
        assert kind_of_stream(stream_of(operation, project, "alice")) is kind


def test_signature_covers_purpose_place_and_time() -> None:
    point = ChainPoint(1, 2, "a" * 64)
    messages = {
        checkpoint_message(point, "checkpoint", 1),
        checkpoint_message(point, "purged", 1),
        checkpoint_message(point, "checkpoint", 2),
        checkpoint_message(replace(point, stream=2), "checkpoint", 1),
        checkpoint_message(replace(point, sequence=3), "checkpoint", 1),
        checkpoint_message(replace(point, hash="b" * 64), "checkpoint", 1),
    }

    assert len(messages) == 6
