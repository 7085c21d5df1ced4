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
from study.execution.stacks import Remeasurement, Task, worker_count
from study.execution.workers import measure_again, train_and_measure
from study.measurements import MEASUREMENTS, versions_of
from study.record.network_record import RECORD_VERSION, Failure, NetworkRecord, versions
from study.schema import measured_in_words
from study.terminal.errors import InputError, StudyError, reason
from study.terminal.extensions import load_extensions
from study.training.engine import ENGINE_VERSION

DEATHS = 3  # deaths of workers in a row, without a result in between, after which a study gives up
FILES, FILES_OF_WORKER = 40, 4  # most files that a study keeps open: by itself, and for each worker process
log = logging.getLogger(__name__)
Results = list[NetworkRecord | Failure]


@dataclass(frozen=True)
class Coordinator:
    """What a worker knows about the coordinator: its library versions and, if the worker is its child, its process id."""

    versions: dict[str, str]
    process: int | None


@dataclass(frozen=True)
class Backend:
    """A place to compute.

    Attributes: `jobs` gives the number of simultaneous tasks for a plan; `context` makes joblib compute here; `pre_dispatch` is
    joblib's; `coordinator` identifies the process that workers work for; `deaths` are the exceptions raised when workers died,
    `losses` those raised when the whole place is gone; `forget` removes checkpoints of networks that are stored.
    """

    jobs: Callable[[list[Task]], int]
    context: Callable[[], AbstractContextManager]
    pre_dispatch: str
    coordinator: Coordinator
    deaths: tuple[type[BaseException], ...]
    losses: tuple[type[BaseException], ...]
    forget: Callable[[list[str]], None]

    def compute(self, plan: list[Task], source: DataSource, file: Callable[[int], Path]) -> Iterator[tuple[int, Results]]:
        """Yields the number and results of each task as it finishes. The tasks of a worker that died are computed again.

        `file` names the progress file of a task. Raises `StudyError` if workers keep dying.
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
                    f"the cluster is gone, or has no workers ({reason(error)}): trained networks are kept; run the same "
                    "command again when it is back"
                ) from None


@contextmanager
def opened(config: StudyConfig) -> Iterator[Backend]:
    """The backend that a study asks for; raises `InputError` where it is not available."""
    if config.backend == "loky":
        if config.scheduler != "none":
            raise InputError(f"scheduler={config.scheduler}: only backend=dask has one; add backend=dask, or leave it out")
        from joblib.externals.loky import BrokenProcessPool as LokyPoolBroken

        yield Backend(
            partial(worker_count, available_jobs(config)),
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
    """The number of worker processes that this machine allows; with one, this process computes itself.

    Raises `InputError` where joblib's environment variable is invalid, or too few files may be open.
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
    # One thread per worker, also in the libraries below torch: n workers then use n cores.
    return parallel_config(backend="loky", inner_max_num_threads=1)


def _no_semaphores() -> str:
    """Why there are no semaphores between processes here (as in a container without shared memory); empty where there are."""
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
    cores: Any = client.ncores  # its declared type covers asynchronous clients, too
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
    """A context in which joblib computes on a cluster, even one with a single thread."""
    from joblib._dask import DaskDistributedBackend

    class ClusterBackend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            """At least 2: with 1, joblib would compute here, in the coordinator."""
            return max(2, super().effective_n_jobs(n_jobs))

    return parallel_config(backend=ClusterBackend(client=client, wait_for_workers_timeout=600))


def _same_versions(client) -> None:
    """Raises `InputError` unless the present workers have the same versions as the coordinator."""
    for address, words in client.run(_difference, _ours(), on_error="return").items():
        if isinstance(words, BaseException):
            raise InputError(f"the worker at {address} cannot run this project ({reason(words)}): install it there")
        if words:
            raise InputError(f"the worker at {address} has {words}: install the same versions")


def _ours() -> dict[str, str]:
    """The versions that determine whether a network and its record are the same bit for bit."""
    load_extensions()
    measurements = measured_in_words(dict(sorted(versions_of(MEASUREMENTS).items())))
    return versions() | {"engine version": ENGINE_VERSION, "record version": str(RECORD_VERSION), "measurements": measurements}


def _difference(coordinator: dict[str, str]) -> str:
    """What differs here from the coordinator's versions, in words; empty where nothing does."""
    here = _ours()
    return "; ".join(
        f"{name} {here.get(name)} where the coordinator has {value}"
        for name, value in coordinator.items()
        if here.get(name) != value and "unknown" not in (value, here.get(name))
    )


def _forget_everywhere(client, keys: list[str]) -> None:
    with suppress(OSError, TimeoutError):  # a worker that is gone has nothing to forget
        client.run(_forget, keys, on_error="ignore")


def _forget(keys: list[str]) -> None:
    for key in keys:
        checkpoints.remove(key)


def numbered(number: int, task: Task, source: DataSource, progress: Path, coordinator: Coordinator) -> tuple[int, Results]:
    """Does a task in a worker; its number is returned with the results, which arrive in any order."""
    if coordinator.process is not None:
        _die_with(coordinator.process)
    if words := _difference(coordinator.versions):  # a worker may join a cluster at any time
        raise InputError(f"the worker on host {socket.gethostname()} has {words}: install the same versions")
    if isinstance(task, Remeasurement):
        return number, measure_again(task, source)
    return number, train_and_measure(task, source, progress)


def _die_with(parent: int) -> None:
    """Ends this process soon after its parent has died: otherwise it would train alongside the workers of the next study."""
    if any(thread.name == "guard" for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.getpid() != parent:  # with one job, joblib computes in the coordinator itself
        threading.Thread(target=watch, name="guard", daemon=True).start()
