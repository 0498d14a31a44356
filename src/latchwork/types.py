"""Shapes as types: ``Float[Tensor, "batch time hidden"]``. Checked by beartype in the tests only, never at run time.

jaxtyping reads annotations when a function is defined, so files that use these do not write
``from __future__ import annotations``.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Tensor"]
