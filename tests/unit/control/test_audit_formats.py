"""Nothing that a client sent gets out of its cell, its line or its terminal."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.control.audit_formats import CSV_HEADER, as_csv_line, as_document, as_json_line
from homeport.db.audit import AuditRecord

RECORD = AuditRecord(
    recorded_at=datetime(2026, 5, 6, 7, 8, 9, 12, tzinfo=UTC),
    operation="push",
    outcome="success",
    principal="alice",
    auth_method="bearer",
    client_address="10.0.0.7",
    user_agent="docker/27",
    request_id="r-1",
    before='{"a":1}',
    after="no JSON",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def cells_of(line: str) -> dict[str, str]:
    (row,) = csv.reader(io.StringIO(line, newline=""))
    return dict(zip(CSV_HEADER, row, strict=True))


def test_document_leaves_out_what_is_not_there_and_parses_states() -> None:
    document = as_document(7, RECORD)

    assert document["before"] == {"a": 1}
    assert document["after"] == "no JSON"
    assert document["recorded_at"] == "2026-05-06T07:08:09.000012+00:00"
    assert "project" not in document


@given(TEXT)
def test_json_line_stays_one_line_of_ascii(text: str) -> None:
    line = as_json_line(1, replace(RECORD, user_agent=text))

    assert all(" " <= character <= "~" for character in line[:-1])
    assert json.loads(line)["user_agent"] == text


@given(TEXT)
def test_csv_cell_is_no_formula_and_no_second_line(text: str) -> None:
    line = as_csv_line(1, replace(RECORD, user_agent=text))
    cell = cells_of(line)["user_agent"]

    assert line.count("\r\n") == 1
    assert line[:-2].isprintable()
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "\uff1d", "|"])
def test_formula_gets_an_apostrophe(start: str) -> None:
    cell = cells_of(as_csv_line(1, replace(RECORD, principal=f"{start}cmd()")))["principal"]

    assert cell.startswith("'")
