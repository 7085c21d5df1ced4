"""The logged model: classifies sequences row by row, with numpy and safetensors alone, for the built-in cells.

MLflow stores this file as the model's code ("models from code") and the weights beside it, so that loading a model
unpickles nothing and needs neither this project nor PyTorch. The metadata of the weights say which cell they belong to. Sequences
may have any length: all rows give the test accuracy, fewer the paper's experiment 2, blank rows appended its experiment 3.
"""

import json

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel  # pyright: ignore[reportPrivateImportUsage]
from safetensors import safe_open


def sigmoid(values):
    return 0.5 * (1 + np.tanh(0.5 * values))  # overflows nowhere


def vanilla(nonlinearity):
    def step(state, of_row, of_hidden):
        return nonlinearity(of_row + of_hidden(state))

    return step


def gru(state, of_row, of_hidden):
    (reset, update, new), (of_reset, of_update, of_new) = np.split(of_row, 3, 1), np.split(of_hidden(state), 3, 1)
    update, new = sigmoid(update + of_update), np.tanh(new + sigmoid(reset + of_reset) * of_new)
    return new + update * (state - new)


def lstm(state, of_row, of_hidden):
    hidden, memory = np.split(state, 2, 1)
    enter, forget, new, out = np.split(of_row + of_hidden(hidden), 4, 1)
    memory = sigmoid(forget) * memory + sigmoid(enter) * np.tanh(new)
    return np.concatenate([sigmoid(out) * np.tanh(memory), memory], 1)


STEPS = {"tanh": vanilla(np.tanh), "relu": vanilla(lambda drive: np.maximum(drive, 0)), "gru": gru, "lstm": lstm}


class RowByRowClassifier(PythonModel):
    """Labels `[N]` (int64) for sequences `[N, T, features]` (images: pixels in [0, 1]), for any N and any T >= 1."""

    def load_context(self, context):
        with safe_open(context.artifacts["weights"], "np") as file:
            self.weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            said = json.loads(file.metadata()["network"])
        self.cell = said.get("cell", "tanh").removesuffix("_bias")

    def predict(self, context, model_input: np.ndarray, params=None):
        rows = np.asarray(model_input, dtype=np.float32)
        weights = self.weights
        features, units = weights["rnn.weight_ih_l0"].shape[1], weights["rnn.weight_hh_l0"].shape[1]
        if rows.ndim != 3 or rows.shape[1] < 1 or rows.shape[2] != features:
            raise ValueError(f"got an array of shape {rows.shape}: expected (images, rows, {features}) with rows >= 1")

        def of_hidden(hidden):
            return hidden @ weights["rnn.weight_hh_l0"].T + weights.get("rnn.bias_hh_l0", 0)

        state = np.zeros((len(rows), 2 * units if self.cell == "lstm" else units), dtype=np.float32)
        for row in rows.swapaxes(0, 1):
            of_row = row @ weights["rnn.weight_ih_l0"].T + weights.get("rnn.bias_ih_l0", 0)
            state = STEPS[self.cell](state, of_row, of_hidden)
        return (state[:, :units] @ weights["readout.weight"].T + weights["readout.bias"]).argmax(axis=1)


mlflow.models.set_model(RowByRowClassifier())  # pyright: ignore[reportPrivateImportUsage]
