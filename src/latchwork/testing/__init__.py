"""Contracts that every new part must pass; each raises AssertionError naming the part and what it breaks."""

from latchwork.testing.check_cell import check_cell
from latchwork.testing.check_modality import check_modality

__all__ = ["check_cell", "check_modality"]
