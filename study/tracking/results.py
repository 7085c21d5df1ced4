"""What analysis and reports store in MLflow: files, bands as curves, and a study's description. They write only through here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study.terminal.stopping import ended
from study.tracking import note, views
from study.tracking.job import TOKEN, end_twins
from study.tracking.store import PAGE, log_folder, search, terminate

Curves = Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]]


def log_files(client: MlflowClient, run_id: str, folder: Path, place: str | None = None) -> None:
    """Logs every file of a folder to a run, below the artifact path `place`."""
    log_folder(client, run_id, folder, place)


def holds(client: MlflowClient, run_id: str, path: str) -> bool:
    """Whether a run has an artifact of that path."""
    return any(file.path == path for file in client.list_artifacts(run_id, path.rpartition("/")[0] or None))


def log_aggregate(client: MlflowClient, study: Run, hidden_size: int, curves: Curves) -> str:
    """Logs the band curves of one hidden size as a child run of the study, so that the UI draws them.

    `curves` maps a metric to its steps `[P]` and, by name (`mean`, `lower`, `upper`), its values `[P]`. An aggregate
    that an earlier analysis left is kept, but its tag `current` becomes ``false``, and `superseded_by` names the new one.
    """
    parent, experiment = study.info.run_id, study.info.experiment_id
    condition = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}' and tags.kind = 'aggregate'"
    # The size is a tag, too: a run has its tags from the first moment, its parameters only if it is not killed before.
    size = {"hidden_size": str(hidden_size)}
    tags = {"kind": "aggregate", "study": parent, MLFLOW_PARENT_RUN_ID: parent, TOKEN: uuid4().hex} | size
    stamp = int(time.time() * 1000)
    points = [
        Metric(f"{metric}/{part}", float(value), stamp, int(step))
        for metric, (steps, parts) in curves.items()
        for part, values in parts.items()
        for step, value in zip(steps, values, strict=True)
        if np.isfinite(value)
    ]

    def begin() -> str:
        return client.create_run(experiment, tags=tags, run_name=f"H={hidden_size} all seeds").info.run_id

    with ended(begin, lambda run_id, status: terminate(client, run_id, status)) as run_id:
        client.log_batch(run_id, params=[Param(*pair) for pair in size.items()])
        for start in range(0, len(points), PAGE):
            client.log_batch(run_id, metrics=points[start : start + PAGE])
        client.log_batch(run_id, tags=[RunTag("complete", "true"), RunTag("current", "true")])
        client.set_terminated(run_id)
    end_twins(client, experiment, run_id, tags[TOKEN])
    for run in search(client, [experiment], condition):
        if run.info.run_id == run_id or not size.items() <= (run.data.params | run.data.tags).items():
            continue
        client.log_batch(run.info.run_id, tags=[RunTag("current", "false"), RunTag("superseded_by", run_id)])
        # Left by a killed analysis; if that analysis is alive, it ends the run again.
        if run.info.status == "RUNNING":
            terminate(client, run.info.run_id, "KILLED")
    return run_id


def log_description(client: MlflowClient, study: str, markdown: Callable[[int], str], picture: str) -> None:
    """Sets our part of the description on the study run's page; the user's text is kept. `markdown` makes it, given the greatest
    number of characters.

    Links to the views, and the picture if the run has that artifact, follow the first paragraph, above the fold of the UI.
    """
    experiment = client.get_run(study).info.experiment_id
    added = [
        f"[Table of networks]({views.link(experiment, 'networks')}), [bands as charts]({views.link(experiment, 'bands')}), "
        "`report.pdf` and all figures under Artifacts."
    ]
    if holds(client, study, picture):
        added.append(f"![{Path(picture).stem}](get-artifact?path={quote(picture, safe='')}&run_uuid={study})")
    below = "\n\n".join(added)

    def ours(room: int) -> str:
        head, _, rest = markdown(room - len(below) - len("\n\n")).partition("\n\n")
        full = "\n\n".join(part for part in (head, below, rest) if part)
        return full if len(full) <= room else markdown(room)

    note.write(client, study, ours)
