"""Shapes are checked at run time in the tests, and only there: every annotation of these packages is enforced."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from beartype import BeartypeConf, beartype
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Options come from files in any type, and these modules answer with a ConfigError: a type check would come first.
UNCHECKED = {"__init__", "network"}


def checked_modules() -> list[str]:
    """The modules of cells, kernels and layers by name, without importing them."""
    spec = find_spec("latchwork")
    assert spec is not None
    assert spec.origin is not None
    files = [file for part in ("cells", "kernels", "layers") for file in (Path(spec.origin).parent / part).glob("*.py")]
    return [f"latchwork.{file.parent.name}.{file.stem}" for file in files if file.stem not in UNCHECKED]


# An int is welcome where a float is asked for. The hook takes a checker by its name only: hence a module for it.
checker = ModuleType("latchwork_shape_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # type: ignore[attr-defined]
sys.modules[checker.__name__] = checker
install_import_hook(checked_modules(), f"{checker.__name__}.check")

# Nothing here is judged by the clock: on a machine with other work an example takes as long as it takes.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, visibly, what wants a device or data sets that are not here."""
    missing = {
        "gpu": None if torch.cuda.is_available() else "no CUDA device here",
        "data": None if os.environ.get("LATCHWORK_DATA") else "LATCHWORK_DATA does not name the public data sets",
    }
    for item in items:
        for mark, reason in missing.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))
