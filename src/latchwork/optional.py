"""The only place where optional packages are loaded; each names the extra that installs it."""

import importlib
from types import ModuleType

from latchwork.errors import MissingExtra

EXTRAS = {
    "statsmodels": ("forecast", "the ETS and STL baselines"),
    "sklearn": ("classify", "metrics and classic baselines"),
    "scipy": ("classify", "features of words"),
    "tokenizers": ("text", "texts"),
    "sacrebleu": ("text", "BLEU and chrF"),
    "PIL": ("image", "images"),
    "optuna": ("tune", "searches for options"),
    "h5py": ("export", "Keras weights"),
    "pandas": ("dev", "pandas frames"),
    "pyarrow": ("dev", "pyarrow tables"),
}


def load(module: str) -> ModuleType:
    """Import an optional module, or raise :class:`MissingExtra` with the command that installs it."""
    package = module.partition(".")[0]
    extra, purpose = EXTRAS[package]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f'{purpose} need {package}, which is not installed; install it with: pip install "latchwork[{extra}]"'
        ) from error
