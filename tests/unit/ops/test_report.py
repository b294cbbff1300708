"""`everscore report`: one file that needs nothing else, whatever the shop is called."""

import re
import struct
from collections import Counter
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from ops.cli import report as module
from ops.cli.main import app
from ops.cli.support import Exit
from ops.report.style import INK, LINE, PAPER
from tests.support.shop import purchases, write_lines

PLOTS = {
    "segments", "concentration", "migrations", "retention", "rfm-quintiles", "rfm-min-max",
    "calibration", "holdout", "tracking", "matrix-alive", "matrix-expected", "stability",
}  # fmt: skip
SPLIT = ["--calibration-weeks", "20", "--holdout-weeks", "15"]


class Page(HTMLParser):
    """What a browser would find in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.text = Counter(), Counter(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        for name, value in attributes:
            if name == "id":
                self.ids[value] += 1
            if name in {"href", "xlink:href", "src"}:
                self.links.append(value)

    def handle_data(self, data):
        self.text.append(data)


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def html(folder):
    shop = write_lines(folder / "<img src=x>&.jsonl", purchases(700, 280))
    result = run("jsonl", shop, "--to", folder / "r.html", "--png", folder / "png", *SPLIT)
    assert result.exit_code == Exit.OK, result.output
    return (folder / "r.html").read_text(encoding="utf-8")


def test_page_fetches_nothing_and_runs_nothing(html):
    page = Page(html)
    assert page.tags["script"] == page.tags["link"] == page.tags["iframe"] == 0
    assert page.links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert not re.findall(r"@import|url\((?!#)", html)
    assert "default-src 'none'" in html


def test_every_plot_is_there_with_ids_of_its_own(html):
    page = Page(html)
    assert page.tags["svg"] == page.tags["figure"] == len(PLOTS)
    assert page.ids
    assert max(page.ids.values()) == 1
    for reference in re.findall(r'(?:xlink:href="|url\()#([^")]+)', html):
        assert page.ids[reference] == 1, reference


def test_drawings_take_ink_and_paper_from_the_page(html):
    style, drawings = html.split("</style>", 1)
    for colour, variable in ((INK, "--ink"), (LINE, "--line"), (PAPER, "--paper")):
        assert colour not in drawings
        assert style.count(f"{variable}:") == 2, "light and dark"
    assert drawings.count("var(--ink)") > 100


def test_file_names_are_text_and_nothing_else(html):
    assert Page(html).tags["img"] == 0
    assert "Customers of &lt;img src=x&gt;&amp;.jsonl" in html


def test_figures_of_the_backtest_stand_beside_the_plots(html):
    page = Page(html)
    assert page.tags["table"] == 7
    text = " ".join(page.text)
    for said in (
        "customers, learnt from",
        "Everscore (MBG/NBD): P(buy)",
        "never told",
        "Champions",
    ):
        assert said in text


def test_each_plot_is_a_picture_too(html, folder):
    found = {path.stem: path.read_bytes() for path in (folder / "png").glob("*.png")}
    assert set(found) == PLOTS
    for content in found.values():
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", content[16:24]) == (688, 512)


def test_same_file_gives_the_same_page(html, folder):
    again = run("jsonl", folder / "<img src=x>&.jsonl", "--to", folder / "again.html", *SPLIT)
    assert again.exit_code == Exit.OK
    assert (folder / "again.html").read_text(encoding="utf-8") == html


def test_shop_too_small_for_a_model_is_drawn_all_the_same(tmp_path):
    shop = write_lines(tmp_path / "small.jsonl", purchases(30, 280))
    result = run("jsonl", shop, "--to", tmp_path / "r.html", *SPLIT)
    assert result.exit_code == Exit.OK, result.output
    assert "Nothing was learnt from the calibration" in (tmp_path / "r.html").read_text()


def test_data_that_ends_within_the_first_window_has_no_plot_of_retention(tmp_path):
    shop = write_lines(tmp_path / "short.jsonl", purchases(200, 140))
    result = run("jsonl", shop, "--to", tmp_path / "r.html", "--calibration-weeks", "17")
    assert result.exit_code == Exit.OK, result.output
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert Page(html).tags["svg"] == len(PLOTS) - 1
    assert "Retention" not in html


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    result = run("--to", tmp_path / "r.html")
    assert result.exit_code == Exit.CONFIG
    assert "pip install 'everscore[report]'" in result.stderr
    assert not (tmp_path / "r.html").exists()
