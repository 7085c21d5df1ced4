"""Logs the results that wait in the spools of studies that ended while their tracking store was away."""

from __future__ import annotations

from mlflow import MlflowClient
from rich.console import Console

from study.data.sources import prepare_data
from study.record import spool
from study.record.spool import Spool
from study.terminal import stopping
from study.terminal.errors import InputError, StudyError, reason
from study.tracking import StudyRun, connect


def sync(console: Console) -> None:
    """Logs every result of every spool that no study is using to its study run.

    If the store does not know the study (a new store has replaced the old one), a study run is created for it. Raises `StudyError`
    where the store stops taking results; the rest stays in the spool.
    """
    client = connect()
    logged = 0
    for results in spool.abandoned():
        if entries := results.entries():
            logged += _sync_one(client, results, entries, console)
    if not logged:
        console.print(f"no result waits in {spool.FOLDER}", highlight=False)


def _sync_one(client: MlflowClient, results: Spool, entries: list[spool.Entry], console: Console) -> int:
    described = results.description()
    if described is None:
        raise InputError(
            f"{results.folder / spool.STUDY} is missing or unreadable, so it is unknown which study these results belong "
            "to: run the command that started the study, which uses them, too"
        )
    config, digest = described
    source = prepare_data(config.dataset, config.data_dir, digest, config.rows, config.order)
    try:
        with stopping.ended(lambda: StudyRun.reopened(client, results.study, config, source), StudyRun.end) as study:
            for entry in entries:
                if not study.has(entry.key):
                    study.log_result(entry)
                spool.remove(entry)
            stored, expected = study.close()
    except (InputError, StudyError):
        raise
    except Exception as error:  # each kind of store raises its own
        raise StudyError(
            f"the tracking store took no more results ({reason(error)}): {len(results.entries())} still wait in "
            f"{results.folder}; run the same command again when it does"
        ) from None
    console.print(
        f"study {study.run_id}: {len(entries)} results logged, {stored} of {expected} networks are stored; to continue: "
        f"python -m analysis --study {study.run_id} && python -m reports --study {study.run_id}",
        highlight=False,
    )
    return len(entries)
