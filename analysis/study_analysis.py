"""Everything the report is made of: a study's dataset, findings, embeddings of hidden states and similarities of networks."""

from __future__ import annotations

import inspect
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType

import xarray as xr
from mlflow import MlflowClient

from analysis.claims import stored as stored_findings
from analysis.claims.c1_test_accuracy import ASKED, checked_accuracy
from analysis.claims.findings import Findings, category_table, evaluate, markdown, representatives
from analysis.dataset import lengths, records, runs
from analysis.states import degeneracy, embedding, similarity
from analysis.states.embedding import METHODS, chosen_steps
from analysis.states.similarity import mean_over_pairs
from study.config import Frozen, HiddenSize
from study.data.sources import DATA_DIR, Images, load_images, prepare_data
from study.files import durable, netcdf
from study.networks.network import RecurrentNetwork
from study.record import earlier_layout
from study.record.network_record import versions
from study.schema import by_source, with_source
from study.terminal.errors import InputError, StudyError
from study.tracking import results

FOLDER = "analysis"  # of the study run's artifacts
PICTURE = "figures/truncation.png"  # also among them, once figures have been drawn
PAIRS = {similarity: "similarities", degeneracy: "degeneracy"}  # what compares all pairs of networks, in words
MOST_COMPARED, MOST_UNITS = 32, 6400  # networks of a hidden size, and their total units: memory grows with the square


@dataclass(frozen=True)
class Analysis:
    """A study's `dataset` and `findings`; by hidden size, the `embeddings` of the representative network (with its seed as an
    attribute), and the `similarities` of the networks' states and the `degeneracies` of their solutions (neither with
    ``measurements=paper``). `left_out` says which of these could not be computed, one line per reason."""

    dataset: xr.Dataset
    findings: Findings
    embeddings: dict[int, xr.Dataset]
    similarities: dict[int, xr.Dataset]
    left_out: tuple[str, ...] = ()
    degeneracies: Mapping[int, xr.Dataset] = field(default_factory=dict)

    @property
    def study(self) -> str:
        """The study's run id."""
        return self.dataset.attrs["study"]

    @property
    def networks(self) -> int:
        """How many networks the study has."""
        return int((self.dataset.run_id != "").sum())


def analyse(
    client: MlflowClient,
    study: str,
    method: str | None = None,
    data_dir: Path = DATA_DIR,
    beside: Sequence[str] = (),
    accuracy: str = "none",
) -> Analysis:
    """Analyses a study (a run id, or ``latest``). Stored results are reused if the same code made them from the same data.

    `beside` are studies of other lengths, whose periods are compared with this one's (`analysis.dataset.lengths`). `accuracy` is
    the range that C1 asks for, such as ``0.93-0.94``; without one it asks for the paper's, of networks of the paper's kind.

    `method` is one of `analysis.states.embedding.METHODS`; None takes the stored one, else t-SNE. Embeddings and similarities that
    are not stored need the images that the networks were measured on. These come from the data set's folder in `data_dir`, never
    from a path that the study names; where that is another data set, or none, embeddings and similarities are left out.
    """
    dataset = _dataset(client, study, beside, accuracy)
    stored = _Stored(client, dataset, data_dir)
    embeddings, pairs, reasons = {}, {code: {} for code in PAIRS}, defaultdict(list)
    for size, seed in representatives(dataset).items():
        try:
            embeddings[size] = _embedding(stored, size, seed, method)
        except _NotComputedError as error:
            reasons[str(error)].append(f"the embedding of hidden states at H={size}")
        for of_pairs, found in pairs.items():
            try:
                if (one := _of_pairs(stored, size, of_pairs)) is not None:
                    found[size] = one
            except _NotComputedError as error:
                reasons[str(error)].append(f"the {PAIRS[of_pairs]} of networks at H={size}")
    left_out = tuple(f"left out: {', '.join(what)}: {reason}" for reason, what in reasons.items())
    return Analysis(dataset, _findings(client, dataset), embeddings, pairs[similarity], left_out, pairs[degeneracy])


def of_records(client: MlflowClient, study: str, beside: Sequence[str] = (), accuracy: str = "none") -> Analysis:
    """The analysis of a study's records alone: without embeddings and similarities, which need the networks themselves."""
    dataset = _dataset(client, study, beside, accuracy)
    return Analysis(dataset, _findings(client, dataset), {}, {})


def _dataset(client: MlflowClient, study: str, beside: Sequence[str], accuracy: str) -> xr.Dataset:
    """A study's dataset, with what its networks are compared with."""
    dataset = lengths.beside(runs.load(study, client), beside, client)
    return dataset if checked_accuracy(accuracy) == "none" else dataset.assign_attrs({ASKED: accuracy})


def of_dataset(dataset: xr.Dataset) -> Analysis:
    """The analysis of a dataset alone, for example one opened from netCDF: without embeddings and similarities."""
    dataset = earlier_layout.dataset_of_today(dataset)
    return Analysis(dataset, evaluate(dataset), {}, {})


class OfSize(Frozen):
    """A part of a study: one hidden size."""

    hidden_size: HiddenSize


def log_states(client: MlflowClient, study: str, size: int, data_dir: Path = DATA_DIR) -> list[str]:
    """Stores what an analysis would compute from the hidden states of one hidden size's networks; returns the names of the files.

    An analysis takes them as they are if it finds the same networks. Raises `InputError` where the study has no network of this
    size, `StudyError` where the states cannot be computed here.
    """
    dataset = runs.load(study, client)
    present = representatives(dataset)
    if size not in present:
        sizes = ", ".join(map(str, present)) or "one with networks, and there is none yet"
        raise InputError(f"hidden_size={size}: study {dataset.attrs['study']} has no network of this size; expected {sizes}")
    stored = _Stored(client, dataset, data_dir)
    try:
        files = {f"embedding-{size}": _embedding(stored, size, present[size], None)}
        for of_pairs in PAIRS:
            if (one := _of_pairs(stored, size, of_pairs)) is not None:
                files[f"{_name(of_pairs)}-{size}"] = one
    except _NotComputedError as error:
        raise StudyError(str(error)) from None
    with tempfile.TemporaryDirectory() as folder:
        _save_states(files, Path(folder))
        results.log_files(client, dataset.attrs["study"], Path(folder), FOLDER)
        return sorted(path.name for path in Path(folder).iterdir())


def log(client: MlflowClient, analysis: Analysis) -> None:
    """Stores an analysis in MLflow: files and verdicts on the study run, bands on one run per hidden size."""
    study = runs.find(client, analysis.study).run
    with tempfile.TemporaryDirectory() as folder:
        save(analysis, Path(folder))
        results.log_files(client, analysis.study, Path(folder), FOLDER)
    describe(client, analysis)
    for size in sorted({band.hidden_size for band in analysis.findings.bands} | set(analysis.similarities)):
        curves = {
            band.metric: (band.steps, {"mean": band.band.mean, "lower": band.band.lower, "upper": band.band.upper})
            for band in analysis.findings.bands
            if band.hidden_size == size
        }
        for name, measure in analysis.similarities.get(size, xr.Dataset()).data_vars.items():
            for source, similarities in by_source(measure):
                means = {"mean": mean_over_pairs(similarities).values}
                curves[with_source(f"similarity/{name}", source)] = (similarities.time_step.values, means)
        results.log_aggregate(client, study, size, curves)


def describe(client: MlflowClient, analysis: Analysis, running: bool = False) -> None:
    """Sets the study run's description: the verdicts (preliminary while the study is `running`), and a picture if there is one."""
    results.log_description(
        client, analysis.study, lambda room: markdown(analysis.dataset, analysis.findings, running, room), PICTURE
    )


def save(analysis: Analysis, folder: Path) -> None:
    """Writes all of an analysis, as files that open without this project.

    These are `dataset.nc`; `findings.csv`, and all findings as `findings.json`; `trends.csv`, how numbers change with hidden size;
    `categories.csv`, how many networks are of each kind; `spectra.csv` and `cycles.csv`, the mean power spectrum and cycle of
    the accuracy under blank rows; and, for each hidden size, `embedding-H.nc`, `similarity-H.nc` and `degeneracy-H.nc`.
    """
    findings = analysis.findings
    tables = {
        "findings": findings.table(),
        "trends": findings.trend_table(),
        "spectra": findings.spectrum_table(),
        "cycles": findings.cycle_table(),
        "categories": category_table(analysis.dataset),
    }
    for name, table in tables.items():
        durable.write(folder / f"{name}.csv", table.to_csv(index=False).encode())
    durable.write(folder / stored_findings.FILE, stored_findings.as_json(analysis.dataset, findings))
    # Nothing here reads it again, so that it can hold words.
    durable.write(folder / "dataset.nc", bytes(analysis.dataset.to_netcdf(engine="h5netcdf")))
    by_kind = {"embedding": analysis.embeddings, "similarity": analysis.similarities, "degeneracy": analysis.degeneracies}
    _save_states({f"{kind}-{size}": one for kind, by_size in by_kind.items() for size, one in by_size.items()}, folder)


def _save_states(files: Mapping[str, xr.Dataset], folder: Path) -> None:
    for name, dataset in files.items():
        durable.write(folder / f"{name}.nc", netcdf.written(dataset))


def _findings(client: MlflowClient, dataset: xr.Dataset) -> Findings:
    """The findings stored by an earlier analysis, if they are still valid; otherwise computed anew."""
    path = f"{FOLDER}/{stored_findings.FILE}"
    return stored_findings.current_or_new(dataset, runs.stored_bytes(client, dataset.attrs["study"], path, stored_findings.LARGEST))


class _NotComputedError(Exception):
    """Something cannot be computed on this machine; the message says why."""


@dataclass(frozen=True)
class _Stored:
    """A study's stored artifacts, and the images its networks were measured on, from the data set's folder in `data_dir`."""

    client: MlflowClient
    dataset: xr.Dataset
    data_dir: Path

    @cached_property
    def test(self) -> Images:
        """The test images, loaded only if something has to be computed from them."""
        try:
            config = runs.configuration(self.dataset)
            digest, rows, order = self.dataset.attrs["data_digest"], config.get("rows", "all"), config.get("order", "rows")
            source = prepare_data(str(config.get("dataset")), self.data_dir, digest, rows, order)
            return load_images(source, train=False)
        except InputError as error:
            raise _NotComputedError(f"{error} (--data-dir)") from None

    def run_id(self, size: int, seed: int) -> str:
        """The run of a network; empty where it is missing."""
        return str(self.dataset.run_id.sel(hidden_size=size, seed=seed).item())

    def network(self, run_id: str, size: int) -> RecurrentNetwork:
        """A stored network, checked to have the hidden `size` and to read these images."""
        try:
            network = runs.weights(run_id, self.client).checked_for(self.test, f"the network of run {run_id}")
        except InputError as error:
            raise _NotComputedError(str(error)) from None
        if network.hidden_size != size:
            raise _NotComputedError(f"the network of run {run_id} has {network.hidden_size} hidden units, but its run says {size}")
        return network

    def or_computed(
        self, name: str, made_of: list, code: ModuleType, compute: Callable[[], xr.Dataset], method: str | None = None
    ) -> xr.Dataset:
        """The stored result of a name, if it was made from the same inputs, by the same code and libraries, and with the same
        method (if one is given); otherwise computed anew.

        The code is identified by a module's text rather than the commit: the computation takes minutes, and few commits change it.
        """
        made_by = versions() | {"commit": inspect.getsource(code)}
        key = records.cache_key([made_of, self.dataset.attrs["data_digest"], made_by])
        stored = runs.stored_dataset(self.client, self.dataset.attrs["study"], f"{FOLDER}/{name}.nc")
        if stored is not None and stored.attrs.get("key") == key and method in (None, stored.attrs.get("method")):
            # The key is no secret: whoever can write the file can also write the right key.
            dimensions = {str(name): variable.dims for name, variable in stored.variables.items()}
            if dimensions == code.DIMENSIONS:
                return stored
        return compute().assign_attrs(key=key)


def _embedding(stored: _Stored, size: int, seed: int, method: str | None) -> xr.Dataset:
    """The embedding of one network: of every step with ``measurements=full``, else of some steps."""
    full = runs.configuration(stored.dataset).get("measurements") == "full"
    rows = stored.dataset.sizes["time_step"]
    steps = tuple(range(1, rows + 1)) if full else chosen_steps(rows)
    run_id = stored.run_id(size, seed)

    def compute() -> xr.Dataset:
        return embedding.embed(stored.network(run_id, size), stored.test, steps, method or METHODS[0])

    picture = stored.or_computed(f"embedding-{size}", [run_id, steps], embedding, compute, method)
    drawn_by = picture.attrs["method"] if picture.attrs.get("method") in METHODS else METHODS[0]
    return picture.assign_attrs(hidden_size=size, seed=seed, run_id=run_id, method=drawn_by)


def _name(code: ModuleType) -> str:
    """The name of a module, of the function in it, and of the files that hold its results."""
    return code.__name__.rpartition(".")[2]


def _of_pairs(stored: _Stored, size: int, code: ModuleType) -> xr.Dataset | None:
    """What one of `PAIRS` says of the first networks of a hidden size; None with ``measurements=paper``, or fewer than two
    networks."""
    if runs.configuration(stored.dataset).get("measurements") == "paper":
        return None
    ids = {int(seed): stored.run_id(size, seed) for seed in stored.dataset.seed.values}
    most = min(MOST_COMPARED, MOST_UNITS // size)
    ids = dict([(seed, run_id) for seed, run_id in ids.items() if run_id][:most])
    if len(ids) < 2:
        return None

    def compute() -> xr.Dataset:
        return getattr(code, _name(code))({seed: stored.network(run_id, size) for seed, run_id in ids.items()}, stored.test)

    made_of = [*ids.values(), *(getattr(code, "also_made_of", list)())]
    return stored.or_computed(f"{_name(code)}-{size}", made_of, code, compute)
