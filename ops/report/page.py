"""The report as one HTML file: style, drawings and tables inline, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from ops.backtest.tables import Sheet
from ops.report.style import Plot, svg

_STYLE = """
:root { --paper: #fdfcfb; --ink: #101113; --line: #c9c8c5; --card: #ffffff; --dim: #55565a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #131416; --ink: #ececea; --line: #4b4d52; --card: #1c1e21; --dim: #a9abb0; }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 12px; }
h2 { font-size: 1.25rem; margin: 40px 0 12px; }
h3 { font-size: 1.05rem; margin: 0 0 4px; line-height: 1.3; }
p { margin: 0 0 8px; max-width: 76ch; }
.plots, .tables { display: grid; gap: 16px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); }
figure, .table { margin: 0; padding: 16px; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; min-width: 0; }
figcaption p, .table p { color: var(--dim); font-size: .9rem; }
svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px 5px 0; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; }
footer { margin-top: 40px; color: var(--dim); font-size: .85rem; }
@media (max-width: 560px) {
  main { padding: 16px 10px 40px; }
  figure, .table { padding: 12px 10px; }
  table { font-size: .82rem; }
  th, td { padding-right: 6px; }
}
@media print { figure, .table { break-inside: avoid; } }
"""


def page(
    title: str,
    summary: Sequence[str],
    parts: Sequence[tuple[str, Sequence[Plot]]],
    tables: Sequence[Sheet],
    command: str,
) -> str:
    """The whole file.

    Parameters
    ----------
    title : str
    summary : sentences under it
    parts : heading and plots of each
    tables : the backtest's
    command : str
        That makes it again.
    """
    return "\n".join(_lines(title, summary, parts, tables, command)) + "\n"


def _lines(
    title: str,
    summary: Sequence[str],
    parts: Sequence[tuple[str, Sequence[Plot]]],
    tables: Sequence[Sheet],
    command: str,
) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield (
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
    )
    yield f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{escape(title)}</h1>"
    yield from (f"<p>{escape(line)}</p>" for line in summary)
    for heading, plots in parts:
        yield f'<h2>{escape(heading)}</h2>\n<div class="plots">'
        for plot in plots:
            yield f"<figure><figcaption><h3>{escape(plot.title)}</h3>"
            yield f"<p>{escape(plot.reading)}</p></figcaption>"
            yield f"{svg(plot)}</figure>"
        yield "</div>"
    yield '<h2>In figures</h2>\n<div class="tables">'
    for sheet in tables:
        yield from _table(sheet)
    yield f"</div>\n<footer>Made by <code>{escape(command)}</code>.</footer>"
    yield "</main>\n</body>\n</html>"


def _table(sheet: Sheet) -> Iterator[str]:
    yield f'<section class="table"><h3>{escape(sheet.title)}</h3>'
    yield f'<p>{escape(sheet.reading)}</p><div class="scroll"><table>'
    yield _row("th", sheet.head)
    yield from (_row("td", row) for row in sheet.rows)
    yield "</table></div></section>"


def _row(cell: str, texts: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{cell}>{escape(text)}</{cell}>' for text in texts)}</tr>"
