"""Networks that others define in Python: the numbers are those of the same network in this project, or one line says why not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import study
from study.data.sources import Images
from study.measurements import MEASUREMENTS, attractors, measure, register_measurement
from study.measurements.recording import Recording
from study.networks.cells import CELLS
from study.networks.modules import network_of
from study.networks.network import RecurrentNetwork, scaled
from study.schema import labelled
from study.terminal.errors import InputError

UNITS, FEATURES, CLASSES = 12, 28, 10
COMPARED = ["experiments", "dimensionality", "geometry", "probes", "early_cluster", "spectrum", "attractors", "dynamic_modes"]
TWINS = ["tanh", "relu", "gru", "lstm", "tanh_bias", "relu_bias", "gru_bias", "lstm_bias"]
QUICK = ("tanh", "lstm_bias")
LAYERS = {"tanh": nn.RNN, "relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CELL_OF = {nn.RNN: nn.RNNCell, nn.GRU: nn.GRUCell, nn.LSTM: nn.LSTMCell}


class Opaque(nn.Module):
    """A network in plain PyTorch, of which nothing is known but its step: what torch's cells make of the weights."""

    def __init__(self, network: RecurrentNetwork):
        super().__init__()
        kind, _, bias = network.cell.name.partition("_")
        cell = {"tanh": nn.RNNCell, "relu": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}[kind]
        options = {"nonlinearity": kind} if cell is nn.RNNCell else {}
        self.cell = cell(network.features, network.hidden_size, bias=bool(bias), **options)
        self.linear = nn.Linear(network.hidden_size, network.classes)
        state = network.state_dict()
        self.cell.load_state_dict({name: state[f"rnn.{name}_l0"] for name in self.cell.state_dict()})
        self.linear.load_state_dict({"weight": network.readout, "bias": network.bias})
        self.state_size = network.state_size

    def step(self, state, row):
        if isinstance(self.cell, nn.LSTMCell):
            return torch.cat(self.cell(row, tuple(part.contiguous() for part in state.chunk(2, dim=1))), dim=1)
        return self.cell(row, state)

    def observed(self, state):
        return state[:, : self.linear.in_features]

    def readout(self, state):
        return self.linear(self.observed(state))


class Layers(nn.Module):
    """As most people write a recurrent classifier."""

    def __init__(self, kind="gru", classes=CLASSES, **options):
        super().__init__()
        torch.manual_seed(0)
        nonlinearity = {"nonlinearity": kind} if LAYERS[kind] is nn.RNN else {}
        self.memory = LAYERS[kind](FEATURES, UNITS, **({"batch_first": True} | options), **nonlinearity)
        self.out = nn.Linear(options.get("proj_size") or UNITS * (2 if options.get("bidirectional") else 1), classes)

    def forward(self, rows):
        return self.out(self.memory(rows)[0][:, -1])


class Looped(nn.Module):
    """The same layer as a cell, called in a loop."""

    def __init__(self, layers: Layers):
        super().__init__()
        layer = layers.memory
        options = {"nonlinearity": layer.nonlinearity} if isinstance(layer, nn.RNN) else {}
        self.memory = CELL_OF[type(layer)](FEATURES, UNITS, bias=layer.bias, **options)
        self.memory.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
        self.out = layers.out

    def forward(self, rows):
        state = None
        for row in rows.unbind(dim=1):
            state = self.memory(row, state)
        return self.out(state[0] if isinstance(state, tuple) else state)


class Leaky(nn.Module):
    """h_t = h + a (-h + f(W x + R h)), a leaky integrator."""

    state_size = UNITS

    def __init__(self, act=torch.tanh):
        super().__init__()
        torch.manual_seed(0)
        self.input, self.recurrent = nn.Linear(FEATURES, UNITS), nn.Linear(UNITS, UNITS, bias=False)
        self.linear, self.act = nn.Linear(UNITS, CLASSES), act

    def step(self, state, row):
        return state + 0.5 * (-state + self.act(self.input(row) + 2 * self.recurrent(state)))

    def readout(self, state):
        return self.linear(state)


@pytest.fixture
def data(train_images, test_images):
    return train_images.first(400), test_images.first(300)


@pytest.fixture
def briefly(monkeypatch):
    monkeypatch.setattr(attractors, "LYAPUNOV_STEPS", 200)
    monkeypatch.setattr(attractors, "STATE_TRANSIENT", 200)


def _like(cell: str, gain: float = 1.5) -> RecurrentNetwork:
    drawn = RecurrentNetwork.initial(1, UNITS, FEATURES, CLASSES, CELLS[cell])
    parameters = {**drawn.parameters, "recurrent": gain * drawn.recurrent}
    return RecurrentNetwork(drawn.cell, parameters, drawn.readout, drawn.bias)


@pytest.mark.parametrize("cell", [pytest.param(cell, marks=[] if cell in QUICK else pytest.mark.slow) for cell in TWINS])
def test_a_module_that_computes_what_a_cell_computes_has_its_numbers(cell, data, briefly):
    network, before = _like(cell), RecurrentNetwork.initial(0, UNITS, FEATURES, CLASSES, CELLS[cell])
    names = [*COMPARED, "fixed_points", "dimensionality_null"]
    ours = measure(Recording(network, data[1], data[0], 40), names)
    theirs = measure(Opaque(network), data, names, blank_rows=40, untrained=Opaque(before))
    assert "left_out" not in theirs.attrs and theirs.attrs["measured"] == ours.attrs["measured"]
    assert not set(ours) - set(theirs)
    for name, array in ours.items():
        if str(name).startswith("twonn"):
            continue  # which images coincide is a matter of the last bit
        if name in ("lyapunov", "lyapunov_error"):
            steady = ours.lyapunov.values > -20  # below, what is left of a direction is rounding
            theirs[name], array = theirs[name].where(steady), array.where(steady)
        # A probability near a threshold, or a tie of two logits, may fall either way for an image.
        error = 1 / 300 + 1e-6 if "valid_max" in array.attrs else 1e-4
        np.testing.assert_allclose(theirs[name], array, rtol=1e-3, atol=error, err_msg=str(name))
    cell, known = network_of(Opaque(network), data[1]).cell, network.cell
    assert (cell.odd, cell.rests_at_zero, cell.smooth_at_rest) == (known.odd, known.rests_at_zero, known.smooth_at_rest)


@pytest.mark.parametrize("cell", ["tanh", "relu", "gru", "lstm"])
@pytest.mark.parametrize("bias", [False, True])
def test_pytorch_s_layers_are_the_built_in_cells(cell, bias, data):
    module = Layers(cell, bias=bias).double()
    network = network_of(module, data[1])
    assert isinstance(network, RecurrentNetwork)
    assert network.cell is CELLS[cell + "_bias" * bias]
    *_, last = network.rows(scaled(data[1].images))
    expected = module(scaled(data[1].images).double()).detach()
    torch.testing.assert_close(network.logits(last).double(), expected, rtol=1e-4, atol=1e-5)
    looped = network_of(Looped(module.float()), data[1])
    assert looped.cell is network.cell
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in looped.state_dict().items())
    theirs = measure(module, data, ["spectrum", "experiments"], blank_rows=5)
    xr_ours = measure(Recording(network, data[1], data[0], 5), ["spectrum", "experiments"])
    assert theirs.equals(xr_ours)
    assert theirs.attrs["network"] == network.cell.description


@pytest.mark.parametrize("act", [torch.tanh, pytest.param(torch.relu, marks=pytest.mark.slow)])
def test_a_leaky_integrator_is_measured_and_every_measurement_works_or_says_why_not(act, data, briefly, tmp_path):
    module = Leaky(act)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.train()
    measured = measure(module, data, blank_rows=30)
    left_out = json.loads(measured.attrs["left_out"])
    made = {word.partition(":")[0] for word in measured.attrs["measured"].split()}
    assert not made & set(left_out) and made | set(left_out) == set(MEASUREMENTS)
    assert set(left_out) == {"dimensionality_null", "modes", "orbit_modes", "interventions", "compression"}
    assert measured.early_class_agreement.sel(source=["trained", "pixels"]).notnull().all()
    assert measured.probe_accuracy.sel(source=["trained", "permuted"]).notnull().all()
    assert measured.probe_accuracy.sel(source="untrained").isnull().all()
    states = [torch.zeros(300, UNITS)]
    for row in scaled(data[1].images).unbind(dim=1):
        states.append(module.step(states[-1], row).detach())
    right = (module.readout(states[-1]).argmax(dim=1) == data[1].labels).double().mean()
    assert float(measured.test_accuracy) == pytest.approx(float(right), abs=1 / 300 + 1e-9)
    assert module.training and all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())
    study.write_measurements(measured, tmp_path / "measured.nc")
    assert study.read_measurements(tmp_path / "measured.nc").attrs["left_out"] == measured.attrs["left_out"]


class Plain:
    """No nn.Module, with weights in some precision, a start and a hidden state of its own."""

    state_size = 6

    def __init__(self, dtype=torch.float32, gain=0.9):
        draw = torch.Generator().manual_seed(2)
        self.weight = torch.randn(FEATURES, 6, generator=draw).to(dtype) / 5
        self.matrix = gain * torch.linalg.qr(torch.randn(6, 6, generator=draw))[0].to(dtype)
        self.read = torch.randn(4, CLASSES, generator=draw).to(dtype)

    def start(self, count):
        return torch.full((count, 6), 0.5)

    def observed(self, state):
        return state[:, :4]

    def step(self, state, row):
        return torch.sin(state @ self.matrix + row @ self.weight)

    def readout(self, state):
        return state[:, :4] @ self.read


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_an_object_that_is_no_module_is_measured_in_its_own_precision(dtype, data, briefly):
    measured = measure(Plain(dtype), data, ["experiments", "geometry", "spectrum", "attractors"], blank_rows=10)
    assert f"dynamics in {str(dtype).removeprefix('torch.')}" in measured.attrs["network"]
    if dtype == torch.bfloat16:
        assert set(json.loads(measured.attrs["left_out"])) == {"spectrum", "attractors"}
        return
    # sin(R h) is odd and rests at 0, where its Jacobian is R: 0.9 times a rotation.
    moduli = np.hypot(measured.eigenvalue_real, measured.eigenvalue_imaginary)
    np.testing.assert_allclose(moduli, 0.9, atol=1e-5)
    assert "odd, at rest in 0" in measured.attrs["network"]
    assert float(measured.lyapunov.max()) == pytest.approx(np.log(0.9), abs=1e-3)
    if dtype == torch.float64:
        assert float(measured.lyapunov_by_separation) == pytest.approx(np.log(0.9), abs=1e-3)
    else:  # two orbits so close are one
        assert np.isnan(measured.lyapunov_by_separation)
        assert "does not compute in float64" in measured.lyapunov_by_separation.attrs["missing"]


class Wrong(Leaky):
    def __init__(self, how):
        super().__init__()
        self.how, self.calls = how, 0

    def step(self, state, row):
        self.calls += 1
        following = super().step(state, row)
        return {
            "noise": lambda: following + 1e-3 * torch.randn_like(following),
            "calls": lambda: following + 1e-3 * self.calls,
            "batch": lambda: following - following.mean(dim=0),
            "in place": lambda: state.copy_(following),
            "shape": lambda: following[:, 1:],
            "tuple": lambda: (following, following),
            "detached": lambda: following.detach().clone(),
            "numbers": lambda: torch.from_numpy(following.detach().numpy().copy()),
        }[self.how]()


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("noise", r"Wrong.step gives two results for the same state: expected a deterministic module"),
        ("calls", r"Wrong.step gives two results for the same state: expected a deterministic module"),
        ("batch", r"Wrong.step depends on the other states of a batch: expected one that treats each state alone"),
        ("in place", r"Wrong.step changes the state that it is given: expected a new tensor"),
        ("shape", r"Wrong.step: it makes \(5, 11\) of a state \(5, 12\) and a row \(5, 28\); expected an object with step"),
        ("tuple", r"Wrong.step: it makes tuple of a state \(5, 12\)"),
    ],
)
def test_a_step_that_is_none_is_refused(how, line, data):
    with pytest.raises(InputError, match=f"^{line}") as refusal:
        measure(Wrong(how), data)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("how", "why"), [("detached", "is not that of differences"), ("numbers", "cannot differentiate its step")])
def test_without_derivatives_what_needs_them_is_left_out(how, why, data, briefly):
    measured = measure(Wrong(how), data, ["experiments", "spectrum", "attractors", "fixed_points"], blank_rows=5)
    left_out = json.loads(measured.attrs["left_out"])
    assert set(left_out) == {"spectrum", "attractors", "fixed_points"} and all(why in words for words in left_out.values())
    assert "accuracy_appended" in measured


class Pooled(Layers):
    def forward(self, rows):
        return self.out(self.memory(rows)[0].mean(dim=1))


class Started(Layers):
    """From a state that is forgotten at the last row."""

    def forward(self, rows):
        return self.out(self.memory(rows, torch.ones(1, len(rows), UNITS, dtype=rows.dtype))[0][:, -1])


class Normed(Layers):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(UNITS)


class Restless(Looped):
    """Shows its cell each row twice."""

    def forward(self, rows):
        return super().forward(rows.repeat_interleave(2, dim=1))


class Half:
    state_size = 3

    def step(self, state, row):
        return state


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (lambda: Layers(num_layers=2), "Layers has 2 recurrent layers"),
        (lambda: Layers(bidirectional=True), "Layers reads rows in two directions"),
        (lambda: Layers("lstm", proj_size=4), r"Layers projects its states \(proj_size=4\)"),
        (Normed, "Normed has other parameters, norm.weight, norm.bias"),
        (lambda: Restless(Layers()), "Restless.forward gives other logits than its two layers do"),
        (Pooled, "Pooled.forward gives other logits than its two layers do"),
        (lambda: Started("gru"), "Started.forward starts from a state of its own, not from 0"),
        (lambda: Layers(classes=7), "Layers reads rows of 28 pixels into 7 classes: the data set has rows of 28 pixels and 10"),
        (lambda: nn.Linear(28, 10), "Linear has no step, no recurrent layer and 1 linear layer"),
        (lambda: nn.Sequential(nn.GRU(28, 4), nn.Linear(4, 10)), "Sequential.forward fails on images"),
        (Half, "Half has no readout: expected an object with step"),
        (object, "object has no step and no readout and no state_size: expected an object with step"),
    ],
)
def test_a_module_of_another_kind_is_refused(module, line, data):
    with pytest.raises(InputError, match=f"^{line}") as refusal:
        measure(module(), data)
    assert "\n" not in str(refusal.value)


def test_a_network_of_this_project_is_one(data):
    network = RecurrentNetwork.initial(0, 8, 28, 10)
    assert network_of(network, data[1]) is network
    with pytest.raises(InputError, match="the network reads rows of 14 pixels into 10 classes"):
        network_of(RecurrentNetwork.initial(0, 8, 14, 10), data[1])


class TimeFirst(Layers):
    """Rows first, logits of every row, and the state beside them."""

    def forward(self, rows):
        hidden, last = self.memory(rows)
        return self.out(hidden), last


def test_a_forward_may_read_rows_first_and_give_all_logits(data):
    assert network_of(TimeFirst("lstm", batch_first=False), data[1]).cell is CELLS["lstm_bias"]


def test_a_container_without_forward_is_its_two_layers(data):
    container = nn.ModuleDict({"a": nn.LSTM(28, 5, bias=False), "b": nn.Linear(5, 10, bias=False)})
    network = network_of(container, data[1])
    assert network.cell is CELLS["lstm"] and not network.bias.any()


def _arrays(count=40, rows=6, features=FEATURES):
    draw = np.random.default_rng(0)
    return draw.random((count, rows, features)), np.arange(count) % CLASSES


def test_data_are_arrays_images_or_a_name(data):
    x, y = _arrays()
    measured = measure(Leaky(), (x, y, x, y), ["experiments"], blank_rows=5)
    assert measured.sizes["rows_shown"] == 5 and json.loads(measured.attrs["class_names"]) == list("0123456789")
    as_tensors = measure(Leaky(), tuple(map(torch.tensor, (x, y, x, y))), "experiments", blank_rows=5)
    assert measured.equals(as_tensors)
    images = Images(torch.from_numpy(x).float(), torch.from_numpy(y))
    assert measured.equals(measure(Leaky(), (images, images), ["experiments"], blank_rows=5))
    np.testing.assert_array_equal(measure(Leaky(), "mnist", ["dimensionality"]).time_step, np.arange(1, 29))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda x, y: (x, y, x), "data='?tuple"),
        (lambda x, y: (x, y), "data holds ndarray, ndarray: expected the name of a data set"),
        (lambda x, y: "nothing", "dataset='nothing'"),
        (lambda x, y: (x[0], y, x, y), r"data: train_x has the shape \[6, 28\]: expected \[N, T, features\]"),
        (lambda x, y: (x, y[1:], x, y), r"data: train_y has the shape \[39\] beside 40 images: expected one label each"),
        (lambda x, y: (x, y - 1, x, y), "data: train_y is torch.int64, or holds negative labels: expected integers"),
        (lambda x, y: (x, y / 1, x, y), "data: train_y is torch.float64, or holds negative labels: expected integers"),
        (lambda x, y: (x, y, np.where(x > 0.9, np.nan, x), y), "data: test_x holds values that are not finite"),
        (lambda x, y: (x, y, x[:, :5], y), "data: train and test hold 6 rows of 28 and 5 rows of 28: expected images of one shape"),
        (lambda x, y: (x.astype(int), y, x, y), "data: train_x is torch.int64: expected floating-point numbers"),
        (
            lambda x, y: (x, y % 3, x, y % 3),
            "Leaky reads rows of 28 pixels into 10 classes: the data set has rows of 28 pixels and 3",
        ),
        (lambda x, y: ([["a"]], y, x, y), "data: train_x is no array of numbers"),
    ],
)
def test_data_that_do_not_fit_are_refused(change, line):
    with pytest.raises(InputError, match=f"^{line}") as refusal:
        measure(Leaky(), change(*_arrays()))
    assert "\n" not in str(refusal.value)


def test_other_arguments_are_checked(data):
    with pytest.raises(InputError, match=r"^no measurement nothing: expected some of surface"):
        measure(Leaky(), data, ["nothing"])
    with pytest.raises(InputError, match=r"^blank_rows=0: expected an integer greater"):
        measure(Leaky(), data, blank_rows=0)
    with pytest.raises(InputError, match=r"^untrained has 6 hidden units: expected 12"):
        measure(Leaky(), data, untrained=Small())


class Small(Leaky):
    state_size = 6

    def step(self, state, row):
        return torch.tanh(state + row[:, :6])

    def readout(self, state):
        return state.new_zeros(len(state), CLASSES)


def test_a_measurement_of_one_s_own_that_needs_matrices_is_left_out(data):
    def norm(recording):
        yield labelled("norm_of_r", float(recording.recurrent_network.recurrent.norm()), {}, "norm of R")

    register_measurement("norm_of_r", norm)
    try:
        assert "norm_of_r" in measure(Layers(), data, ["norm_of_r"])
        assert "norm_of_r" in json.loads(measure(Leaky(), data, ["norm_of_r"]).attrs["left_out"])
    finally:
        del MEASUREMENTS["norm_of_r"]
