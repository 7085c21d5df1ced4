"""Where networks are computed: joblib's workers on this machine (loky), or those of a Dask cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from study.config import StudyConfig
from study.data.sources import DataSource
from study.execution import checkpoints
from study.execution.stacks import Remeasurement, Task, workers
from study.execution.workers import measure_again, train_and_measure
from study.measurements import MEASUREMENTS, versions_of
from study.record.network_record import RECORD_VERSION, Failure, NetworkRecord, versions
from study.schema import measured_in_words
from study.terminal.errors import InputError, StudyError, reason
from study.terminal.extensions import load_extensions
from study.training.engine import ENGINE_VERSION

DEATHS = 3  # of workers, one after another without a result between them, after which a study gives up
FILES, FILES_OF_WORKER = 40, 4  # that a study keeps open at most: by itself, and for each of its workers
log = logging.getLogger(__name__)
Results = list[NetworkRecord | Failure]


@dataclass(frozen=True)
class Coordinator:
    """What a worker knows of the coordinator: its library versions and, where the worker is its child, its process id."""

    versions: dict[str, str]
    process: int | None


@dataclass(frozen=True)
class Backend:
    """A place to compute.

    Attributes: `jobs` gives the number of tasks at a time for a plan; `context` makes joblib compute here; `pre_dispatch` is
    joblib's; `coordinator` is who workers work for; `deaths` are the exceptions that tell of workers that died, `losses` those that
    tell of a place that is gone as a whole; `forget` removes checkpoints of networks that are kept.
    """

    jobs: Callable[[list[Task]], int]
    context: Callable[[], AbstractContextManager]
    pre_dispatch: str
    coordinator: Coordinator
    deaths: tuple[type[BaseException], ...]
    losses: tuple[type[BaseException], ...]
    forget: Callable[[list[str]], None]

    def compute(self, plan: list[Task], source: DataSource, file: Callable[[int], Path]) -> Iterator[tuple[int, Results]]:
        """Each task's number and results, as they come. What a worker that died was computing is computed again.

        `file` names the progress file of a task. Raises `StudyError` where workers do nothing but die.
        """
        waiting, died = dict(enumerate(plan)), 0
        while waiting:
            tasks = (delayed(numbered)(n, task, source, file(n), self.coordinator) for n, task in list(waiting.items()))
            left = list(waiting.values())
            try:
                with self.context():
                    parallel: Any = Parallel(
                        n_jobs=self.jobs(left),
                        return_as="generator_unordered",
                        pre_dispatch=self.pre_dispatch,
                        batch_size=1,  # pyright: ignore[reportArgumentType] - joblib infers the type from its default, auto
                    )
                    for number, results in parallel(tasks):
                        del waiting[number]
                        died = 0
                        yield number, results
            except self.deaths as error:
                died += 1
                if died == DEATHS:
                    raise StudyError(
                        f"workers were killed {DEATHS} times in a row ({reason(error)}): if memory ran out, use fewer "
                        "(jobs=1); run the same command again to go on"
                    ) from None
                log.warning("a worker was killed (%s): its networks are computed again from their checkpoints", reason(error))
            except self.losses as error:
                raise StudyError(
                    f"the cluster is gone, or has no workers ({reason(error)}): what is trained is kept; run the same "
                    "command again when it is back"
                ) from None


@contextmanager
def opened(config: StudyConfig) -> Iterator[Backend]:
    """The backend a study asks for; raises `InputError` where it is not there."""
    if config.backend == "loky":
        if config.scheduler != "none":
            raise InputError(f"scheduler={config.scheduler}: only backend=dask has one; add backend=dask, or leave it out")
        from joblib.externals.loky import BrokenProcessPool as LokyPoolBroken

        yield Backend(
            partial(workers, available_jobs(config)),
            here,
            "n_jobs",
            Coordinator(_ours(), os.getpid()),
            (BrokenProcessPool, LokyPoolBroken),
            (),
            _forget,
        )
    else:
        with _dask(config.scheduler) as backend:
            yield backend


def available_jobs(config: StudyConfig) -> int:
    """How many worker processes this machine lets a study have; one computes in this process.

    Raises `InputError` where what joblib is told cannot be followed, or too few files may be open.
    """
    try:
        jobs = config.resolved_jobs()
    except ValueError:
        given = os.environ.get("LOKY_MAX_CPU_COUNT")
        raise InputError(f"LOKY_MAX_CPU_COUNT={given}: expected the number of cores to use, or unset it") from None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES + FILES_OF_WORKER * jobs
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InputError(
            f"this process may open {hard} files and needs {needed} for {jobs} jobs: allow more (ulimit -n 1024)"
            + (", or use fewer jobs" if jobs > 1 else "")
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    if why := _no_semaphores():
        log.warning("worker processes cannot be started (%s, in /dev/shm): networks are computed one after another", why)
        return 1
    return jobs


def here() -> AbstractContextManager:
    """A context in which joblib computes on this machine."""
    if _no_semaphores():
        return parallel_config(backend="sequential")
    # One thread a worker, also in the libraries below torch: jobs workers then use jobs cores.
    return parallel_config(backend="loky", inner_max_num_threads=1)


def _no_semaphores() -> str:
    """Why processes cannot wait for each other here, as in a container without shared memory; empty where they can."""
    try:
        multiprocessing.get_context("spawn").Semaphore()
    except (OSError, ImportError) as error:
        return reason(error)
    return ""


@contextmanager
def _dask(scheduler: str) -> Iterator[Backend]:
    if scheduler == "none":
        raise InputError("backend=dask needs the address of a scheduler: add scheduler=tcp://host:8786")
    try:
        from distributed import Client
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise InputError(
            "backend=dask needs Dask, which is not installed: in the project's folder, pip install '.[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"scheduler={scheduler} does not answer ({reason(error)}): expected the address that dask scheduler "
            "prints, such as tcp://host:8786"
        ) from None
    cores: Any = client.ncores  # whose type is that of clients of all kinds
    with client:
        _same_versions(client)
        yield Backend(
            lambda plan: max(1, min(len(plan), sum(cores().values()))),
            partial(_on_cluster, client),
            "all",
            Coordinator(_ours(), None),
            (KilledWorker,),
            (TimeoutError, OSError, CancelledError, FutureCancelledError),
            partial(_forget_everywhere, client),
        )


def _on_cluster(client) -> AbstractContextManager:
    """A context in which joblib computes on a cluster, also on one of a single thread."""
    from joblib._dask import DaskDistributedBackend

    class ClusterBackend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            """At least 2: joblib takes 1 to mean that it is to compute here, in the coordinator."""
            return max(2, super().effective_n_jobs(n_jobs))

    return parallel_config(backend=ClusterBackend(client=client, wait_for_workers_timeout=600))


def _same_versions(client) -> None:
    """Raises `InputError` unless the workers that are there now run what the coordinator runs."""
    for address, words in client.run(_difference, _ours(), on_error="return").items():
        if isinstance(words, BaseException):
            raise InputError(f"the worker at {address} cannot run this project ({reason(words)}): install it there")
        if words:
            raise InputError(f"the worker at {address} has {words}: install the same versions")


def _ours() -> dict[str, str]:
    """The versions that decide whether a network comes out bit for bit the same, and with the same record."""
    load_extensions()
    measurements = measured_in_words(dict(sorted(versions_of(MEASUREMENTS).items())))
    return versions() | {"engine version": ENGINE_VERSION, "record version": str(RECORD_VERSION), "measurements": measurements}


def _difference(coordinator: dict[str, str]) -> str:
    """What differs here from the coordinator's versions, in words; nothing where all are the same."""
    here = _ours()
    return "; ".join(
        f"{name} {here.get(name)} where the coordinator has {value}"
        for name, value in coordinator.items()
        if here.get(name) != value and "unknown" not in (value, here.get(name))
    )


def _forget_everywhere(client, keys: list[str]) -> None:
    with suppress(OSError, TimeoutError):  # of a worker that is gone nothing need be forgotten
        client.run(_forget, keys, on_error="ignore")


def _forget(keys: list[str]) -> None:
    for key in keys:
        checkpoints.remove(key)


def numbered(number: int, task: Task, source: DataSource, progress: Path, coordinator: Coordinator) -> tuple[int, Results]:
    """Does a task in a worker, with its number kept beside results that come out of order."""
    if coordinator.process is not None:
        _die_with(coordinator.process)
    if words := _difference(coordinator.versions):  # a worker may join a cluster at any time
        raise InputError(f"the worker on host {socket.gethostname()} has {words}: install the same versions")
    if isinstance(task, Remeasurement):
        return number, measure_again(task, source)
    return number, train_and_measure(task, source, progress)


def _die_with(parent: int) -> None:
    """Ends this process soon after its parent died: a worker left behind would train beside those of the next study."""
    if any(thread.name == "guard" for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.getpid() != parent:  # one job: joblib computes in the coordinator itself
        threading.Thread(target=watch, name="guard", daemon=True).start()
