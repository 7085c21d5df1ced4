"""Runs a study: workers compute, this process alone writes to MLflow."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from joblib import Parallel, delayed, parallel_config
from rich.console import Console

from study import checkpoints
from study.config import StudyConfig
from study.data import DataSource, checked_training_images, prepare
from study.errors import InputError
from study.progress import StudyProgress
from study.record import Failure, NetworkRecord, network_key
from study.stacks import Stack, stacks, workers
from study.tracking import JobRun, StudyRun, connect
from study.workers import numbered


def run_study(config: StudyConfig, console: Console) -> StudyRun:
    """Trains, measures and logs every network of the grid.

    Everything that can be wrong with the configuration, the data and the store is found before the first run is
    created. The study run is returned open, for the analysis and the report; the caller ends it.
    """
    plan = stacks(config.networks())
    source = prepare(config.dataset, config.data_dir)
    checked_training_images(source, config.train_images)
    if config.batch_size > config.train_images:
        raise InputError(f"batch_size={config.batch_size}: more than train_images={config.train_images}")
    study = StudyRun(connect(), config, source)
    with ended_on_error(study):
        study.describe()
        device, jobs = config.resolved_device(), workers(config.resolved_jobs(), plan)
        note = " (no GPU found)" if config.device == "auto" and device == "cpu" else ""
        console.print(f"study {study.run_id}: {study.counts['expected']} networks on {device}{note}, {jobs} at a time",
                      highlight=False)
        with StudyProgress(plan, console) as progress:
            for index, results in _compute(plan, source, jobs, progress):
                for result in results:
                    progress.report(index, _log(study, result))
    return study


def _log(study: StudyRun, result: NetworkRecord | Failure) -> str:
    """Logs one network, and says in words what became of it."""
    config = result.config
    if isinstance(result, Failure):
        study.log_failure(result)
        outcome = f"failed: {result.reason}"
    else:
        study.log_network(result)
        outcome = _summary(result)
    checkpoints.remove(network_key(config, study.source.digest))
    return f"H={config.hidden_size} seed={config.seed}  {outcome}"


def _compute(
    plan: list[Stack], source: DataSource, jobs: int, progress: StudyProgress
) -> Iterator[tuple[int, list[NetworkRecord | Failure]]]:
    """Each stack's number and results, as they come."""
    # One thread a worker, also in the libraries below torch: jobs workers then use jobs cores.
    with parallel_config(backend="loky", inner_max_num_threads=1):
        yield from Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs, batch_size=1)(
            delayed(numbered)(index, stack, source, progress.file(index)) for index, stack in enumerate(plan)
        )


def _summary(record: NetworkRecord) -> str:
    accuracy, dimension = record.measurements.test_accuracy, record.measurements.peak_dimension
    return f"test accuracy {float(accuracy):.2%}, peak dimension {int(dimension)}"


@contextmanager
def ended_on_error(job: JobRun) -> Iterator[None]:
    """Marks the job's run KILLED or FAILED when it is stopped or breaks; SIGTERM stops it as Ctrl-C does."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, _interrupt) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt:
        job.end("KILLED")
        raise
    except BaseException:
        job.end("FAILED")
        raise
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)


def _interrupt(number, frame):
    raise KeyboardInterrupt
