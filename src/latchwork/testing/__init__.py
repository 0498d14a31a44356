"""Contracts that every new part must pass; each raises AssertionError naming the part and what it breaks."""

from latchwork.testing.check_cell import check_cell
from latchwork.testing.check_modality import check_modality
from latchwork.testing.check_sequences import check_sequences
from latchwork.testing.check_task import check_task
from latchwork.testing.check_writer import check_writer

__all__ = ["check_cell", "check_modality", "check_sequences", "check_task", "check_writer"]
