"""Brevitas' quantisation of a network of ours, by a script in an environment that holds Brevitas."""

import json
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from moesaic.campaign.progress import say
from moesaic.errors import UserError
from moesaic.model.experiments.ptq.plain_copy import plain_copy
from moesaic.model.experiments.ptq.subjects import Predictions, Subject
from moesaic.model.network.vit import normalise

_SCRIPT = Path(__file__).with_name("brevitas_worker.py")
_REMEDY = "make build/brevitas/.installed makes an environment with it"
_BATCH = 16
_TAIL_LINES = 10


@dataclass(frozen=True)
class Setting:
    """Entries of Brevitas' own script.

    percentile: of an activation's magnitudes, where its range ends. activations: "sym", int8, or "asym", uint8 with an offset. gptq: round
    weights one by one, by the activations' order, each making up for those before it. equalise: move ranges from activations to weights
    first (SmoothQuant).
    """

    percentile: float = 99.999
    activations: str = "sym"
    gptq: bool = True
    equalise: bool = False


def brevitas_version(python: Path) -> str:
    """The version of Brevitas in an environment. python: its interpreter. UserError if it has none."""
    program = "from importlib.metadata import version; print(version('brevitas'))"
    try:
        done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"{python} cannot be run ({error.strerror}): {_REMEDY}") from None
    if done.returncode:
        raise UserError(f"{python} has no Brevitas: {_REMEDY}")
    return done.stdout.strip()


def brevitas_predictions(subject: Subject, setting: Setting, python: Path) -> Predictions:
    """What the network predicts as Brevitas quantises it. UserError with the last lines of what it said if Brevitas fails."""
    network = plain_copy(subject.model)
    job = {"sizes": network.sizes, "batch": _BATCH, "threads": torch.get_num_threads(), **asdict(setting)}
    with tempfile.TemporaryDirectory(prefix="moesaic-brevitas-") as scratch:
        directory = Path(scratch)
        (directory / "job.json").write_text(json.dumps(job))
        torch.save(network.state_dict(), directory / "weights.pt")
        for name, images in (("calibration", subject.calibration), ("measured", subject.measured)):
            np.save(directory / f"{name}.npy", normalise(images, subject.configuration.input).numpy())
        _run([str(python), str(_SCRIPT), str(directory)], directory / "errors.txt")
        return {task: np.load(directory / f"{task}.npy") for task in subject.configuration.task_names}


def _run(command: list[str], errors: Path) -> None:
    with (
        errors.open("w") as file,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            say(line.strip())
    if process.returncode:
        tail = errors.read_text().strip().splitlines()[-_TAIL_LINES:]
        raise UserError(f"Brevitas failed with exit code {process.returncode}: {' / '.join(tail)}")
