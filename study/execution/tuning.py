"""The search for a training regime: Optuna proposes, workers train, and each trial is one MLflow run."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal
from uuid import uuid4

import numpy as np
import optuna
import torch
from joblib import Parallel, delayed
from optuna.storages import JournalStorage
from optuna.trial import TrialState
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from rich.console import Console
from threadpoolctl import threadpool_limits

from study.config import (
    LEARNING_RATES,
    BatchSize,
    DataFolder,
    DatasetName,
    Epochs,
    Frozen,
    HiddenSize,
    Jobs,
    LearningRate,
    NetworkConfig,
    ReadingOrder,
    StudyConfig,
    counted,
    number,
    path_apart,
    validated,
    whole,
    whole_or_all,
)
from study.data.sources import DataSource, load_images, prepare_data
from study.execution.backends import available_jobs, here
from study.execution.stacks import checked_memory
from study.files.journal import held, no_journal, replayed
from study.terminal import stopping
from study.terminal.errors import InputError, StudyError
from study.tracking import JobRun, connect
from study.tracking.environment import current_experiment
from study.training.engine import TrainingStack, arithmetic

VALIDATION = 1 / 6  # of the training images, the last ones: 10,000 of MNIST's 60,000
SAMPLER_SEED = 0
MOST_TRIALS = 10_000
PROPOSED = {"learning_rate", "batch_size"}  # by each trial


def _interval(text: object) -> object:
    return tuple(part.strip(" ") for part in text.split(",")) if isinstance(text, str) else text


def _ascending(ends: tuple) -> tuple:
    if ends[0] > ends[1]:
        raise ValueError
    return ends


class TuningConfig(Frozen):
    """A search: how many trials, towards which validation accuracy, over which ranges."""

    trials: Annotated[
        int,
        BeforeValidator(whole),
        Field(
            gt=0, le=MOST_TRIALS, description=f"an integer greater than 0 and at most {MOST_TRIALS}, which Optuna can still handle"
        ),
    ]
    target: Annotated[
        float,
        BeforeValidator(number),
        Field(gt=0, le=1, description="an accuracy above that of guessing and at most 1, such as 0.935"),
    ]
    learning_rates: Annotated[
        tuple[LearningRate, LearningRate],
        BeforeValidator(_interval),
        AfterValidator(_ascending),
        Field(description="the lowest and the highest value, such as 2e-5,2e-4, from {} to {}".format(*LEARNING_RATES)),
    ]
    batch_sizes: Annotated[
        tuple[BatchSize, BatchSize],
        BeforeValidator(_interval),
        AfterValidator(_ascending),
        Field(description="the lowest and the highest value, such as 100,300, at most the number of images to train on"),
    ]
    storage: Path
    hidden_size: HiddenSize
    epochs: Epochs
    train_images: Annotated[
        Literal["all"] | Annotated[int, Field(ge=12)],
        BeforeValidator(whole_or_all),
        Field(description="all, or an integer from 12 to the number of training images there are, such as 60000"),
    ]
    dataset: DatasetName
    data_dir: DataFolder
    order: ReadingOrder = "rows"
    jobs: Jobs

    _place = model_validator(mode="before")(path_apart)

    def of_data(self, source: DataSource) -> TuningConfig:
        """The search on a data set, with the number of its training images for ``all``; raises `InputError` for too few."""
        count = counted(self.train_images, source, least=12)
        if self.batch_sizes[1] > (images := trained_on(count)):
            raise InputError(
                f"batch_sizes={','.join(map(str, self.batch_sizes))}: expected at most {images} images per batch: each "
                f"trial trains on five sixths of train_images={count} and is scored on the rest"
            )
        return self.model_copy(update={"train_images": count})


def trained_on(images: int) -> int:
    """How many of the training images a trial trains on; the remaining ones at the end are the validation images."""
    return round(images * (1 - VALIDATION))


def tune(config: TuningConfig, console: Console) -> None:
    """Runs trials until the journal holds `config.trials` finished ones, then prints the best.

    The journal makes the search resumable: a second call continues where the first one stopped. A trial's value is the
    distance between its validation accuracy and the target. Raises `InputError` where something is wrong with the configuration,
    the data or the journal, and `StudyError` where no trial's network could be trained.
    """
    source = prepare_data(config.dataset, config.data_dir, order=config.order)
    config = config.of_data(source)
    shared = {name: getattr(config, name) for name in ("dataset", "data_dir", "order", "jobs", "epochs", "train_images")}
    regime = validated(StudyConfig, shared)
    if config.target <= (guessed := 1 / source.shape.classes):
        raise InputError(
            f"target={config.target:g}: expected an accuracy above {guessed:g} (that of guessing) and at most 1, such as 0.935"
        )
    largest = regime.model_copy(update={"hidden_sizes": (config.hidden_size,), "batch_size": config.batch_sizes[1]})
    checked_memory(largest.networks()[0], source.shape, "hidden_size")
    jobs = min(available_jobs(regime), config.trials)
    client, name = connect(), f"tune {source.name} H={config.hidden_size} towards {config.target:.1%}"
    current_experiment(client)  # before the journal is written

    def say(line: str) -> None:
        console.print(line, highlight=False)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with held(config.storage) as (journal, torn):
        if torn:
            say(f"{config.storage}: {torn} bytes of a record that was cut off are removed; all whole records are kept")
        search = _search(replayed(journal), config)
        with (
            stopping.ended(
                lambda: JobRun(client, "tune", name, config.model_dump(mode="json"), {"search": _identity(search)}), JobRun.end
            ) as job,
            here(),
            Parallel(n_jobs=jobs) as pool,
        ):
            job.supersede_killed("search")
            while (left := config.trials - len(_finished(search))) > 0:
                trials = [_asked(search, config, regime) for _ in range(min(jobs, left))]
                started = time.time()
                results = pool(delayed(validation_accuracy)(network, source) for _, network in trials)
                for (trial, network), result in zip(trials, results, strict=True):
                    distance = abs((result or 0) - config.target)
                    search.tell(trial, distance)
                    values = {"validation_accuracy": result, "distance": distance} if result is not None else {"distance": distance}
                    job.log_child(f"trial {trial.number}", "trial", started, network.model_dump(mode="json"), values)
                    outcome = "training diverged" if result is None else f"validation accuracy {result:.2%}"
                    say(
                        f"trial {trial.number + 1}/{config.trials}: learning rate {network.learning_rate:.3g}, "
                        f"batch size {network.batch_size}, {outcome}"
                    )
            best = min(_finished(search), key=lambda trial: trial.values[0])
            if best.value == config.target:
                raise StudyError(
                    f"no trial's network could be trained, in any of {config.trials}: learning_rates="
                    f"{config.learning_rates[0]:g},{config.learning_rates[1]:g} are too high; search lower ones"
                )
            job.log_numbers({f"best_{name}": best.params[name] for name in PROPOSED})
        job.end("FINISHED")
    say(
        f"closest to {config.target:.2%}: learning rate {best.params['learning_rate']:.3g}, batch size "
        f"{best.params['batch_size']}, {best.value:.2%} away"
    )


def _search(storage: JournalStorage, config: TuningConfig) -> optuna.Study:
    """The search in the journal, or a new one; trials that an interrupted search left unfinished are marked as failed."""
    try:
        search = optuna.create_study(storage=storage, study_name=_question(config), load_if_exists=True)
        for trial in search.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            search.tell(trial.number, state=TrialState.FAIL)
        sound = all(isinstance(trial.value, float) and set(trial.params) >= PROPOSED for trial in _finished(search))
    except StudyError:
        raise
    except Exception as error:
        raise no_journal(config.storage, error) from None
    if not sound:
        raise no_journal(config.storage, "it holds a trial that does not belong to this search")
    return search


def _asked(search: optuna.Study, config: TuningConfig, regime: StudyConfig) -> tuple[optuna.Trial, NetworkConfig]:
    """A new trial and the network it proposes. The proposal depends on the trial's number and on earlier trials, but not on how
    often the search was stopped in between."""
    trial = search.ask()
    # Neighbouring seeds would propose similar values.
    seed = int(np.random.SeedSequence([SAMPLER_SEED, trial.number]).generate_state(1)[0])
    search.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    chosen = regime.model_copy(
        update={
            "seeds": (trial.number,),  # each trial is a new network, so that the search does not adapt to one seed
            "hidden_sizes": (config.hidden_size,),
            "learning_rate": trial.suggest_float("learning_rate", *config.learning_rates, log=True),
            "batch_size": trial.suggest_int("batch_size", *config.batch_sizes, log=True),
        }
    )
    return trial, chosen.networks()[0]


def _question(config: TuningConfig) -> str:
    """The name of a search in its journal: searches with different settings do not mix."""
    order = f"{config.order} of " if config.order != "rows" else ""
    return (
        f"{order}{config.dataset} {config.train_images} images, H={config.hidden_size}, {config.epochs} epochs, "
        f"target {config.target}, learning rate {config.learning_rates}, batch size {config.batch_sizes}"
    )


def _identity(search: optuna.Study) -> str:
    """An identifier that distinguishes a search from any other, even if its journal is moved."""
    if "identity" not in search.user_attrs:
        search.set_user_attr("identity", uuid4().hex)
    return search.user_attrs["identity"]


def _finished(search: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return search.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def validation_accuracy(config: NetworkConfig, source: DataSource) -> float | None:
    """Trains one network on the first five sixths of its training images and scores it on the last sixth; None if it diverged."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    images = load_images(source, train=True).first(config.train_images).to(config.device)
    split = trained_on(len(images))
    held_out = replace(images, images=images.images[split:], labels=images.labels[split:])
    with arithmetic(config):
        stack = TrainingStack([config], images.first(split))
        for _ in stack.train():
            pass
        return None if stack.diverged.any() else stack.accuracies(held_out)[0]
