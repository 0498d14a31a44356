"""Checkpoints: a folder of safetensors and JSON for each, written aside and renamed; the last two are kept."""

import contextlib
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel
from torch import Tensor

from latchwork.errors import ModelFileError
from latchwork.storage import (
    check_version,
    new_folder,
    read_json,
    read_tensors,
    remove_partial,
    sha256,
    write_json,
    write_tensors,
)
from latchwork.training.state import Facts

FORMAT = 1
KEPT = 2
TENSORS = "state.safetensors"
MANIFEST = "checkpoint.json"


class Manifest(BaseModel):
    """checkpoint.json. ``options`` and ``config`` say what was trained; a resumed run must ask for the same.

    environment   torch's version, the threads and the device: exact resume is promised only where they are the same
    sha256        of state.safetensors
    """

    format: int
    latchwork: str
    environment: dict[str, str]
    options: dict[str, Any]
    config: dict[str, Any]
    facts: Facts
    sha256: str


class Checkpoint(NamedTuple):
    """What was read: where from, the manifest, the tensors by name."""

    path: Path
    manifest: Manifest
    tensors: dict[str, Tensor]


def environment(device: torch.device) -> dict[str, str]:
    """What the last bits of a result depend on besides the options."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "threads": str(torch.get_num_threads()), "device": name}


class Checkpoints:
    """The checkpoints of one run.

        checkpoints/step-0000000400/{state.safetensors, checkpoint.json}

    A checkpoint is there as a whole or not at all. The newest two are kept, and besides them the newest whose step is a
    multiple of ``every``: it is where a roll-back returns to.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.folder = folder
        self.every = every

    def steps(self) -> list[int]:
        """The steps for which there is a checkpoint, rising."""
        if not self.folder.is_dir():
            return []
        found = (re.fullmatch(r"step-(\d+)", path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step stands."""
        return self.folder / f"step-{step:010d}"

    def save(
        self,
        tensors: dict[str, Tensor],
        facts: Facts,
        *,
        options: dict[str, Any],
        config: dict[str, Any],
        environment: dict[str, str],
    ) -> Path:
        """Write a checkpoint, then remove those that are no longer kept. A full disk leaves all as it was."""
        path = self.path(facts.step)
        with new_folder(path) as folder:
            write_tensors(folder / TENSORS, tensors)
            manifest = Manifest(
                format=FORMAT,
                latchwork=version("latchwork"),
                environment=environment,
                options=options,
                config=config,
                facts=facts,
                sha256=sha256(folder / TENSORS),
            )
            write_json(folder / MANIFEST, manifest)
        self._prune(facts.step)
        return path

    def _prune(self, step: int) -> None:
        # A later step than the one just written is left of a checkpoint that could not be read.
        past = [other for other in self.steps() if other <= step]
        kept = set(past[-KEPT:]) | set([other for other in past if other % self.every == 0][-1:])
        for other in self.steps():
            if other not in kept:
                shutil.rmtree(self.path(other), ignore_errors=True)

    def load(self, step: int) -> Checkpoint:
        """Read and check one. Raises ModelFileError where it is damaged or of a newer format."""
        path = self.path(step)
        check_version(self._format(path), FORMAT, path)
        manifest = read_json(path / MANIFEST, Manifest)
        if sha256(path / TENSORS) != manifest.sha256:
            raise ModelFileError(f"{path / TENSORS} is damaged: its contents are not those that were written")
        # A carried state may hold NaN for rows that are missing; the hash has shown that nothing is damaged.
        return Checkpoint(path, manifest, read_tensors(path / TENSORS, all_finite=False))

    def _format(self, path: Path) -> object:
        value = read_json(path / MANIFEST)
        return value.get("format") if isinstance(value, dict) else None

    def _refuse_newer(self, path: Path) -> None:
        """A checkpoint of a newer latchwork is not damage: going back behind it would throw training away."""
        found = None
        with contextlib.suppress(ModelFileError):
            found = self._format(path)
        if isinstance(found, int) and found > FORMAT:
            check_version(found, FORMAT, path)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest that can be read, or None where there is none at all; and a note for each that is damaged.

        Raises ModelFileError where all are damaged, or where one comes from a newer latchwork.
        """
        damaged: list[str] = []
        for step in reversed(self.steps()):
            self._refuse_newer(self.path(step))
            try:
                return self.load(step), [f"{error}; the checkpoint before it is used" for error in damaged]
            except ModelFileError as error:
                damaged.append(str(error))
        if damaged:
            raise ModelFileError(f"no checkpoint in {self.folder} can be read ({damaged[0]}); train in a new folder")
        return None, []

    def clear(self) -> None:
        """Remove every checkpoint, and what killed writers left."""
        remove_partial(self.folder)
        for step in self.steps():
            shutil.rmtree(self.path(step), ignore_errors=True)
