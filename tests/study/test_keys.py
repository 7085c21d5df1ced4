"""The two keys: what decides the weights, and what is measured on them."""

from __future__ import annotations

import pytest

from study.config import NetworkConfig, StudyConfig
from study.execution.coordinator import _earlier_regime
from study.record.keys import (
    FUSED_FIELDS,
    TRAINING_FIELDS,
    fused_network_key,
    fused_regime_key,
    record_key,
    regime_key,
    training_key,
)


def _network(**given: object) -> NetworkConfig:
    return StudyConfig(**{"seeds": "0", "hidden_sizes": "8", "device": "cpu", "kernels": "torch", **given}).networks()[0]


def test_every_field_decides_the_weights_or_what_is_measured():
    # The number of rows and their order are part of the data's digest.
    assert set(NetworkConfig.model_fields) - set(TRAINING_FIELDS) == {"blank_rows", "measurements", "rows", "order"}


def test_kernels_decide_the_weights_but_torch_s_were_once_the_only_ones():
    """Networks that were stored before there was a choice keep their keys."""
    ours = NetworkConfig.model_validate(_network().model_dump(exclude={"kernels"}))
    assert ours.kernels == "torch"
    torch_s, numpy_s = (_network(kernels=name) for name in ("torch", "numpy"))
    assert training_key(ours, "d") == training_key(torch_s, "d") != training_key(numpy_s, "d")
    assert regime_key(torch_s, "d") != regime_key(numpy_s, "d")
    assert training_key(_network(**EARLIER), DIGEST) == BEFORE_KERNELS
    assert fused_network_key(torch_s, "d") != fused_network_key(numpy_s, "d")


def test_blank_rows_in_training_decide_the_weights_but_once_there_were_none():
    ours = NetworkConfig.model_validate(_network().model_dump(exclude={"trailing_blanks"}))
    none, some = (_network(trailing_blanks=text) for text in ("0-0", "0-9"))
    assert ours.trailing() == none.trailing() == (0, 0)
    assert some.trailing() == (0, 9)
    for key in (training_key, regime_key, fused_network_key):
        assert key(ours, "d") == key(none, "d") != key(some, "d")
    assert training_key(some, "d") != training_key(_network(trailing_blanks="9"), "d")


@pytest.mark.parametrize("field", ["seeds", "hidden_sizes", "epochs", "learning_rate", "batch_size", "train_images", "precision"])
def test_a_training_key_goes_by_what_decides_the_weights(field):
    other = {"precision": "bf16"}.get(field, "3")
    assert training_key(_network(), "d") != training_key(_network(**{field: other}), "d")
    assert training_key(_network(), "d") != training_key(_network(), "e")
    alike = regime_key(_network(), "d") == regime_key(_network(**{field: other}), "d")
    assert alike == (field in ("seeds", "hidden_sizes"))


def test_how_a_network_is_measured_is_no_part_of_its_training_key(monkeypatch):
    for given in ({"blank_rows": 7}, {"measurements": "full"}, {"jobs": 1}):
        assert training_key(_network(), "d") == training_key(_network(**given), "d")
        assert regime_key(_network(), "d") == regime_key(_network(**given), "d")
    before = training_key(_network(), "d")
    monkeypatch.setattr("study.record.keys.ENGINE_VERSION", "2")
    assert training_key(_network(), "d") != before


def test_a_record_key_goes_by_what_was_measured():
    key = record_key("t", {"probes": 1, "spectrum": 1}, 5)
    assert key == record_key("t", {"spectrum": 1, "probes": 1}, 5)
    others = [("u", {"probes": 1, "spectrum": 1}, 5), ("t", {"probes": 2, "spectrum": 1}, 5), ("t", {"probes": 1}, 5)]
    assert key not in [record_key(*other) for other in others] + [record_key("t", {"probes": 1, "spectrum": 1}, 6)]


DIGEST = "70b244150994313f20a52e933022b2da75ecd199b3529346b7a5ec58ddca2749"
BEFORE_KERNELS = "034e15e5a2da32ce25ff3dd367748067e67df2ce98eca3b43469bcc8ccbf347f"
EARLIER = {
    "seeds": "5",
    "hidden_sizes": "8",
    "measurements": "full",
    "epochs": 3,
    "learning_rate": 0.003,
    "batch_size": 50,
    "train_images": 3000,
    "blank_rows": 90,
}


def test_the_one_key_of_earlier_stores_is_made_as_it_was():
    """The keys of a network and a study that code without training keys stored, of MNIST."""
    network = _network(**EARLIER)
    assert set(FUSED_FIELDS) <= set(NetworkConfig.model_fields)
    assert fused_network_key(network, DIGEST) == "f2bbd810ebcf2b4ab874014efb741e5a3bbb6631da6fecb41fc31b82e5839a56"
    assert fused_regime_key(network, DIGEST) == "1838a53c6b0115d4548b66ab93b6740f65f0b9d14d99e90b54a4fc5f945e833b"


def test_the_regime_of_an_earlier_study_is_found_from_its_parameters_however_it_measures():
    ours, theirs = _network(measurements="paper", blank_rows=5), _network(measurements="full", blank_rows=90)
    known = _earlier_regime(ours, "d")
    assert known({"measurements": "full", "blank_rows": "90"}) == fused_regime_key(theirs, "d")
    for odd in ({}, {"measurements": "full", "blank_rows": "9" * 5000}, {"measurements": "full", "blank_rows": "x"}):
        assert known(odd) != fused_regime_key(theirs, "d")


def test_all_images_are_the_number_that_networks_of_mnist_were_stored_with():
    assert _network().train_images == 60_000
    assert training_key(_network(), DIGEST) == training_key(_network(train_images=60_000), DIGEST)
    assert training_key(_network(order="columns"), "d") == training_key(_network(), "d")  # the digest says it


def test_the_name_of_data_of_one_s_own_is_no_part_of_a_key():
    given = {"train_images": 9, "batch_size": 3}
    keys = {training_key(_network(dataset=name, **given), "d") for name in ("a.npz", "b.nc", "/some/where/c.npz", "folder/")}
    assert len(keys) == 1
    assert training_key(_network(**given), "d") not in keys
