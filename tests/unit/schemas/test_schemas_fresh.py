"""The JSON Schema files that stand in the repository are those the models give."""

from __future__ import annotations

import json

import pytest

from schemas.export import CONTRACTS, FOLDER, rendered


def test_every_contract_has_a_file_and_no_file_is_left_over():
    assert CONTRACTS
    assert {path.name for path in FOLDER.glob("*.json")} == set(rendered())


@pytest.mark.parametrize("file_name", sorted(rendered()))
def test_file_equals_what_the_model_gives(file_name):
    written = (FOLDER / file_name).read_text(encoding="utf-8")
    assert written == rendered()[file_name], "stale: run `make schemas`"


@pytest.mark.parametrize("file_name", sorted(rendered()))
def test_file_is_an_object_schema_with_a_title_and_required_fields(file_name):
    schema = json.loads(rendered()[file_name])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["type"] == "object"
    assert schema["title"]
    assert schema["required"]
