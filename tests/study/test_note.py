"""The description of a study: ours is written anew, a person's stays."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from analysis.claims.finding import Finding
from analysis.claims.findings import Findings, markdown
from analysis.claims.registry import CLAIMS
from analysis.statistics.intervals import Estimate
from study.tracking import note
from study.tracking.results import log_description

IN_TRAINING = "A study of 4 networks, in training."
LINKS = "[Table of networks](#/experiments/1/runs?viewStateShareKey=networks), [bands as charts](#/x), `report.pdf` and more."
OLD = "\n".join(
    [
        "**3 of 4 networks** measured.",
        "Over all hidden sizes: C1 supported; C2 undecided.",
        "",
        LINKS,
        "",
        "![truncation](get-artifact?path=figures%2Ftruncation.png&run_uuid=1)",
        "",
        "| claim | hidden size | estimate | verdict |",
        "|---|---|---|---|",
        "| C1: test accuracy is over 93% | 50 | 93.6% [93, 94] | **supported** |",
        "",
        "Missing:",
        "",
        "- H&#61;50 seed&#61;1: no run",
    ]
)
MINE, ALSO_MINE = "# My note\n\n| a | b |\n|---|---|\n| 1 | 2 |", "Compare with the study of May.\n\nMissing: the plot."


@pytest.fixture
def client(store) -> MlflowClient:
    return MlflowClient(store)


@pytest.fixture
def run(client):
    """A function that writes our part of a run's description and returns all of it."""
    run_id = client.create_run("0").info.run_id

    def written(text: str, over: str | None = None) -> str:
        if over is not None:
            client.set_tag(run_id, MLFLOW_RUN_NOTE, over)
        note.write(client, run_id, lambda room: text)
        return client.get_run(run_id).data.tags[MLFLOW_RUN_NOTE]

    return written


def test_what_stands_before_and_after_ours_stays(run):
    first = run(IN_TRAINING)
    second = run("**4 of 4 networks** measured.", f"{MINE}\n\n{first}\n\n{ALSO_MINE}")
    assert second.startswith(f"{MINE}\n\n<!-- hidden-orbits ")
    assert second.endswith(f" -->\n\n{ALSO_MINE}")
    assert "in training" not in second
    assert run("**4 of 4 networks** measured.") == second


@pytest.mark.parametrize("old", [IN_TRAINING, OLD])
def test_what_earlier_versions_wrote_is_replaced(run, old):
    alone = run("**4 of 4 networks** measured.", old)
    assert alone == run("**4 of 4 networks** measured.", "")
    between = run("**4 of 4 networks** measured.", f"{MINE}\n\n{old}\n\n{ALSO_MINE}".replace("\n", "\r\n"))
    assert between.replace("\r", "") == f"{MINE}\n\n{alone}\n\n{ALSO_MINE}"


def _lines(text: str) -> set[str]:
    return {line for line in text.split("\n") if line.strip()}


@pytest.mark.parametrize("ours", [OLD, "A text of a later version, of another form."])
@pytest.mark.parametrize(
    "broken", ["no end", "no beginning", "neither", "two pairs", "two beginnings", "turned", "written into", "appended inside"]
)
def test_broken_marks_lose_nothing_of_a_person_s(run, ours, broken):
    whole = run(ours, "")
    begin, end = whole.split("\n")[0], whole.split("\n")[-1]
    inside = whole.removeprefix(begin).removesuffix(end)
    harmed = {
        "no end": f"{MINE}\n{begin}{inside}\n{ALSO_MINE}",
        "no beginning": f"{MINE}\n{inside}{end}\n{ALSO_MINE}",
        "neither": f"{MINE}\n{inside}\n{ALSO_MINE}",
        "two pairs": f"{whole}\n{MINE}\n{whole}\n{ALSO_MINE}",
        "two beginnings": f"{begin}{inside}{MINE}\n{whole}\n{ALSO_MINE}",
        "turned": f"{end}\n{MINE}\n{begin}\n{ALSO_MINE}",
        "written into": whole.replace("Missing:", f"{MINE}\n{ALSO_MINE}\nMissing:") + f"\n{MINE}\n{ALSO_MINE}",
        "appended inside": whole.replace(end, f"{MINE}\n{ALSO_MINE}\n{end}"),
    }[broken]
    mended = run("**4 of 4 networks** measured.", harmed)
    assert _lines(MINE) | _lines(ALSO_MINE) <= _lines(mended)
    assert mended.count("<!-- hidden-orbits ") == 2
    assert mended.count("**4 of 4 networks** measured.") == 1
    # Without any mark, a text of a form that is not known may be anyone's.
    if (ours, broken) != ("A text of a later version, of another form.", "neither"):
        assert not _lines(ours) & _lines(mended)
    assert run("**4 of 4 networks** measured.") == mended


def _study(networks: int, missing: int) -> tuple[xr.Dataset, Findings]:
    estimate = Estimate(0.9, 0.8, 0.95, 10)
    ledger = [Finding(f"C{claim}", size, estimate, "supported") for claim in range(1, 9) for size in range(20)]
    dataset = xr.Dataset({"run_id": ("seed", np.full(networks, "id"))})
    reasons = {f"H=8 seed={seed}": "its run is killed and incomplete" for seed in range(missing)}
    return dataset.assign_attrs(missing=json.dumps(reasons)), Findings(ledger, [], {}, {}, {}, [])


@pytest.mark.parametrize("written", [0, 3000, 7000, 7900, 7990, 8000])
def test_ours_is_shortened_so_that_both_fit_and_left_out_where_there_is_no_room(client, written):
    mine = "x" * written
    run_id = client.create_run("0", tags={MLFLOW_RUN_NOTE: mine}).info.run_id
    dataset, findings = _study(1000, 900)
    log_description(client, run_id, lambda room: markdown(dataset, findings, room=room), "figures/none.png")
    told = client.get_run(run_id).data.tags[MLFLOW_RUN_NOTE]
    assert mine in told and len(told) <= 8000
    if written >= 7900:
        assert told == mine
        return
    assert "**100 of 1000 networks** measured." in told
    assert "left out here" in told and "H&#61;8" not in told
    assert told.count("<!-- hidden-orbits ") == 2
    assert ("| C1: " in told) == (written <= 7000)


@pytest.mark.parametrize("room", [100_000, 3000, 600])
@pytest.mark.parametrize("running", [False, True])
def test_every_line_that_we_write_is_known_as_ours_without_its_marks(run, room, running, monkeypatch):
    dataset, findings = _study(10, 3)
    own = Finding("X1", 8, Estimate(0.9, 0.8, 0.95, 10), "not applicable")
    with_own = replace(
        findings,
        ledger=[*findings.ledger[:40], replace(own, claim="C5b"), own],
        cautions=["H = 8: 3 of 6 networks (50%) | lack_it"],
        unjudged=["C4, it oscillates, after rows: not judged at H = 8, because it needs period, which the networks do not have."],
    )
    monkeypatch.setitem(CLAIMS, "X1", replace(CLAIMS["C5"], id="X1", hypothesis="of my own | in <b>marks</b>"))
    ours = markdown(dataset, with_own, running=running, room=room)
    assert running or ("networks are missing" in ours) == (room < 100_000)
    assert run(IN_TRAINING, f"{MINE}\n\n{ours}\n\n{ALSO_MINE}") == run(IN_TRAINING, f"{MINE}\n\n{IN_TRAINING}\n\n{ALSO_MINE}")


def test_a_description_that_fits_is_whole():
    dataset, findings = _study(10, 3)
    told = markdown(dataset, findings, room=100_000)
    assert told.count("| C") == 160 and told.count("- H&#61;8") == 3 and "left out" not in told
