"""What figures were measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recognizance.vision.contracts import Contract
    from recognizance.vision.runtime import Runtime

_PACKAGES = ("recognizance", "openvino", "onnxruntime", "numpy", "opencv-python-headless", "pillow", "uvicorn", "boto3")


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor.

    Attributes:
        model: Its name, as it says of itself.
        cores: How many of its cores this process may use.
    """

    model: str
    cores: int


@dataclass(frozen=True, slots=True)
class Setup:
    """What was measured, and on what.

    Attributes:
        contract: The model contract.
        face_model_version: Its version.
        runtime: What ran the networks.
        precision: In which arithmetic.
        threads: With how many threads.
        cpu: The processor.
        versions: The versions of Python, the system, and the packages that figures depend on.
    """

    contract: str
    face_model_version: str
    runtime: str
    precision: str
    threads: int
    cpu: Cpu
    versions: dict[str, str]

    @classmethod
    def of(cls, contract: Contract, runtime: Runtime) -> Self:
        """Describe a contract's networks in this runtime on this machine."""
        versions = installed_versions(_PACKAGES)
        return cls(contract.name, contract.version, runtime.name, runtime.precision, runtime.threads, cpu(), versions)


def cpu() -> Cpu:
    """Describe this machine's processor."""
    return Cpu(_cpu_model() or platform.processor() or platform.machine(), cores())


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, of the system, and of those of the packages that are installed."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
