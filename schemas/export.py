"""Writes the JSON Schema of every contract to `schemas/json/`; `make schemas` calls it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from schemas.change import ChangeEvent
from schemas.dead_letter import DeadLetter
from schemas.scorecard import Scorecard
from schemas.transaction import Transaction

FOLDER = Path(__file__).parent / "json"
CONTRACTS: dict[str, type[BaseModel]] = {
    "transaction.v1": Transaction,
    "change.v1": ChangeEvent,
    "dead-letter.v1": DeadLetter,
    "scorecard.v1": Scorecard,
}


def rendered() -> dict[str, str]:
    """File name → content, as it should stand in `schemas/json/`."""
    return {
        f"{name}.json": json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema"}
            | model.model_json_schema(mode="validation"),
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
        for name, model in CONTRACTS.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file_name, content in rendered().items():
        (FOLDER / file_name).write_text(content, encoding="utf-8")
