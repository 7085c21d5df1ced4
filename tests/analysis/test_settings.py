"""A stored configuration is checked before anything uses it."""

from __future__ import annotations

import json

import pytest

from analysis.dataset.settings import stored_settings
from study.config import StudyConfig
from study.files.untrusted import Refused

STORED = StudyConfig(seeds="0-2", hidden_sizes="8,12", train_images=3000).model_dump(mode="json")


def test_a_configuration_is_kept_as_it_is_with_fields_of_other_versions():
    kept = {name: value for name, value in STORED.items() if name != "bias"}  # which the name of the cell says
    assert stored_settings(json.dumps(STORED)) == kept
    older = {name: value for name, value in kept.items() if name not in ("precision", "refresh", "backend")}
    assert stored_settings(json.dumps(older)) == older | {"precision": "fp32"}
    biased = STORED | {"cell": "gru", "bias": True}
    assert stored_settings(json.dumps(biased)) == kept | {"cell": "gru_bias"}
    newer = kept | {"cell": "gru", "layers": 2, "measurements": "extended"}
    assert stored_settings(json.dumps(newer)) == newer
    assert stored_settings(json.dumps(STORED | {"deep": [[1]], "long": "x" * 10_000})) == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seeds", "0-9"),
        ("seeds", []),
        ("seeds", ["0"]),
        ("seeds", [-1]),
        ("seeds", [0.5]),
        ("seeds", [True]),
        ("seeds", [3, 3]),
        ("seeds", {"0": 1}),
        ("seeds", None),
        ("seeds", list(range(100_001))),
        ("hidden_sizes", [0]),
        ("hidden_sizes", [-8]),
        ("hidden_sizes", "8"),
        ("hidden_sizes", list(range(1, 50_000))),
        ("epochs", "30"),
        ("epochs", 0),
        ("learning_rate", "fast"),
        ("learning_rate", -1),
        ("blank_rows", []),
        ("dataset", 3),
        ("data_dir", ["data"]),
        ("precision", "fp64"),
        ("measurements", 1),
    ],
)
def test_what_the_analysis_could_not_use_is_refused(name, value):
    with pytest.raises(Refused, match=r"is not a valid configuration of a study: .+"):
        stored_settings(json.dumps(STORED | {name: value}))


@pytest.mark.parametrize("name", ["seeds", "hidden_sizes", "epochs", "dataset"])
def test_what_the_analysis_needs_has_to_be_there(name):
    with pytest.raises(Refused, match=name):
        stored_settings(json.dumps({other: value for other, value in STORED.items() if other != name}))
