"""Fixtures that every test may use."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from PIL import Image

from recognizance.core.settings import Settings
from recognizance.vision.models import ModelStore

# How long an example takes says more about the machine than about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SHARED = Path(__file__).resolve().parents[2] / "shared"
MIRROR = SHARED / "models"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of research data beside the checkout; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the research data is not on this machine")
    return SHARED


_PULL = """
import sys
from recognizance.core.settings import Settings
from recognizance.vision.contracts import load_contract
from recognizance.vision.models import ModelStore
mirror, *contracts = sys.argv[1:]
store = ModelStore(Settings(model_mirror=mirror or None))
names = ["demo_pictures", *(model for name in contracts for model in load_contract(name).model_names)]
sys.exit("\\n".join(f"{o.name}: {o.detail}" for o in store.pull(names) if o.state != "installed") or None)
"""


@pytest.fixture(scope="session")
def contracts() -> list[str]:
    """The model contracts to test with, installed: core always, standard where a mirror has it."""
    names = ["core", "standard"] if MIRROR.is_dir() else ["core"]
    mirror = str(MIRROR) if MIRROR.is_dir() else ""
    subprocess.run([sys.executable, "-c", _PULL, mirror, *names], check=True, timeout=600)
    return names


@pytest.fixture(scope="session")
def photos(contracts: list[str]) -> dict[str, bytes]:
    """Public photographs by name, and one of two people made of two of them, the larger face on the left."""
    assert contracts
    paths = ModelStore(Settings()).paths("demo_pictures").values()
    found = {path.stem: path.read_bytes() for path in paths if path.suffix == ".jpg"}
    left, right = (Image.open(io.BytesIO(found[name])).convert("RGB") for name in ("obama", "biden"))
    right = right.resize((right.width * 2 // 5, right.height * 2 // 5))
    both = Image.new("RGB", (left.width + right.width, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    found["both"] = _jpeg(both)
    return found


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()
