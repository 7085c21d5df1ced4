"""The command ``orbits``: all commands of ``python -m study``, ``python -m analysis`` and ``python -m reports`` under one name."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

from study.terminal import stopping

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Runs ``orbits`` and exits with its status."""
    stopping.listen()  # first: the imports below take a while
    from study.command_line import run

    run(application())


def application() -> typer.Typer:
    """The commands of all three packages."""
    import typer

    import analysis.__main__ as analysis
    import reports.__main__ as reports
    import study.__main__ as study

    def drawing(command: Callable) -> Callable:
        @wraps(command)
        def begun(*arguments, **options):
            reports.import_matplotlib()
            return command(*arguments, **options)

        return begun

    about = "Train many recurrent networks, measure each of them, and test what was claimed from a single one."
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=about)
    app.registered_commands += study.app.registered_commands
    app.command("analyse")(analysis.analyse)
    for info in analysis.app.registered_commands:
        if info.callback:
            app.command("difference" if info.name == "compare" else info.name)(info.callback)  # the report has a comparison, too
    app.command("report")(drawing(reports.report))
    for info in reports.app.registered_commands:
        if info.callback:
            app.command(info.name)(drawing(info.callback))
    return app
