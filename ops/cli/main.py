"""The `everscore` command: one room per command, joined here."""

from __future__ import annotations

import typer

from ops.cli.backtest import backtest
from ops.cli.bench import bench
from ops.cli.customers import explain, lookup
from ops.cli.demo import demo
from ops.cli.dlq import dlq
from ops.cli.doctor import doctor
from ops.cli.erase import erase
from ops.cli.fit import fit
from ops.cli.key import key
from ops.cli.rebuild import rebuild
from ops.cli.replay import replay
from ops.cli.report import report
from ops.cli.scorecard import scorecard
from ops.cli.serve import serve
from ops.cli.stack import stack
from ops.cli.tail import tail
from ops.cli.topics import topics
from ops.cli.verify import verify
from ops.cli.worker import worker

app = typer.Typer(
    name="everscore",
    help="A live score of every customer: exact, explained, milliseconds after the event.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for run in (
    *(demo, worker, replay, fit, lookup, explain, tail, serve),
    *(backtest, report, verify, rebuild, erase, bench, doctor),
):
    app.command()(run)
app.add_typer(dlq, name="dlq")
app.add_typer(key, name="key")
app.add_typer(scorecard, name="scorecard")
app.add_typer(stack, name="stack")
app.add_typer(topics, name="topics")

if __name__ == "__main__":
    app()
