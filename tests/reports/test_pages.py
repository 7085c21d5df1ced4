"""The page of each network."""

from __future__ import annotations

from analysis.dataset import runs
from reports import pages


def test_pages_drawn_by_several_processes_are_those_drawn_by_one(real_study, monkeypatch):
    """Bit for bit, and each is logged to its own network."""
    dataset = runs.load(real_study.run_id, real_study.client)
    having, *lacking = (run_id for run_id in dataset.run_id.values.ravel() if run_id)
    monkeypatch.setattr(pages.results, "holds", lambda client, run_id, path: run_id == having)

    def drawn(jobs: int) -> dict[str, bytes]:
        logged = {}
        monkeypatch.setattr(
            pages.results, "log_files", lambda client, run_id, folder: logged.update({run_id: (folder / pages.PAGE).read_bytes()})
        )
        assert pages.log_pages(real_study.client, dataset, jobs=jobs) == len(logged)
        return logged

    alone = drawn(1)
    assert set(alone) == set(lacking)
    assert len(set(alone.values())) == len(alone)
    monkeypatch.setattr(pages, "FEWEST", 2)
    assert drawn(2) == alone
