import torch

from latchwork.cells.products import BlockDiagonal, Diagonal


def test_diagonal() -> None:
    product = Diagonal(4)
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(product(x), x @ torch.diag(product.weight))


def test_block_diagonal_is_the_dense_product_with_zeros() -> None:
    product = BlockDiagonal(6, gates=3, heads=2)
    dense = product.dense()
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(product(x), x @ dense.T)
    assert dense.shape == (18, 6)
    # A unit of the second head, in every gate, sees nothing of the first.
    assert dense.unflatten(0, (3, 6))[:, 3:, :3].eq(0).all()
    assert dense.ne(0).sum() == product.weight.numel()


def test_one_head_is_dense() -> None:
    product = BlockDiagonal(3, gates=2)
    assert torch.equal(product.dense(), product.weight)
