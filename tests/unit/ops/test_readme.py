"""The README tells the truth about settings, commands and fields."""

import re
from pathlib import Path

from typer.main import get_command

from ops.cli.main import app
from state.fields import FIELDS
from streams.settings import Settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_setting_is_listed_with_its_default_and_none_besides():
    rows = dict(re.findall(r"\| `EVERSCORE_([A-Z_]+)` \| (.+?) \|", README))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if name == "owner":
            continue
        default = getattr(field.default, "value", field.default)
        assert rows[name.upper()] == ("empty" if default in {"", None} else f"`{default}`"), name


def test_every_command_the_readme_shows_exists():
    commands = set(get_command(app).commands)
    shown = set(re.findall(r"everscore ([a-z]+)\b", README)) - {"customer"}
    assert shown
    assert shown <= commands


def test_every_target_of_make_the_readme_shows_exists():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    shown = set(re.findall(r"`make ([a-z-]+)", README))
    assert {"demo", "test"} <= shown
    assert shown <= targets


def test_every_target_of_make_is_run_although_a_file_may_have_its_name():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, flags=re.MULTILINE)
    assert set(phony.split()) == targets


def test_every_field_of_a_customer_is_named():
    for field in FIELDS:
        assert f"`{field}`" in README, field
