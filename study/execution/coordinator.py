"""Runs a study: workers compute; only this process writes to MLflow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from study.config import NetworkConfig, StudyConfig
from study.data.sources import prepare_data
from study.execution import backends
from study.execution.backends import Backend
from study.execution.delivery import Delivery
from study.execution.live import Background, Command
from study.execution.progress import StudyProgress
from study.execution.stacks import Remeasurement, checked_memory, stacks
from study.measurements import MEASUREMENTS
from study.networks.kernels import LIBRARY_NAMES
from study.networks.network import RecurrentNetwork
from study.record import spool
from study.record.keys import fused_regime_key, regime_key, training_key
from study.record.network_record import MEASUREMENTS as RECORD
from study.record.network_record import WEIGHTS, Failure, NetworkRecord, read_measurements
from study.record.remeasuring import StoredNetwork
from study.record.spool import Entry, Spool
from study.terminal import stopping
from study.terminal.errors import InputError, StudyError
from study.tracking import StudyRun, connect, earlier
from study.tracking.claim import Claim
from study.tracking.environment import current_experiment
from study.tracking.store import checked_location, supersede


def run_study(
    config: StudyConfig,
    console: Console,
    afterwards: Callable[[str], int],
    meanwhile: Callable[[str], Command] = lambda run_id: (),
    ahead: Callable[[str, int], Sequence[Command]] = lambda run_id, hidden_size: (),
) -> int:
    """Trains, measures and logs every network of the grid that is not stored yet; then calls `afterwards` with the run's id.

    `meanwhile` makes, from the run's id, the command that is started every `config.refresh` seconds during the run (empty: none);
    `ahead`, from the run's id and a hidden size whose networks are all stored, commands that are run while others train.

    Mistakes in the configuration, the data, the workers and the store are found before the first run is created. Returns the status
    of `afterwards`. Raises `StudyError` where the study stops before its end.
    """
    config.resolved_kernels()
    source = prepare_data(config.dataset, config.data_dir, rows=config.rows, order=config.order)
    config = config.of_data(source)
    if config.backend == "loky":
        checked_memory(config.networks()[0], source.shape)
    study = None
    with backends.opened(config) as backend:
        client = connect()
        experiment = current_experiment(client)
        config = _with_kernels(config, client, experiment, source.digest, console)
        configs = config.networks()
        claim = Claim(
            client, experiment, config, regime_key(configs[0], source.digest), console, _earlier_regime(configs[0], source.digest)
        )
        _not_in_sync(claim.look())
        if config.resume == "auto":
            keys = [training_key(one, source.digest) for one in configs]
            earlier.check_reachable(client, experiment, keys, source.digest)
        checked_location(client, experiment, fresh=config.resume == "never")
        try:
            with stopping.ended(lambda: StudyRun(client, config, source, claim.tags), StudyRun.end) as study:
                stopped = claim.hold(study.run_id)
                with claim:
                    study.describe()
                    for run in stopped:
                        supersede(client, run, study.run_id)
                    with Background(meanwhile(study.run_id), config.refresh) as background:
                        _compute(study, configs, backend, console, background, partial(ahead, study.run_id))
                        claim.release()
                        background.finish()
                    status = afterwards(study.run_id)
                study.end("FAILED" if status else "FINISHED")
        except Exception:
            if study is not None:
                with suppress(Exception):  # the heartbeat may not have noticed yet
                    claim.deleted = claim.deleted or stopping.within(stopping.LEAVE, study.is_deleted)
                if claim.deleted:
                    raise _deleted(study) from None
            raise
        except KeyboardInterrupt:
            if study is None:
                raise
            if claim.deleted:
                raise _deleted(study) from None
            why = f"run {claim.lost_to} has taken this study over" if claim.lost_to else "the same command resumes from there"
            stored = f"{study.stored} of {study.counts['expected']} networks are stored in run {study.run_id}"
            raise StudyError(f"stopped: {stored}; {why}", 130) from None
    return status


def _with_kernels(config: StudyConfig, client: MlflowClient, experiment: str, data_digest: str, console: Console) -> StudyConfig:
    """The configuration with the kernels that the whole study uses.

    Where the choice is ours, networks that are stored come first: a study that was begun with other kernels, on another machine or
    by an earlier version, goes on with these.
    """
    chosen: str = config.resolved_kernels()
    if config.kernels == "auto" and config.resume == "auto" and len(config.usable_kernels()) > 1:
        with_each = {name: config.model_copy(update={"kernels": name}) for name in config.usable_kernels()}
        keys = {name: [training_key(one, data_digest) for one in each.networks()] for name, each in with_each.items()}
        stored = earlier.complete_networks(client, experiment, chain.from_iterable(keys.values()), data_digest)
        counts = {name: len(stored.keys() & set(own)) for name, own in keys.items()}
        most = max(counts, key=lambda name: (counts[name], name == chosen))
        if counts[most] and most != chosen:
            console.print(
                f"{counts[most]} networks of this study are stored that were made with {LIBRARY_NAMES[most]}'s kernels: it goes on "
                f"with these, although {LIBRARY_NAMES[chosen]}'s are faster here (kernels={chosen} begins anew)",
                highlight=False,
            )
            chosen = most
    return config.model_copy(update={"kernels": chosen})


def _deleted(study: StudyRun) -> StudyError:
    """The error for a study run that was deleted while it ran."""
    return StudyError(
        f"run {study.run_id} of this study, or its experiment, was deleted while it ran: the study stopped with {study.stored} of "
        f"{study.counts['expected']} networks stored; other results wait in the spool; to resume, run the same command again "
        f"(where the experiment was deleted, restore it first: mlflow experiments restore -x {study.experiment_id})"
    )


def _compute(
    study: StudyRun,
    configs: list[NetworkConfig],
    backend: Backend,
    console: Console,
    background: Background,
    ahead: Callable[[int], Sequence[Command]],
) -> None:
    """Fills the study run with networks that are stored already, results that wait in a spool, stored networks that are measured
    again because their records lack something, and new networks."""

    def say(line: str) -> None:
        console.print(line, highlight=False)

    config, source = study.config, study.source
    wanted = {training_key(one, source.digest): one for one in configs}
    results_here = Spool(study.run_id)
    try:
        results_here.describe(config, source.digest)
        with Delivery(study, say) as delivery, stopping.heard():
            taken: set[str] = set()
            lacking: dict[str, StoredNetwork] = {}
            replaced: dict[str, Entry] = {}  # incomplete results in spools, kept until there are better ones
            if config.resume == "auto":
                taken, stored = earlier.take(study, wanted, say)
                lacking = {training_key(one.config, source.digest): one for one in stored}
                for entry, waiting in _waiting(results_here, wanted, taken):
                    if not waiting.lacks():
                        taken.add(entry.key)
                        lacking.pop(entry.key, None)
                        delivery.hand_over(entry, "reused")
                    elif entry.key in lacking:
                        spool.remove(entry)
                    else:
                        lacking[entry.key], replaced[entry.key] = waiting, entry
                backend.forget([*taken, *lacking])
            else:
                backend.forget(list(wanted))
            new = [network for key, network in wanted.items() if key not in taken and key not in lacking]
            again = [Remeasurement(one, source.shape, tuple(one.lacks())) for one in lacking.values()]
            plan = [*stacks(new, source.shape), *again]
            say(_plan_in_words(study, backend.jobs(plan) if plan else 0, len(taken), again))
            failures = []
            left_of = Counter(network.hidden_size for task in plan for network in task.configs)
            complete = [size for size in config.hidden_sizes if not left_of[size]]
            with StudyProgress(plan, console) as progress, stopping.heard():
                for index, results in backend.compute(plan, source, progress.file):
                    if not delivery.waiting:  # before these results wait: all earlier ones are stored
                        for command in chain.from_iterable(map(ahead, complete)):
                            background.ahead(command)
                        complete.clear()
                    for result in results:
                        remeasured = isinstance(plan[index], Remeasurement)
                        delivery.hand_over(results_here.add(result, source.digest), "remeasured" if remeasured else "trained")
                        progress.report(index, _in_words(result))
                        failures += [result] if isinstance(result, Failure) else []
                        if (key := training_key(result.config, source.digest)) in replaced and isinstance(result, NetworkRecord):
                            spool.remove(replaced.pop(key))
                        left_of[size := result.config.hidden_size] -= 1
                        complete += [size] if not left_of[size] else []
                    background.result()
                    backend.forget([training_key(r.config, source.digest) for r in results if isinstance(r, NetworkRecord)])
            left = delivery.finish(config.patience)
        if left:
            raise StudyError(
                f"{left} results could not be logged to the tracking store ({delivery.trouble}): they are kept in "
                f"{results_here.folder}; when it takes results again, log them with: python -m study sync"
            )
        if delivery.removed:
            raise StudyError(
                f"{delivery.removed} results were removed from {results_here.folder} before the tracking store had them: run "
                "the same command again to train those networks anew"
            )
        study.log_counts()
    finally:
        results_here.close()
    say(
        "{expected} networks expected: {trained} trained, {remeasured} re-measured, {reused} reused, {failed} failed".format(
            **study.counts
        )
    )
    if len(failures) == len(configs):
        raise StudyError(f"no network of study {study.run_id} could be trained; the first failure: {_in_words(failures[0])}")


def _not_in_sync(stopped: list[Run]) -> None:
    """Raises `InputError` where `sync` is logging the results of a study that is to be resumed."""
    for run in stopped:
        if spool.in_use(run.info.run_id):
            raise InputError(f"`python -m study sync` is logging results of study {run.info.run_id}: wait until it ends")


def _earlier_regime(config: NetworkConfig, data_digest: str) -> Callable[[Mapping[str, str]], str]:
    """The regime key that earlier versions gave to a study that trains the same networks: it also covered how the study measures,
    which is in its run's parameters."""

    def key(parameters: Mapping[str, str]) -> str:
        blank_rows = parameters.get("blank_rows", "")
        number = int(blank_rows) if re.fullmatch("[0-9]{1,6}", blank_rows) else 0
        changes = {"measurements": parameters.get("measurements", ""), "blank_rows": number}
        return fused_regime_key(config, data_digest, changes)

    return key


def _waiting(here: Spool, wanted: dict[str, NetworkConfig], stored: set[str]) -> Iterator[tuple[Entry, StoredNetwork]]:
    """Results that earlier studies on this machine left in their spools and that this study wants, complete ones first.

    The caller adds to `stored` the keys of networks that need no other result.
    """
    lacking: dict[str, tuple[Entry, StoredNetwork]] = {}
    for other in spool.abandoned():
        for entry in other.entries():
            if entry.failure is not None or entry.key not in wanted:
                continue
            if entry.key in stored:
                spool.remove(entry)
                continue
            network = _stored(entry, wanted[entry.key], other.study)
            if not network.lacks():
                yield here.take(entry), network
            elif entry.key in lacking:
                spool.remove(entry)
            else:
                lacking[entry.key] = here.take(entry), network
    for entry, network in lacking.values():
        if entry.key in stored:
            spool.remove(entry)
        else:
            yield entry, network


def _stored(entry: Entry, config: NetworkConfig, study: str) -> StoredNetwork:
    """The network of a result in a study's spool, with the `config` that is asked of it now."""
    network = RecurrentNetwork.load(entry.folder / WEIGHTS, reads=None)
    record = read_measurements(entry.folder / RECORD)
    return StoredNetwork(config, network, record, entry.config.blank_rows, entry.remeasured_from or study)


def _plan_in_words(study: StudyRun, jobs: int, taken: int, again: list[Remeasurement]) -> str:
    device = study.config.resolved_device()
    note = " (no GPU found)" if study.config.device == "auto" and device == "cpu" and study.config.backend == "loky" else ""
    stored = f"{taken} are stored already" if taken else ""
    names = [name for name in MEASUREMENTS if any(name in task.names for task in again)]
    measured = f"{len(again)} are stored and measured again ({', '.join(names)})" if again else ""
    library = f" with {LIBRARY_NAMES[study.config.resolved_kernels()]}'s kernels" if device == "cpu" else ""
    computed = f"on {device}{note}{library}, {jobs} at a time" if jobs else ""
    parts = [part for part in (computed, stored, measured) if part]
    return f"study {study.run_id}: {study.counts['expected']} networks{' ' if computed else ': '}{'; '.join(parts)}"


def _in_words(result: NetworkRecord | Failure) -> str:
    """The outcome of a network in words."""
    if isinstance(result, Failure):
        outcome = f"failed: {result.reason}"
    else:
        accuracy, dimension = result.measurements.test_accuracy, result.measurements.peak_dimension
        outcome = f"test accuracy {float(accuracy):.2%}, peak dimension {int(dimension)}"
    return f"H={result.config.hidden_size} seed={result.config.seed}  {outcome}"
