"""Logs what waits in the spools of studies that ended while their tracking store was away."""

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

    Where the store does not know the study (a new store, in the place of one that is gone), a study run is made for it. Raises
    `StudyError` where the store stops taking results; what it did not take stays in the spool.
    """
    client = connect()
    logged = 0
    for box in spool.abandoned():
        if entries := box.entries():
            logged += _sync_one(client, box, entries, console)
    if not logged:
        console.print(f"no result waits in {spool.FOLDER}", highlight=False)


def _sync_one(client: MlflowClient, box: Spool, entries: list[spool.Entry], console: Console) -> int:
    described = box.description()
    if described is None:
        raise InputError(
            f"{box.folder / spool.STUDY} is missing or unreadable, so it is not known what study these results are "
            "of: the command that started the study takes them up, too"
        )
    config, digest = described
    source = prepare_data(config.dataset, config.data_dir, digest)
    try:
        with stopping.ended(lambda: StudyRun.reopened(client, box.study, config, source), StudyRun.end) as study:
            for entry in entries:
                if not study.has(entry.key):
                    study.log_result(entry)
                spool.remove(entry)
            stored, expected = study.close()
    except (InputError, StudyError):
        raise
    except Exception as error:  # each kind of store raises its own
        raise StudyError(
            f"the tracking store took no more results ({reason(error)}): {len(box.entries())} still wait in "
            f"{box.folder}; run the same command again when it does"
        ) from None
    console.print(
        f"study {study.run_id}: {len(entries)} results logged, {stored} of {expected} networks are stored; to go on: "
        f"python -m analysis --study {study.run_id} && python -m reports --study {study.run_id}",
        highlight=False,
    )
    return len(entries)
