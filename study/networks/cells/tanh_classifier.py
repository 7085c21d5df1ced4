"""The logged model: classifies images row by row, with numpy and safetensors alone.

MLflow stores this file as the model's code ("models from code") and the weights beside it, so that loading a model
unpickles nothing and needs neither this project nor PyTorch. Sequences may have any length: all rows give the
test accuracy, fewer the paper's experiment 2, blank rows appended its experiment 3.
"""

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel  # pyright: ignore[reportPrivateImportUsage]
from safetensors.numpy import load_file


class RowByRowClassifier(PythonModel):
    """Labels `[N]` (int64) for images `[N, T, features]` (pixels in [0, 1]), for any N and any T >= 1."""

    def load_context(self, context):
        self.weights = load_file(context.artifacts["weights"])

    def predict(self, context, model_input: np.ndarray, params=None):
        rows = np.asarray(model_input, dtype=np.float32)
        weights = self.weights
        if rows.ndim != 3 or rows.shape[1] < 1 or rows.shape[2] != weights["rnn.weight_ih_l0"].shape[1]:
            features = weights["rnn.weight_ih_l0"].shape[1]
            raise ValueError(f"got an array of shape {rows.shape}: expected (images, rows, {features}) with rows >= 1")
        state = np.zeros((len(rows), len(weights["rnn.weight_hh_l0"])), dtype=np.float32)
        for row in rows.swapaxes(0, 1):
            state = np.tanh(row @ weights["rnn.weight_ih_l0"].T + state @ weights["rnn.weight_hh_l0"].T)
        return (state @ weights["readout.weight"].T + weights["readout.bias"]).argmax(axis=1)


mlflow.models.set_model(RowByRowClassifier())  # pyright: ignore[reportPrivateImportUsage]
