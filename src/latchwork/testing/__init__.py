"""Contracts that every new part must pass; each raises AssertionError naming the part and what it breaks."""

from latchwork.testing.check_cell import check_cell

__all__ = ["check_cell"]
