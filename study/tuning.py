"""The search for a training regime: Optuna proposes, workers train, each trial is one MLflow run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import optuna
import torch
from joblib import Parallel, delayed
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from pydantic import BeforeValidator, Field, PositiveInt
from rich.console import Console

from study import stopping
from study.backends import available_jobs, here
from study.config import Frozen, NetworkConfig, StudyConfig, validated
from study.data import DataSource, Images, checked_training_images, load, prepare
from study.errors import InputError, checked_target
from study.tracking import JobRun, connect
from study.training import TrainingStack

VALIDATION = 1 / 6  # of the training images, the last ones: 10,000 of MNIST's 60,000
SAMPLER_SEED = 0


def _interval(text: str | tuple) -> tuple[str, str]:
    ends = tuple(text.split(",")) if isinstance(text, str) else text
    try:
        ascending = len(ends) == 2 and float(ends[0]) <= float(ends[1])
    except ValueError:
        ascending = False
    if not ascending:
        raise ValueError("expected the lowest and the highest value, such as 2e-5,2e-4 or 100,300")
    return ends


class TuningConfig(Frozen):
    """A search: how many trials, towards which validation accuracy, over which ranges."""

    trials: PositiveInt
    target: Annotated[float, Field(gt=0, le=1)]
    learning_rates: Annotated[tuple[Annotated[float, Field(gt=0)], float], BeforeValidator(_interval)]
    batch_sizes: Annotated[tuple[PositiveInt, int], BeforeValidator(_interval)]
    storage: Path
    hidden_size: PositiveInt
    epochs: PositiveInt
    train_images: Annotated[int, Field(ge=12)]
    dataset: str
    data_dir: Path
    jobs: PositiveInt | str


def tune(config: TuningConfig, console: Console) -> None:
    """Runs trials until the journal holds `config.trials` finished ones, then prints the best.

    The journal makes the search resumable: a second call goes on where the first one stopped. A trial's value is the
    distance between its validation accuracy and the target.
    """
    regime = validated(StudyConfig, {"dataset": config.dataset, "data_dir": config.data_dir, "jobs": config.jobs,
                                     "epochs": config.epochs, "train_images": config.train_images})
    source = prepare(regime.dataset, regime.data_dir)
    checked_training_images(source, config.train_images)
    jobs = min(available_jobs(regime), config.trials)
    client, name = connect(), f"tune {source.name} H={config.hidden_size} towards {config.target:.1%}"
    search = _open(config)
    with (stopping.ended(lambda: JobRun(client, "tune", name, config.model_dump(mode="json"), {"search": _identity(search)}),
                         JobRun.end) as job,
          here(), Parallel(n_jobs=jobs) as pool):
        job.supersede_killed("search")
        while (left := config.trials - _finished(search)) > 0:
            trials = [search.ask() for _ in range(min(jobs, left))]
            proposed = [_network(trial, config, regime) for trial in trials]
            started = time.time()
            results = pool(delayed(validation_accuracy)(network, source) for network in proposed)
            for trial, network, result in zip(trials, proposed, results, strict=True):
                search.tell(trial, abs(result - config.target))
                values = {"validation_accuracy": result, "distance": abs(result - config.target)}
                job.log_child(f"trial {trial.number}", "trial", started, network.model_dump(mode="json"), values)
                console.print(f"trial {trial.number + 1}/{config.trials}: learning rate {network.learning_rate:.3g}, "
                              f"batch size {network.batch_size}, validation accuracy {result:.2%}", highlight=False)
        best = search.best_trial
        job.log_numbers({f"best_{name}": value for name, value in best.params.items()})
    job.end("FINISHED")
    console.print(f"closest to {config.target:.2%}: learning rate {best.params['learning_rate']:.3g}, batch size "
                  f"{best.params['batch_size']}, {best.value:.2%} away", highlight=False)


def _open(config: TuningConfig) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    checked_target("storage", config.storage)
    sampler = optuna.samplers.TPESampler(seed=SAMPLER_SEED, constant_liar=True)
    try:
        storage = JournalStorage(JournalFileBackend(str(config.storage)))
        return optuna.create_study(storage=storage, sampler=sampler, study_name=_question(config), load_if_exists=True)
    except (ValueError, KeyError, OSError) as error:
        raise InputError(f"storage={config.storage} cannot be read as an Optuna journal ({error}): name another "
                         "file") from None


def _question(config: TuningConfig) -> str:
    """The name of a search in its journal: searches that ask something else do not mix."""
    return (f"{config.dataset} {config.train_images} images, H={config.hidden_size}, {config.epochs} epochs, "
            f"target {config.target}, learning rate {config.learning_rates}, batch size {config.batch_sizes}")


def _identity(search: optuna.Study) -> str:
    """What tells a search from any other, wherever its journal is moved to."""
    if "identity" not in search.user_attrs:
        search.set_user_attr("identity", uuid4().hex)
    return search.user_attrs["identity"]


def _finished(search: optuna.Study) -> int:
    return len(search.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def _network(trial: optuna.Trial, config: TuningConfig, regime: StudyConfig) -> NetworkConfig:
    chosen = regime.model_copy(update={
        "seeds": (trial.number,),  # a trial is a new network, so that no seed's luck is tuned to
        "hidden_sizes": (config.hidden_size,),
        "learning_rate": trial.suggest_float("learning_rate", *config.learning_rates, log=True),
        "batch_size": trial.suggest_int("batch_size", *config.batch_sizes, log=True),
    })
    return chosen.networks()[0]


def validation_accuracy(config: NetworkConfig, source: DataSource) -> float:
    """Trains one network on the first five sixths of its training images and scores it on the last sixth."""
    torch.set_num_threads(1)
    images = load(source, train=True).first(config.train_images).to(config.device)
    split = round(len(images) * (1 - VALIDATION))
    held_out = Images(images.images[split:], images.labels[split:])
    stack = TrainingStack([config], images.first(split))
    for _ in stack.train():
        pass
    return stack.accuracies(held_out)[0]
