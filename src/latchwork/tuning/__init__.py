"""Search for options: what may be searched, the search itself, and what it came to."""

from latchwork.tuning.objective import Objective, Worth
from latchwork.tuning.options import Options
from latchwork.tuning.report import Trial, Tuned, history_svg, tuning_section
from latchwork.tuning.search import tune
from latchwork.tuning.space import Choice, Range, Space, default_space

__all__ = [
    "Choice",
    "Objective",
    "Options",
    "Range",
    "Space",
    "Trial",
    "Tuned",
    "Worth",
    "default_space",
    "history_svg",
    "tune",
    "tuning_section",
]
