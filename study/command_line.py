"""How a command ends: an external failure becomes one line on standard error and a status, never a traceback."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Annotated, Any

import typer

from study.terminal import output, stopping
from study.terminal.errors import InputError, StudyError, printable, quoted, reason
from study.terminal.extensions import load_extensions

# typer has its own copy of click; this is the copy's class of argument errors.
UsageError: Any = typer.BadParameter.__base__
# Options that several commands have.
Study = Annotated[str, typer.Option(help="A study's run id, or latest.")]
DataDir = Annotated[
    str | None, typer.Option(help="The folder that holds the study's data set (or your own data); default: the project's.")
]
Beside = Annotated[
    str, typer.Option(help="Run ids of studies of other lengths (rows), separated by commas, whose periods are compared; or none.")
]
Accuracy = Annotated[
    str,
    typer.Option(
        help="The test accuracy that C1 asks for, a range such as 0.93-0.94; none: the paper's, where networks are as its."
    ),
]
COLLECT_AFTER = 100_000  # new objects beyond those freed; 700 by default
# An exception from one of these, or raised beneath one, means that the tracking store failed.
STORES = ("mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3")
# We repeat requests that are not answered: MLflow's own retries would hold a command for minutes. The user's settings win.
SHORT_TIMEOUTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "PGCONNECT_TIMEOUT": "10",
}
ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EROFS: "give access",
    errno.EACCES: "give access",
    errno.EMFILE: "allow more open files (ulimit -n 1024)",
    errno.ENFILE: "allow more open files",
    errno.EAGAIN: "allow more processes (ulimit -u)",
    errno.ENOMEM: "free some memory",
}


def run(app: typer.Typer) -> None:
    """Runs a command-line application and exits with its status."""
    # Libraries make a million lasting objects on import, through which the collector would go some hundred times.
    gc.set_threshold(COLLECT_AFTER)
    quiet_libraries()
    output.guard()
    try:
        with stopping.begun():
            load_extensions()
            message, status = "", app(standalone_mode=False)  # an exit's status is returned, Ctrl-C's is 130
    except (InputError, StudyError, UsageError) as error:
        message, status = _explained(error)
    except KeyboardInterrupt:
        message, status = "stopped", 130
    except Exception as error:
        if stopping.came():  # an interrupted import can fail in any way
            message, status = "stopped", 130
        elif through_store(error):
            message, status = store_failed(error), 1
        elif isinstance(error, OSError):
            message, status = _machine_failed(error), 1
        else:
            raise
    if status == 130:
        message = message or "stopped"
        _end_untaken_run()
    if message and not (status == 130 and stopping.STAGE in os.environ):
        print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)
    gc.freeze()  # nothing is collected on the way out
    sys.exit(output.finish(status or 0))


def usage(error: Any) -> str:
    """What is wrong with the arguments, and which ones the command takes."""
    said = quoted(error.format_message().rstrip("."), 160)
    if error.ctx is None:
        return said
    command, commands = error.ctx.command, list(getattr(error.ctx.command, "commands", {}))
    options = [parameter.opts[0] for parameter in command.params if parameter.param_type_name == "option"]
    arguments = [
        parameter.name.upper() for parameter in command.params if parameter.param_type_name == "argument" and not parameter.hidden
    ]
    accepted = [" ".join([error.ctx.command_path, *arguments])]
    accepted += [f"{name} {', '.join(known)}" for name, known in (("the commands", commands), ("the options", options)) if known]
    return f"{said}; expected {' with '.join(accepted)}"


def quiet_libraries() -> None:
    """Keeps libraries from printing between the lines of a command, and from waiting for long."""
    quiet = {
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    for name, value in (quiet | SHORT_TIMEOUTS).items():
        os.environ.setdefault(name, value)
    for name in ("urllib3", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")


def through_store(error: Exception) -> bool:
    """Whether an error comes from the tracking store: raised by a library that talks to it, or beneath one."""
    names = [type(error).__module__, *(frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))]
    return any(name.split(".")[0] in STORES for name in names)


def store_failed(error: Exception) -> str:
    """The message for an error of the tracking store."""
    if deleted(error):
        return (
            f"the run or experiment this command writes to was deleted ({reason(error)}): restore it (mlflow runs restore --run-id "
            "ID or mlflow experiments restore -x ID), then run the same command again"
        )
    return f"the tracking store failed ({reason(error)}): nothing stored is lost; run the same command again when it answers"


def deleted(error: Exception) -> bool:
    """Whether an error of the tracking store says that a run, or the experiment, was deleted."""
    return "must be in the 'active' state" in str(error)


def _explained(error: Exception) -> tuple[str, int]:
    if isinstance(error, UsageError):
        return usage(error), 2
    return str(error), getattr(error, "status", 2)


def _machine_failed(error: OSError) -> str:
    advice = ADVICE.get(error.errno or 0, "fix that")
    return f"this machine refused something ({reason(error)}): {advice}, then run the same command again; nothing stored is lost"


def _end_untaken_run() -> None:
    """Ends the run that `mlflow run` created for this command, if the command was stopped before it took the run over."""
    if "MLFLOW_RUN_ID" in os.environ and stopping.STAGE not in os.environ:
        with suppress(Exception):
            from study.tracking.store import end_untaken

            stopping.within(stopping.LEAVE, lambda: end_untaken(os.environ["MLFLOW_RUN_ID"]))
