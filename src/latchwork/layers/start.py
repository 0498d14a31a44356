"""How a network starts: weights that neither blow up nor fade, and gates that hold on to the state at first."""

import torch
from torch import nn

from latchwork.cells import RECTIFIERS, Cell
from latchwork.cells.products import BlockDiagonal
from latchwork.types import Tensor


@torch.no_grad()
def start(cell: Cell, *, forget_bias: float = 1.0) -> Cell:
    """Start a cell's products anew, in place, gate by gate.

    * recurrent products: orthogonal (Saxe et al. 2014, arXiv:1312.6120), in a block-diagonal one within each head;
    * other dense products: Glorot uniform (Glorot & Bengio 2010), He uniform (He et al. 2015, arXiv:1502.01852) where
      the cell's activation is a rectifier;
    * biases: zero, and ``forget_bias`` at the gates that hold on to the state, with the sign that makes them hold
      (Jozefowicz et al. 2015): an LSTM's f, a GRU's z, a minGRU's z with a minus.

    What is neither (norms, peepholes) stays as the cell started it.
    """
    rectifier = getattr(cell, "activation", None) in RECTIFIERS
    recurrent = set(cell.recurrent_products().values())
    for product in cell.modules():
        if isinstance(product, nn.Linear):
            for gate in _gates(product.weight, cell.hidden_size):
                if product in recurrent:
                    nn.init.orthogonal_(gate)
                elif rectifier:
                    nn.init.kaiming_uniform_(gate, nonlinearity="relu")
                else:
                    nn.init.xavier_uniform_(gate)
            if product.bias is not None:
                nn.init.zeros_(product.bias)
        elif isinstance(product, BlockDiagonal):
            for block in product.weight.split(product.weight.shape[1]):
                nn.init.orthogonal_(block)
    bias = cell.gate_bias
    if bias is not None:
        for gate, sign in cell.keeps.items():
            bias.view(len(cell.gates), -1)[cell.gates.index(gate)] = sign * forget_bias
    return cell


def _gates(weight: Tensor, hidden: int) -> tuple[Tensor, ...]:
    """The parts of a product by gate, or the whole where it is not made of gates."""
    return weight.split(hidden) if weight.shape[0] % hidden == 0 else (weight,)
