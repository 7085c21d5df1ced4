"""How a command ends: a user's mistake is one line on standard error and status 2, never a traceback."""

from __future__ import annotations

import os
import sys

import typer

from study.credentials import screen_output
from study.errors import InputError, StudyError, printable, quoted, reason

# typer carries its own copy of click; this is that copy's class of mistakes in the arguments.
UsageError = typer.BadParameter.__base__
STORES = ("mlflow", "requests", "urllib3", "sqlalchemy")  # whose exceptions say that a tracking store failed, in the middle


def run(app: typer.Typer) -> None:
    """Runs a command-line application and exits with its status."""
    screen_output()
    try:
        status = app(standalone_mode=False)  # an exit's status is returned, Ctrl-C's is 130
    except InputError as error:
        _end(str(error), 2)
    except StudyError as error:
        _end(str(error), error.status)
    except UsageError as error:
        _end(usage(error), 2)
    except Exception as error:
        if type(error).__module__.split(".")[0] not in STORES:
            raise
        _end(f"the tracking store failed ({reason(error)}): nothing stored is lost; run the same command again when it answers", 1)
    if status == 130:
        _end("stopped", 130)
    sys.exit(status)


def _end(message: str, status: int) -> None:
    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)
    sys.exit(status)


def usage(error: UsageError) -> str:
    """What is wrong with the arguments themselves, and what a command takes."""
    said = quoted(error.format_message().rstrip("."), 160)
    if error.ctx is None:
        return said
    command, commands = error.ctx.command, list(getattr(error.ctx.command, "commands", {}))
    options = [parameter.opts[0] for parameter in command.params if parameter.param_type_name == "option"]
    arguments = [parameter.name.upper() for parameter in command.params
                 if parameter.param_type_name == "argument" and not parameter.hidden]
    accepted = [" ".join([error.ctx.command_path, *arguments])]
    accepted += [f"{name} {', '.join(known)}" for name, known in (("the commands", commands), ("the options", options)) if known]
    return f"{said}; expected {' with '.join(accepted)}"


def quiet_libraries() -> None:
    """Keeps MLflow and Git from explaining themselves between the lines of a command."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
