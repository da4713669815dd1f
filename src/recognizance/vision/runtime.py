"""Running a network: OpenVINO by default, ONNX Runtime where the operator asks for it.

Both release the interpreter lock while they compute. One network may be called from many threads.
"""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import LifoQueue
from typing import Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from recognizance.core.errors import SetupError
from recognizance.core.settings import Settings
from recognizance.vision.faces import FloatArray

log = structlog.get_logger(__name__)

INFER_REQUESTS = 4


class Network(Protocol):
    """A network that is ready to run."""

    def __call__(self, batch: FloatArray) -> list[FloatArray]:
        """Run on (n, ...) float32; return the outputs in the ONNX file's order, which are the caller's to keep."""
        ...


class Runtime:
    """Loads networks into the back end that the settings choose.

    Attributes:
        name: ``openvino`` or ``onnxruntime``.
        precision: ``bf16`` or ``f32``, the arithmetic in use.
        threads: How many threads run the networks.
        streams: How many calls of a network run side by side, sharing these threads.

    Args:
        settings: ``runtime``, ``precision``, ``threads`` and ``streams`` decide.

    Raises:
        SetupError: The back end asked for is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self.threads = settings.threads or len(os.sched_getaffinity(0))
        self.streams = min(settings.streams or self.threads, self.threads)
        self.precision = "f32"
        self.name = settings.runtime
        self._load: Callable[[Path], Network]
        if settings.runtime in {"auto", "openvino"} and (core := _openvino_core()) is not None:
            self.name = "openvino"
            self.precision = _openvino_precision(core) if settings.precision == "auto" else settings.precision
            self._load = lambda path: _OpenVinoNetwork(core, path, self._openvino_options())
        elif settings.runtime in {"auto", "onnxruntime"}:
            session = _onnxruntime_session()
            self.name = "onnxruntime"
            self._load = lambda path: _OnnxRuntimeNetwork(session(path, self.threads // self.streams))
        else:
            raise SetupError("OpenVINO is not installed; run: pip install openvino")

    def load(self, path: Path) -> Network:
        """Load an ONNX file.

        Raises:
            SetupError: The file is not a network this back end can run.
        """
        try:
            return self._load(path)
        except RuntimeError as error:
            raise SetupError(f"{path.name} does not load in {self.name}: {error}") from error

    def _openvino_options(self) -> dict[str, Any]:
        return {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.streams,
            "INFERENCE_PRECISION_HINT": self.precision,
            # Several processes may serve on one machine, and pinned threads of both would crowd the same cores.
            "ENABLE_CPU_PINNING": False,
        }


class Batcher:
    """Runs the work of many threads in common batches.

    Whoever finds the network idle runs everything that waits, its own work included; there is no thread in between,
    so a lone caller pays nothing. Results do not depend on who shared a batch.

    Args:
        run: Maps n inputs, of any kind, to n outputs, row by row.
        largest: Most rows in one batch.
    """

    def __init__(self, run: Callable[[NDArray[Any]], FloatArray], largest: int) -> None:
        self._run, self._largest = run, largest
        self._waiting: list[_Job] = []
        self._list_lock, self._run_lock = threading.Lock(), threading.Lock()

    def __call__(self, rows: NDArray[Any]) -> FloatArray:
        """Return the outputs of these rows, in their order; raises what the network raised for their batch."""
        jobs = [_Job(rows[i : i + self._largest]) for i in range(0, len(rows), self._largest)]
        with self._list_lock:
            self._waiting.extend(jobs)
        for job in jobs:
            while not job.finished.is_set():
                with self._run_lock:
                    if not job.finished.is_set():
                        self._run_batch(self._take())
        return np.concatenate([job.outcome() for job in jobs])

    def _take(self) -> "list[_Job]":
        with self._list_lock:
            count, size = 0, 0
            while count < len(self._waiting) and (size := size + len(self._waiting[count].rows)) <= self._largest:
                count += 1
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _run_batch(self, jobs: "Sequence[_Job]") -> None:
        try:
            outputs = self._run(np.concatenate([job.rows for job in jobs]))
            start = 0
            for job in jobs:
                job.result = outputs[start : start + len(job.rows)]
                start += len(job.rows)
        except BaseException as error:
            for job in jobs:
                job.error = error
            raise
        finally:
            for job in jobs:
                job.finished.set()


class _Job:
    __slots__ = ("error", "finished", "result", "rows")

    def __init__(self, rows: NDArray[Any]) -> None:
        self.rows = rows
        self.finished = threading.Event()
        self.result: FloatArray | None = None
        self.error: BaseException | None = None

    def outcome(self) -> FloatArray:
        if self.result is None:
            raise RuntimeError("the network failed on this batch") from self.error
        return self.result


class _OpenVinoNetwork:
    """An OpenVINO model with a few infer requests, since one request serves one thread at a time."""

    def __init__(self, core: Any, path: Path, options: dict[str, Any]) -> None:  # noqa: ANN401 - untyped library
        model = core.read_model(path)
        shape = model.input().get_partial_shape()
        if shape[0].is_static:
            shape[0] = -1
            model.reshape(shape)
        compiled = core.compile_model(model, "CPU", options)
        self._requests: LifoQueue[Any] = LifoQueue()
        for _ in range(max(INFER_REQUESTS, 2 * options["NUM_STREAMS"])):
            self._requests.put(compiled.create_infer_request())

    def __call__(self, batch: FloatArray) -> list[FloatArray]:
        request = self._requests.get()
        try:
            outputs = request.infer({0: batch}, share_inputs=True)
            return [np.array(value, np.float32) for value in outputs.values()]
        finally:
            self._requests.put(request)


class _OnnxRuntimeNetwork:
    def __init__(self, session: Any) -> None:  # noqa: ANN401 - untyped library
        self._session = session
        self._input = session.get_inputs()[0].name

    def __call__(self, batch: FloatArray) -> list[FloatArray]:
        outputs: list[NDArray[np.float32]] = self._session.run(None, {self._input: batch})
        return outputs


def _openvino_core() -> Any:  # noqa: ANN401 - OpenVINO ships no types
    try:
        from openvino import Core, Type
    except ImportError:
        return None
    # The binding makes its table of types at the first inference. Two threads there at once stop each other for ever
    # (one has the table's lock and wants the interpreter's, the other the reverse), so one thread has it made here.
    Type.f32.to_dtype()
    return Core()


def _openvino_precision(core: Any) -> str:  # noqa: ANN401 - OpenVINO ships no types
    capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if capable and _cpu_has_amx() else "f32"


def _onnxruntime_session() -> Callable[[Path, int], Any]:
    try:
        import onnxruntime
    except ImportError as error:
        raise SetupError("ONNX Runtime is not installed; run: pip install 'recognizance[onnxruntime]'") from error

    def open_session(path: Path, threads: int) -> Any:  # noqa: ANN401 - untyped library
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            return onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # its own exceptions share no base class
            raise RuntimeError(str(error)) from error

    return open_session


def _cpu_has_amx() -> bool:
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
