"""What is installed, what is missing, and which kernel runs which cell on this machine."""

import os
import platform

import torch
from rich.console import Console
from rich.table import Table

from latchwork import optional
from latchwork.cells import CELLS
from latchwork.errors import MissingExtra
from latchwork.kernels import engine, instruction_set
from latchwork.kernels.native import MISSING, VARIABLE
from latchwork.layers import Recurrent
from latchwork.version import __version__


def engine_facts() -> list[tuple[str, str]]:
    """The engine: which instruction set it takes, why not another, whose threads it runs on."""
    module = engine()
    if module is None:
        return [("engine", MISSING)]
    forced = os.environ.get(VARIABLE)
    chosen = instruction_set() + (f" (forced by {VARIABLE})" if forced else "")
    threads = "torch's threads" if module.has_team() else "threads of its own"
    rows = [("engine", f"{chosen}, on {threads}")]
    rows += [("", f"no {name}: {missing}") for name, missing in module.instruction_sets() if missing]
    return rows


def doctor(console: Console) -> None:
    """Print it. Nothing is changed and nothing is fetched."""
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    facts.add_row("latchwork", __version__)
    facts.add_row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    facts.add_row(
        "torch", f"{torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    )
    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none; everything runs on the CPU"
    facts.add_row("gpu", cuda)
    for what, said in engine_facts():
        facts.add_row(what, said)
    for module, (extra, purpose) in optional.EXTRAS.items():
        try:
            found = getattr(optional.load(module), "__version__", "found")
        except MissingExtra:
            found = f'not installed: {purpose}; pip install "latchwork[{extra}]"'
        facts.add_row(module, found)
    console.print(facts)
    kernels = Table("cell", "kernel", "why", box=None, padding=(0, 2, 0, 0))
    for name, cell in CELLS.items():
        choice = Recurrent(cell(8, 8)).explain_kernel(torch.zeros(2, 5, 8))
        kernels.add_row(name, choice.name, choice.reason)
    console.print(kernels)
