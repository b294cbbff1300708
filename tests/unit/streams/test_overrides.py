"""The file of overrides: what is refused, and that the reason names key and value."""

from pathlib import Path

import pytest

from schemas.errors import ConfigurationError
from schemas.overrides import NO_OVERRIDES
from streams.overrides import FILE_BYTES_MAX, first_scorecard, read_overrides
from streams.settings import Settings

EXAMPLE = Path(__file__).parents[3] / "ops" / "overrides.example.yaml"


def written(folder: Path, text: str) -> Path:
    file = folder / "overrides.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("segmants: {}", "segmants is no key (its value is {})"),
        ("segments: {VIP: {name: x}}", "segments.VIP is no segment; known are Champions, Loyal"),
        ("segments: {Loyal: {nmae: x}}", "segments.Loyal.nmae is no key (its value is 'x')"),
        ("segments: {Loyal: {name: no}}", "segments.Loyal.name: False: "),
        ("segments: {Loyal: {name: a/b}}", "segments.Loyal.name: 'a/b': must be 1 to 64"),
        ("segments: {Loyal: {name: ''}}", "segments.Loyal.name: '': must be 1 to 64"),
        ("segments: {Loyal: {name: '[b]x'}}", "segments.Loyal.name: '[b]x': must be 1 to 64"),
        (f"segments: {{Loyal: {{offer: {'x' * 65}}}}}", "segments.Loyal.offer: 'xxx"),
        ("segments: {Loyal: {name: Champions}}", "Champions and Loyal would both be called"),
        ("segments: {Loyal: VIP}", "segments.Loyal: 'VIP': "),
        ("segments: [Loyal]", "segments: ['Loyal']: "),
        ("lifecycle: {fading: 1.5}", "lifecycle.fading: 1.5: "),
        ("lifecycle: {fading: '0.5'}", "lifecycle.fading: '0.5': "),
        ("lifecycle: {fading: 0.2, lost: 0.5}", "lost 0.5 must lie below fading 0.2"),
        ("hysteresis: yes", "hysteresis: True: "),
        ("hysteresis: -1", "hysteresis: -1: "),
        ("rfm: {frequency: [1, 2, 3]}", "rfm.frequency.3: "),
        ("rfm: {frequency: [4, 3, 2, 1]}", "rfm.frequency: [4, 3, 2, 1]: must be four numbers"),
        ("rfm: {recency: [1, 2, 3, 4]}", "rfm.recency is no key"),
        ("just words", "the file: 'just words': "),
        ("a: [", "no YAML: "),
        ("hysteresis: 0.1\nhysteresis: 0.2", "key 'hysteresis' is given twice"),
        ("&a [*a]", "the file: "),
        ("#" * (FILE_BYTES_MAX + 1), "more than 65,536 bytes"),
    ],
)
def test_wrong_file_is_refused_with_the_key_and_the_value(tmp_path, text, said):
    file = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        read_overrides(file)
    assert said in str(refused.value)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "overrides.yaml"
    file.write_bytes(b"\xff\xfe\x00\x01\xd8")
    with pytest.raises(ConfigurationError, match="no YAML"):
        read_overrides(file)


def test_file_that_is_not_there_is_named_with_its_setting(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"EVERSCORE_OVERRIDES: .*none\.yaml cannot be read"
    ):
        read_overrides(tmp_path / "none.yaml")


def test_no_file_and_an_empty_one_override_nothing(tmp_path):
    assert read_overrides(None) == NO_OVERRIDES
    assert read_overrides(written(tmp_path, "# nothing yet\n")) == NO_OVERRIDES


def test_example_names_every_key():
    example = read_overrides(EXAMPLE)
    for part in (example, example.lifecycle, example.rfm, *example.segments.values()):
        missing = type(part).model_fields.keys() - part.model_fields_set
        assert not missing or part is example.segments["At-Risk"]
    assert example.segments["Champions"].offer == "early-access"


def test_first_scorecard_is_as_settings_and_overrides_want_it(tmp_path):
    file = written(tmp_path, "{segments: {Loyal: {name: Regulars}}, lifecycle: {fading: 0.4}}")
    card = first_scorecard(Settings(_env_file=None, overrides=file, lost_below=0.3))
    assert card.segments[1] == "Regulars"
    assert (card.lifecycle.fading, card.lifecycle.lost) == (0.4, 0.3)
    with pytest.raises(ConfigurationError, match=r"lifecycle\.fading 0\.4 .* lost 0\.45"):
        first_scorecard(Settings(_env_file=None, overrides=file, lost_below=0.45))
