"""Dead letters on the terminal: whatever they hold is shown as it is, and nothing of it acts."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ops.cli import dlq as module
from ops.cli.main import app
from schemas.dead_letter import DeadLetter
from schemas.decoding import DecodingLimits, decode_transactions
from tests.support.purchases import LogRecord

VALUES = {
    "closing tag": b'{"transaction_id":"t","customer_id":"c","occurred_at":"[/b]","amount":1}',
    "opening tag": b'{"transaction_id":"t","customer_id":"c","occurred_at":"[blink]","amount":1}',
    "escaped tag": b'{"transaction_id":"t","customer_id":"\\\\[/red]","amount":1}',
    "terminal": b"\x1b]0;title\x07",
    "no value": None,
}


@pytest.fixture
def letters(monkeypatch):
    found = []
    for offset, value in enumerate(VALUES.values()):
        ((_, error),) = decode_transactions([value], [0], DecodingLimits()).rejects
        letter = DeadLetter.of(error, "transactions", 0, offset)
        headers = [("[/x]\x1b[31m", b"[/y]\x1b"), ("absent", None), *letter.headers()]
        record = LogRecord(offset, value, b"[/key]\x07", headers=headers)
        record.partition = 0
        found.append((record, letter))

    async def dead_letters(_):
        return found

    monkeypatch.setattr(module, "dead_letters", dead_letters)
    return found


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["dlq", *arguments], env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    return done.output


def test_list_shows_every_reason_as_it_is(letters):
    shown = run("ls")
    for _, letter in letters:
        assert letter.message in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize("offset", range(len(VALUES)), ids=VALUES)
def test_letter_shows_reason_key_headers_and_bytes_as_they_are(letters, offset):
    record, letter = letters[offset]
    shown = run("show", f"0:{offset}")
    assert letter.message in shown.replace("\n", "")
    assert "key b'[/key]\\x07'" in shown
    assert "header '[/x]\\x1b[31m': b'[/y]\\x1b'" in shown
    assert "header 'absent': None" in shown
    assert repr(record.value or b"") in shown
    assert "\x1b" not in shown


def test_place_that_looks_like_markup_is_named_in_the_complaint(letters):
    done = CliRunner().invoke(app, ["dlq", "show", "[/red]"], env={"COLUMNS": "400"})
    assert "there is no dead letter at '[/red]'" in done.output
    assert isinstance(done.exception, SystemExit)
