"""Options by name."""

from latchwork.cells import GRU
from latchwork.layers import Network
from latchwork.tasks import Classify, Label
from latchwork.training import Training
from latchwork.tuning import Options


def test_options_survive_being_written() -> None:
    for task in (Classify(pooling="mean", aim="recall>=0.9", columns=("a", "b")), Label(crf=True)):
        options = Options(task, Network(cell="lstm", hidden_size=7), Training(steps=9))
        assert Options.from_dict(options.to_dict()) == options


def test_other_values_leave_the_rest_alone() -> None:
    options = Options(Classify(lowercase=False), Network(layers=2), Training(steps=9))
    changed = options.having(
        {
            "network.hidden_size": 5,
            "classify.augment.jitter": 0.1,
            "classify.augment.scale": 0.2,
            "classify.convolutions": ["8x3"],
        }
    )
    assert (changed.network.hidden_size, changed.network.layers) == (5, 2)
    assert (changed.task.augment.jitter, changed.task.augment.scale) == (0.1, 0.2)
    assert changed.task.convolutions == ("8x3",)
    assert not changed.task.lowercase
    assert changed.training == options.training


def test_a_cell_of_ones_own_stays() -> None:
    class Own(GRU):
        pass

    options = Options(Classify(), Network(cell=Own), Training())
    assert options.having({"network.hidden_size": 5}).network.cell is Own


def test_what_decides_the_figures_is_not_searched() -> None:
    known = Options(Classify(), Network(), Training()).known()
    assert {"network.cell", "training.steps", "classify.embedding", "classify.augment.crop"} <= set(known)
    assert not {
        "training.seed",
        "classify.test",
        "classify.label",
        "classify.aim",
        "classify.aim_folds",
        "network.kernel",
    } & set(known)
