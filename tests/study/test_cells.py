"""Cells: what they say of themselves is tested, a wrong one is refused, and whatever runs a network asks its cell."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from biased_cell import BIASED, BiasedTanh
from conftest import ROOT, run_command
from mlflow.pyfunc import PythonModelContext
from safetensors.torch import save_file
from torch import nn

from reports.cells import jacobian, layer
from reports.text.methods import methods
from study.config import StudyConfig, validated
from study.data.sources import DataShape, Images
from study.execution.stacks import stacks, training_memory
from study.measurements import measure
from study.measurements.fixed_points import search
from study.measurements.recording import Recording
from study.networks.cells import BUILT_IN, CELLS, TANH, Cell, classifier, known, register_cell
from study.networks.cells.cell import BlankMap
from study.networks.cells.checks import faults
from study.networks.cells.vanilla import ReluCell, TanhCell
from study.networks.network import RecurrentNetwork, accuracy, scaled
from study.networks.rest import rest_state
from study.record.keys import fused_network_key, training_key
from study.terminal.errors import InputError


class LSTM(Cell):
    """As a user may write it: the state is h and c, of which h is observed."""

    name = "own_lstm"
    description = "LSTM units without bias"
    names = {"input": "rnn.weight_ih_l0", "recurrent": "rnn.weight_hh_l0"}  # noqa: RUF012
    rests_at_zero = True

    def shapes(self, hidden_size, features):
        return {"input": (4 * hidden_size, features), "recurrent": (4 * hidden_size, hidden_size)}

    def state_size(self, hidden_size):
        return 2 * hidden_size

    def observed(self, state):
        return state[..., : state.shape[-1] // 2]

    def step(self, weights, state, row):
        h, c = state.chunk(2, dim=-1)
        i, f, g, o = (row @ weights["input"].mT + h @ weights["recurrent"].mT).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c], dim=-1)


CELLS_TRIED = {cell.name: cell for cell in (*BUILT_IN, BIASED, LSTM())}


@pytest.mark.parametrize("cell", CELLS_TRIED.values(), ids=CELLS_TRIED)
def test_a_cell_is_what_it_says(cell):
    assert faults(cell) == []


def _altered(base: type[Cell], **changes) -> Cell:
    return type("Altered", (base,), changes)()


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (_altered(TanhCell, odd=False), "says that it is not odd"),
        (_altered(TanhCell, rests_at_zero=False), "says that it does not rest at 0"),
        (_altered(ReluCell, bounded=True), "says that its states are bounded"),
        (_altered(BiasedTanh, odd=True), "says that it is odd"),
        (_altered(BiasedTanh, rests_at_zero=True), "says that it rests at 0"),
        (
            _altered(TanhCell, jacobian=lambda self, weights, state, following=None: weights["recurrent"].expand(5, 7, 7)),
            "jacobian",
        ),
        (_altered(TanhCell, blank=lambda self, weights, state: state.tanh()), "its blank does not agree with its step"),
        (_altered(TanhCell, rows=lambda self, weights, images: iter(Cell.rows(self, weights, 2 * images))), "its rows"),
        (_altered(TanhCell, blank_rows=lambda self, weights, state, count: iter([state, state])), "its blank_rows"),
        (_altered(TanhCell, blank_map=lambda self, weights: BlankMap(BIASED, weights | {"shift": torch.ones(7)})), "its blank_map"),
        (_altered(TanhCell, nonlinearity=lambda self, drive: drive.relu()), "its blank map is not its nonlinearity"),
        (_altered(BiasedTanh, nonlinearity=lambda self, drive: drive.tanh()), "its blank map is not its nonlinearity"),
        (_altered(LSTM, nonlinearity=lambda self, drive: drive.tanh()), "its blank map is not its nonlinearity"),
        (_altered(TanhCell, name="Has Spaces"), "its name"),
        (_altered(TanhCell, description="two\nlines"), "description"),
        (_altered(TanhCell, names={"input": "a"}), "not for the same parameters"),
        (
            _altered(BiasedTanh, shapes=lambda self, h, f: {"input": (f, h), "recurrent": (h, h), "shift": (h,)}),
            "no parameters input",
        ),
        (_altered(TanhCell, observed=lambda self, state: state[..., :3]), "do not have the shapes"),
    ],
)
def test_a_cell_that_is_not_what_it_says_is_refused(cell, words):
    with pytest.raises(InputError, match=words):
        register_cell(cell)
    assert set(CELLS.values()) == {*BUILT_IN, BIASED}


def test_a_name_belongs_to_one_cell():
    assert register_cell(BiasedTanh()).name == "biased_tanh"  # the module may be imported under two names
    with pytest.raises(InputError, match="tanh: this name is taken"):
        register_cell(_altered(LSTM, name="tanh"))
    register_cell(BIASED)


@pytest.mark.parametrize("name", ["none", "os", "../tanh", 3, None, ["tanh"], "biased_cell"])
def test_a_name_that_is_not_registered_is_one_line_that_says_what_to_do(name):
    with pytest.raises(InputError, match=r"one of tanh, relu, .*, biased_tanh, or a module that registers it in HIDDEN_ORBITS_EXT"):
        known(name)
    with pytest.raises(InputError, match=r"cell=.*no cell of this name is registered"):
        validated(StudyConfig, {"cell": name})


def test_the_spectrum_of_the_paper_s_cell_is_that_of_r_itself(network):
    assert torch.equal(network.rest_jacobian, network.recurrent)


def test_states_of_an_lstm_are_pytorch_s_and_its_full_state_is_followed(test_images, train_images):
    network = RecurrentNetwork.initial(1, 12, 28, 10, CELLS_TRIED["lstm"])
    theirs = nn.LSTM(28, 12, bias=False, batch_first=True)
    theirs.load_state_dict({"weight_ih_l0": network.input, "weight_hh_l0": network.recurrent})
    few = test_images.first(300)
    recording = Recording(network, few, train_images.first(300), blank_rows=3)
    with torch.no_grad():
        states, (_, c) = theirs(scaled(few.images))
    torch.testing.assert_close(recording.hidden, states.transpose(0, 1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(recording.states[-1, :, 12:], c[0], rtol=1e-5, atol=1e-6)
    measured = measure(recording, ["experiments", "dimensionality", "geometry", "spectrum", "attractors", "fixed_points", "probes"])
    assert measured.sizes["mode"] == 24
    assert measured.sizes["exponent"] == 20
    assert int(measured.pca90.max()) <= 12
    assert float(measured.spectral_radius) == pytest.approx(float(np.abs(np.linalg.eigvals(network.rest_jacobian.numpy())).max()))
    assert float(measured.test_accuracy) == pytest.approx(float(accuracy(network, few)))


def test_a_biased_network_rests_at_a_fixed_point_and_starts_from_it_nowhere():
    network = RecurrentNetwork.initial(0, 20, 28, 10, BIASED)
    rest = rest_state(BIASED, network.parameters)
    again = BIASED.blank(network.double().parameters, rest[None])[0]
    assert (again - rest).norm() < 1e-9
    assert rest.norm() > 0.01
    jacobian = (1 - rest.square())[:, None] * network.recurrent.double()
    torch.testing.assert_close(network.rest_jacobian.double(), jacobian, rtol=1e-5, atol=1e-6)


def test_mirror_images_and_zero_are_fixed_points_only_where_the_cell_says_so():
    """One unit h -> tanh(w h + b) by itself: what is found is checked against a scan of the line."""
    line = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    for shift, cell in ((0.0, TANH), (0.1, BIASED)):
        weights = {
            "input": torch.zeros(1, 1, dtype=torch.float64),
            "recurrent": torch.full((1, 1), 1.5, dtype=torch.float64),
            "shift": torch.full((1,), shift, dtype=torch.float64),
        }
        above = torch.tanh(1.5 * line + shift) > line
        crossings = line[1:][above[1:] != above[:-1]]
        points, failed = search(cell, weights, torch.tensor([[0.9], [0.5], [-0.4], [-0.9], [-0.1]], dtype=torch.float64))
        assert failed < 0.5
        assert len(points) == len(crossings) == 3
        torch.testing.assert_close(points[:, 0].sort().values, crossings, rtol=0, atol=2e-5)
    only_right, _ = search(BIASED, weights, torch.tensor([[0.9]], dtype=torch.float64))
    assert len(only_right) == 1


def test_a_biased_network_that_has_seen_nothing_goes_on_from_its_initial_state(test_images, train_images):
    """Nothing shown, blank rows move it: the roll-out equals step after step."""
    network = RecurrentNetwork.initial(3, 16, 28, 10, BIASED)
    few = test_images.first(200)
    measured = measure(Recording(network, few, train_images, blank_rows=5), ["surface"])
    state = torch.zeros(200, 16)
    for blank in range(1, 57):
        state = BIASED.step(network.parameters, state, torch.zeros(200, 28))
        share = float((network.predict(state) == few.labels).double().mean())
        assert float(measured.accuracy.sel(shown=0, blank=blank)) == pytest.approx(share)


@pytest.mark.parametrize("cell", BUILT_IN, ids=lambda cell: cell.name)
def test_the_logged_model_s_own_code_gives_what_the_cell_gives(cell, test_images, tmp_path):
    network = RecurrentNetwork.initial(0, 24, 28, 10, cell)
    network.save(tmp_path / "w.safetensors")
    model = classifier.RowByRowClassifier()
    context = PythonModelContext({"weights": str(tmp_path / "w.safetensors")}, {})
    model.load_context(context)
    images = scaled(test_images.images[:2000])
    for rows in (1, 13, 28):
        *_, last = network.rows(images[:, :rows])
        theirs = model.predict(context, images[:, :rows].numpy())
        assert (theirs == network.predict(last).numpy()).mean() > 0.999


def test_a_file_says_its_cell_and_is_read_back(tmp_path):
    network = RecurrentNetwork.initial(2, 16, 28, 10, BIASED)
    network.save(tmp_path / "w.safetensors")
    loaded = RecurrentNetwork.load(tmp_path / "w.safetensors")
    assert loaded.cell is BIASED
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), loaded.state_dict().values(), strict=True))
    save_file(network.state_dict(), tmp_path / "theirs.safetensors", {"cell": "biased_tanh"})
    assert RecurrentNetwork.load(tmp_path / "theirs.safetensors").cell is BIASED
    save_file(network.state_dict(), tmp_path / "silent.safetensors")
    with pytest.raises(InputError, match=r"rnn.bias_hh_l0 is not zero"):
        RecurrentNetwork.load(tmp_path / "silent.safetensors")


@pytest.mark.slow
def test_a_file_of_a_cell_that_is_not_registered_is_one_line(tmp_path):
    RecurrentNetwork.initial(2, 16, 28, 10, BIASED).save(tmp_path / "w.safetensors")
    measure_it = [sys.executable, "-m", "study", "measure", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "m.nc")]
    done = run_command(measure_it, "sqlite:///none.db")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "cell=biased_tanh: no cell of this name is registered; expected one of tanh" in line
    assert "HIDDEN_ORBITS_EXTENSIONS" in line
    known_then = {"HIDDEN_ORBITS_EXTENSIONS": "biased_cell", "PYTHONPATH": str(ROOT / "tests")}
    done = run_command([*measure_it, "--only", "spectrum"], "sqlite:///none.db", **known_then)
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout


def test_networks_of_the_paper_s_cell_keep_their_keys_and_others_have_their_own():
    plain, biased = (
        StudyConfig(seeds="0", hidden_sizes="8", cell=cell, device="cpu", kernels="torch").networks()[0]
        for cell in ("tanh", "biased_tanh")
    )
    assert training_key(plain, "d") != training_key(biased, "d")
    assert fused_network_key(plain, "d") != fused_network_key(biased, "d")
    # As computed by the code that knew no other cell.
    assert fused_network_key(plain, "d") == "a1ec236c0a7a86fd441a4990972dd2a9b48914261e331a59c84601349f3ed83c"


def test_networks_of_a_cell_without_a_fast_path_are_planned_one_by_one_on_a_gpu():
    shape = DataShape(28, 28, 10)
    for cell, widths in (("tanh", [128]), ("biased_tanh", [1] * 30)):
        config = StudyConfig(seeds="0-29", hidden_sizes="50", cell=cell, device="cpu", kernels="torch")
        on_gpu = [network.model_copy(update={"device": "cuda"}) for network in config.networks()]
        assert [stack.width for stack in stacks(on_gpu, shape, free=80 << 30)] == widths
    assert training_memory(on_gpu[0], shape) > training_memory(on_gpu[0].model_copy(update={"cell": "tanh"}), shape)
    assert training_memory(on_gpu[0], shape) > training_memory(on_gpu[0], DataShape(12, 9, 4))


@pytest.mark.parametrize("name", ["os", "x" * 400, "../../biased_cell", "#let x = 1", "\x1b[2J"])
def test_a_report_names_a_cell_that_a_stored_study_made_up_and_no_more(name):
    assert layer(name) == f"the cell {name[:40]}, which is not registered here"
    assert jacobian(name) == "the Jacobian at rest"
    config = {"cell": name, "dataset": "mnist", "train_images": 1, "epochs": 1, "learning_rate": 1, "batch_size": 1}
    config |= {"precision": "fp32", "blank_rows": 1}
    paragraphs = methods(xr.Dataset(attrs={"config": json.dumps(config)}), [])
    assert "which is not registered here" in paragraphs[0]
    assert len(paragraphs[0]) < 1000


def test_a_class_that_separates_early_is_missing_with_its_reason_where_there_is_none():
    draw = torch.Generator().manual_seed(0)
    images = Images(torch.randint(256, (80, 12, 9), generator=draw, dtype=torch.uint8), torch.arange(80) % 4)
    measured = measure(Recording(RecurrentNetwork.initial(0, 8, 9, 4), images, images, blank_rows=30))
    assert measured.sizes["shown"] == 13
    assert measured.sizes["blank"] == 25
    assert measured.sizes["scored_step"] == 36
    assert measured.early_class_agreement.isnull().all()
    assert np.isnan(measured.early_class)
    for name in ("early_class", "early_class_agreement", "early_cluster_agreement", "early_cluster_kept"):
        assert measured[name].isnull().all()
        assert measured[name].attrs["missing"].startswith("no class stands apart in the training images' first 2 rows")
    assert measured.sizes["group"] == measured.sizes["label"] == 4


def test_a_cell_that_comes_from_another_process_is_the_one_of_its_name():
    assert pickle.loads(pickle.dumps(TANH)) is TANH
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(RecurrentNetwork.initial, 0, 4, 3, 2).result().cell is TANH


def _few(images: Images, of_each: int = 30) -> Images:
    at = torch.cat([torch.nonzero(images.labels == label)[:of_each, 0] for label in range(images.classes)])
    return Images(images.images[at], images.labels[at])


def _measured(network: RecurrentNetwork, test: Images, train: Images, *names: str, blank_rows: int = 60):
    return measure(Recording(network, _few(test), train.first(3000), blank_rows), names or None)


def _times(network: RecurrentNetwork, factor: float) -> RecurrentNetwork:
    """The network with all weights of its recurrence times a factor."""
    parameters = network.parameters | {"recurrent": network.recurrent * factor}
    return RecurrentNetwork(network.cell, parameters, network.readout, network.bias)


@pytest.mark.parametrize("cell", [cell for cell in BUILT_IN if cell is not TANH], ids=lambda cell: cell.name)
def test_every_measurement_is_made_of_every_cell_or_says_why_not(cell, test_images, train_images):
    network = RecurrentNetwork.initial(1, 12, 28, 10, cell)
    measured = _measured(network, test_images, train_images)
    nothing = {str(name): array.attrs.get("missing", "") for name, array in measured.items() if array.isnull().all()}
    assert all(nothing.values()), nothing
    assert {"period_quasilinear", "mode_energy", "period_secant", "without_mode_outcome"} <= set(nothing)
    assert nothing["mode_energy"] == nothing["mode_effect_accuracy"] == "the cell's blank map is not h -> f(R h) with an odd f"
    for name in ("pca90", "probe_accuracy", "accuracy_appended", "twonn", "attractor_kind", "period_dmd", "fixed_points"):
        assert name == "period_dmd" or name not in nothing
    full = 2 * 12 if cell.name.startswith("lstm") else 12
    assert measured.sizes["mode"] == measured.sizes["exponent"] == full if full < 20 else measured.sizes["exponent"] == 20
    if cell.name == "relu":
        assert nothing["spectral_radius"] == "the blank map has no derivative at its rest state"
        return
    # The oracle: the derivative of PyTorch's own layer, after one row of zeros, at the state where it rests.
    rest = rest_state(cell, network.double().parameters)
    radius = np.abs(np.linalg.eigvals(_of_pytorch(network, rest))).max()
    assert float(measured.spectral_radius) == pytest.approx(radius, abs=1e-6)
    # A network at rest forgets at the rate of the leading eigenvalue.
    assert float(measured.lyapunov[0]) == pytest.approx(np.log(radius), abs=2e-3)


def _of_pytorch(network: RecurrentNetwork, rest: torch.Tensor) -> np.ndarray:
    kind = network.cell.name.removesuffix("_bias")
    layer = {"tanh": nn.RNNCell, "relu": partial(nn.RNNCell, nonlinearity="relu"), "gru": nn.GRUCell, "lstm": nn.LSTMCell}[kind]
    cell = layer(28, network.hidden_size, bias=network.cell.name.endswith("_bias")).double()
    names = {full.removeprefix("rnn.").removesuffix("_l0"): name for name, full in network.cell.names.items()}
    cell.load_state_dict({ours: network.parameters[name].double() for ours, name in names.items()})

    def blank(state: torch.Tensor) -> torch.Tensor:
        row = torch.zeros(1, 28, dtype=torch.float64)
        if kind == "lstm":
            return torch.cat(cell(row, tuple(state[None].chunk(2, dim=1))), dim=1)[0]
        return cell(row, state[None])[0]

    assert (blank(rest) - rest).abs().max() < 1e-8
    return torch.autograd.functional.jacobian(blank, rest).numpy()


@pytest.mark.parametrize("cell", ["relu", "relu_bias"])
def test_a_state_that_grows_without_bound_is_measured_and_said(cell, test_images, train_images):
    network = _times(RecurrentNetwork.initial(2, 12, 28, 10, known(cell)), 6)
    measured = _measured(network, test_images, train_images, blank_rows=300)
    overflowed, accuracy = measured.overflowed.values, measured.accuracy_appended.values
    assert overflowed[0] == 0
    assert overflowed[-1] > 0.9  # the others fall to 0, or stay
    assert (np.diff(overflowed) >= 0).all()
    assert (accuracy + overflowed <= 1).all()
    plain = _plain_states(network, _few(test_images), 300)
    assert overflowed[-1] == pytest.approx(float((~network.logits(plain).isfinite().all(dim=1)).double().mean()))
    kinds = measured.attractor_kind.attrs["flag_meanings"].split()
    assert kinds[int(measured.attractor_kind)] == "diverging"
    assert float(measured.diverging) > 0.9
    assert measured.lyapunov.isnull().all()
    assert "the state grows without bound" in measured.lyapunov.attrs["missing"]
    assert np.isfinite(measured.pca90).all()


def _plain_states(network: RecurrentNetwork, images: Images, blanks: int) -> torch.Tensor:
    state = network.start(len(images))
    rows = [*scaled(images.images).unbind(dim=1), *[torch.zeros(len(images), 28)] * blanks]
    for row in rows:
        state = network.cell.step(network.parameters, state, row)
    return state


def test_a_cell_that_is_bounded_has_no_share_that_overflows(network, test_images, train_images):
    measured = _measured(network, test_images, train_images, "experiments", "attractors")
    assert "overflowed" not in measured
    assert "diverging" not in measured


def test_the_bias_is_asked_for_beside_the_cell():
    [gru] = StudyConfig(seeds="0", hidden_sizes="8", cell="gru", bias="true", device="cpu").networks()
    assert gru.cell == "gru_bias"
    assert StudyConfig(seeds="0", hidden_sizes="8", cell="gru", device="cpu").networks()[0].cell == "gru"
    for values, words in (
        ({"cell": "gru_bias"}, "give cell=gru and bias=true"),
        ({"cell": "biased_tanh", "bias": "true"}, "cell=biased_tanh is not registered with biases"),
        ({"bias": "yes"}, "expected true or false"),
    ):
        with pytest.raises(InputError, match=words):
            validated(StudyConfig, values)
