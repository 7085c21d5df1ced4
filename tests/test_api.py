"""What the packages offer to others: every name is there, described, and loaded only when it is asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

import analysis
import hidden_orbits
import reports
import study
from study.config import StudyConfig
from study.terminal.errors import StudyError

PACKAGES = {package.__name__: package for package in (study, analysis, reports, hidden_orbits)}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there_and_described(package):
    names = PACKAGES[package].__all__
    assert len(names) == len(set(names)) > 4
    for name in names:
        offered = getattr(PACKAGES[package], name)
        if inspect.isclass(offered) or inspect.isfunction(offered):
            assert inspect.getdoc(offered), name
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        PACKAGES[package].nothing_of_this_name  # noqa: B018
    assert (ROOT / package / "py.typed").exists()


def test_the_facade_offers_what_the_packages_offer():
    apart = [name for package in (study, analysis, reports) for name in package.__all__]
    assert sorted(apart) == hidden_orbits.__all__ == dir(hidden_orbits)  # so no name is in two of them
    assert hidden_orbits.simultaneous_band is analysis.simultaneous_band


def test_nothing_heavy_is_imported_before_it_is_used():
    code = (
        "import sys, hidden_orbits\n"
        "heavy = {'torch', 'mlflow', 'matplotlib', 'xarray', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "hidden_orbits.mean_interval\n"
        "assert not {'torch', 'mlflow', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_network_trained_alone_is_the_one_that_a_study_trains(network, train_images):
    given = {"seeds": "0", "hidden_sizes": "24", "epochs": 2, "learning_rate": 1e-3, "batch_size": 50, "device": "cpu"}
    [config] = StudyConfig(**given, train_images=3000).networks()
    alone = study.train(config, train_images)
    for name, weight in network.state_dict().items():
        assert torch.equal(alone.state_dict()[name], weight), name
    with pytest.raises(StudyError, match="diverged in epoch 1"):
        study.train(config.model_copy(update={"learning_rate": 1e38}), train_images)
