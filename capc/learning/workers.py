"""Independent tasks on several processes of this machine, or on Ray.

A task is a module-level function with plain arguments that carries its own seeds and leaves its
result in the store, so that neither the number of workers nor the order matters. A worker that
dies costs the task it was at, which is tried again; a task that keeps failing is named at the end,
when all others are done.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from capc.child_process import end_this_process_with_its_parent
from capc.errors import CapcError
from capc.ray_cluster import connected

log = logging.getLogger(__name__)

ATTEMPTS = 3
_STOP_SECONDS = 10.0
_REPORT_SECONDS = 10.0  # a report comes at least so often: a single task may take hours

Progress = Callable[[int, int], None]
"""(tasks done, tasks in all)."""


class TaskError(CapcError):
    """Tasks that failed; the results of the others are kept."""


@dataclass(frozen=True)
class Task:
    """`function(*arguments)`, and what to call it in messages.

    `on_device`: it uses a whole accelerator, or all processors, and needs a process of its own.
    """

    name: str
    function: Callable[..., None]
    arguments: tuple[Any, ...]
    on_device: bool = False


def run_tasks(
    tasks: Sequence[Task],
    *,
    workers: int,
    ray_address: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Run every task; raises TaskError when some failed, after all others are done.

    `ray_address` None: processes of this machine, none but this one for 0 workers; "local": Ray on
    this machine; else a cluster, whose nodes must see the store under the same path.
    """
    report = progress or (lambda done, total: None)
    report(0, len(tasks))
    if not tasks:
        return
    if ray_address is not None:
        failures = _run_on_ray(tasks, ray_address, workers, report)
    elif any(task.on_device for task in tasks):
        failures = _Pool(tasks, 1, report).run()
    elif workers == 0:
        failures = _run_here(tasks, report)
    else:
        failures = _Pool(tasks, min(workers, len(tasks)), report).run()
    if failures:
        name, reason = failures[0]
        raise TaskError(
            f"{len(failures)} of {len(tasks)} tasks failed, first {name}: {reason}; the others "
            "are kept, run the same command again for the rest"
        )


Failures = list[tuple[str, str]]


def _run_here(tasks: Sequence[Task], report: Progress) -> Failures:
    failures: Failures = []
    for done, task in enumerate(tasks, start=1):
        error = _run_one(task.function, task.arguments)
        if error is not None:
            failures.append((task.name, error))
        report(done, len(tasks))
    return failures


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: int | None = None


@dataclass
class _Pool:
    """Processes started afresh (no inherited state), each with a pipe of its own."""

    tasks: Sequence[Task]
    size: int
    report: Progress
    _waiting: deque[int] = field(default_factory=deque)
    _attempts: dict[int, int] = field(default_factory=dict)
    _failures: Failures = field(default_factory=list)
    _workers: list[_Worker] = field(default_factory=list)

    def run(self) -> Failures:
        self._waiting.extend(range(len(self.tasks)))
        try:
            for _ in range(self.size):
                self._start_worker()
            done = 0
            while done < len(self.tasks):
                heard = wait([worker.connection for worker in self._workers], _REPORT_SECONDS)
                if not heard:
                    self.report(done, len(self.tasks))
                for ready in heard:
                    worker = next(w for w in self._workers if w.connection is ready)
                    done += self._hear(worker)
                    self.report(done, len(self.tasks))
        finally:
            self._stop()
        return self._failures

    def _start_worker(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        self._give(worker)

    def _give(self, worker: _Worker) -> None:
        if not self._waiting:
            worker.task = None
            return
        worker.task = self._waiting.popleft()
        task = self.tasks[worker.task]
        self._attempts[worker.task] = self._attempts.get(worker.task, 0) + 1
        # A worker that is already dead is buried when its pipe reports the end.
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send((task.function, task.arguments))

    def _hear(self, worker: _Worker) -> int:
        """How many tasks are now over: one, or none when one goes back into the queue."""
        try:
            error: str | None = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            return self._bury(worker)
        task = worker.task
        assert task is not None  # noqa: S101  a worker speaks only of a task
        self._give(worker)
        if error is not None:
            self._failures.append((self.tasks[task].name, error))
        return 1

    def _bury(self, worker: _Worker) -> int:
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        task, over = worker.task, 0
        if task is not None:
            reason = f"its worker died (exit status {worker.process.exitcode})"
            log.warning("%s: %s", self.tasks[task].name, reason)
            if self._attempts[task] < ATTEMPTS:
                self._waiting.appendleft(task)
            else:
                self._failures.append((self.tasks[task].name, f"{reason}, {ATTEMPTS} times"))
                over = 1
        if self._waiting:
            self._start_worker()
        return over

    def _stop(self) -> None:
        """Close the pipes: an idle worker ends; one at work is ended."""
        for worker in self._workers:
            worker.connection.close()
            if worker.task is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_STOP_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _work(connection: Connection) -> None:
    """A worker: tasks from the pipe until it closes. Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_this_process_with_its_parent()
    while True:
        try:
            function, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            function(*arguments)
            error = None
        except CapcError as failure:
            error = str(failure)
        except Exception as failure:
            log.exception("task failed")
            error = f"{type(failure).__name__}: {failure}"
        try:
            connection.send(error)
        except OSError:  # nobody waits for it any more
            return


def _run_on_ray(tasks: Sequence[Task], address: str, workers: int, report: Progress) -> Failures:
    with connected(address, cpus=workers) as ray:
        return _gather(ray, tasks, report)


def _gather(ray: Any, tasks: Sequence[Task], report: Progress) -> Failures:
    """Ray itself retries a task whose worker died."""
    devices = ray.cluster_resources().get("GPU", 0)
    pending = {}
    for task in tasks:
        needs = {"num_cpus": 1, "num_gpus": 1 if task.on_device and devices else 0}
        remote = ray.remote(max_retries=ATTEMPTS - 1, **needs)(_run_one)
        pending[remote.remote(task.function, task.arguments)] = task
    failures: Failures = []
    while pending:
        ready, _ = ray.wait(list(pending), num_returns=1)
        task = pending.pop(ready[0])
        try:
            error = ray.get(ready[0])
        except ray.exceptions.RayError as failure:
            error = f"{type(failure).__name__}: {str(failure).strip().splitlines()[-1]}"
        if error is not None:
            failures.append((task.name, error))
        report(len(tasks) - len(pending), len(tasks))
    return failures


def _run_one(function: Callable[..., None], arguments: tuple[Any, ...]) -> str | None:
    try:
        function(*arguments)
    except CapcError as failure:
        return str(failure)
    return None
