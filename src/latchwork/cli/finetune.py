"""latchwork finetune: go on from a trained model, or from the layers of another library, on other data."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from latchwork.cli.base import Options, app, err, out
from latchwork.cli.training import end_if_interrupted, folder_of, print_labelled
from latchwork.errors import ConfigError
from latchwork.language_model import LanguageModel
from latchwork.layers import Network
from latchwork.model import finetune as go_on
from latchwork.model import load
from latchwork.sequence_model import SequenceModel
from latchwork.tasks import Classify, Label
from latchwork.training import Progress as TrainingProgress
from latchwork.training import Training, Transfer, inherited, read_weights
from latchwork.view import telling


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Options of the task and network that are not the model's own.

    Args:
        task: "classify" or "label". None: the model's; of a weights file classify.
        label: Column of the label. None, here and below: as the model was trained.
        labels: A file of its own with the labels.
        text: Column of the text.
        id: Column that names the sequence.
        group: Column of the entity that may not be in training and test at once.
        time: Column of the time of a step.
        split: Column that says train, validation or test; "" for none.
        validation: A file of its own with the sequences to choose by.
        test: A file of its own with the sequences to score on.
        validation_size: Share of the file, or number of sequences, to choose by.
        test_size: Share of the file, or number of sequences, to score on.
        by_time: Split by time: the latest sequences are for the test.
        metric: What validation is judged by.
        target: class, labels, ordinal, number, or auto.
        positive: The class that figures of two classes, and the aim, are about.
        aim: What the threshold of two classes is to reach on validation, such as recall>=0.95, instead of the model's
            own aim or cost; "" for none.
        cost: Or what a miss and a false alarm cost, such as fn=10,fp=1.
        bound: The aim holds for the figure itself ("none"), or for its lower bound: exact or bootstrap.
        aim_folds: Choose the threshold by so many folds; 0: on the validation part.
        class_weight: "balanced": a rare class counts as much as a common one.
        pooling: One vector from the steps: last, mean, max or attention.
        embedding: Numbers that stand for a token; for a weights file alone.
        dropout: Part of what passes between layers that is dropped in training.
    """

    task: Literal["classify", "label"] | None = None
    label: str | None = None
    labels: Path | None = None
    text: str | None = None
    id: str | None = None
    group: str | None = None
    time: str | None = None
    split: str | None = None
    validation: Path | None = None
    test: Path | None = None
    validation_size: float | None = None
    test_size: float | None = None
    by_time: bool | None = None
    metric: str | None = None
    target: Literal["auto", "class", "labels", "ordinal", "number"] | None = None
    positive: str | None = None
    aim: str | None = None
    cost: str | None = None
    bound: Literal["none", "exact", "bootstrap"] | None = None
    aim_folds: int | None = None
    class_weight: Literal["none", "balanced"] | None = None
    pooling: Literal["last", "mean", "max", "attention"] | None = None
    embedding: int | None = None
    dropout: float | None = None

    def applied(self, own: Classify | Label | None) -> Classify | Label:
        """The model's task with these changes, or a new one where there is none."""
        kinds: dict[str, Any] = {"classify": Classify, "label": Label}
        kind = type(own) if self.task is None and own is not None else kinds[self.task or "classify"]
        base: Any = kind() if own is None else inherited(own)
        if not isinstance(base, kind):
            shared = {one.name for one in fields(kind)} & {one.name for one in fields(base)}
            base = kind(**{name: getattr(base, name) for name in shared - {"metric", "class_weight"}})
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("task", "dropout")}
        changed = {name: value for name, value in given.items() if value is not None}
        known = {one.name for one in fields(base)}
        for name in changed:
            if name not in known:
                raise ConfigError(f"{name} is for the task classify, and this is {kind.__name__.lower()}; leave it out")
        return replace(base, **_aims(base, {name: value if value != "" else None for name, value in changed.items()}))


def _aims(base: Classify | Label, changed: dict[str, Any]) -> dict[str, Any]:
    """The changes, and those of the model's aim that follow from them: a cost is instead of an aim, and the reverse;
    without either there is nothing to bound and nothing to choose by folds.
    """
    if not isinstance(base, Classify):
        return changed
    left: dict[str, Any] = {}
    for name, other in (("aim", "cost"), ("cost", "aim")):
        if changed.get(name) is not None:
            left[other] = None
    if changed.get("target", "auto") not in ("auto", "class"):
        left |= {"aim": None, "cost": None}  # which are for two classes
    kept = {"aim": base.aim, "cost": base.cost, **left, **changed}
    if kept["aim"] is None:
        left["bound"] = "none"
    if kept["aim"] is None and kept["cost"] is None:
        left["aim_folds"] = 0
    return {**left, **changed}


@app.command
def finetune(
    start: Path,
    data: Path,
    /,
    *,
    changes: Annotated[Changes, Options] = Changes(),
    transfer: Annotated[Transfer, Options] = Transfer(),  # noqa: B008 a frozen value
    training: Annotated[Training, Options] = Training(),  # noqa: B008 a frozen value
    run: Path | None = None,
    resume: bool = False,
) -> None:
    """Go on from a trained model on other data: the same question, or new labels.

    Args:
        start: Run folder of a classifier or labeller, or of a language model, whose vectors and layers are taken over
            and whose head is new; or recurrent layers of torch (.safetensors) or Keras (.weights.h5, .h5), all else
            being new.
        data: A file as train takes it.
        run: Folder for checkpoints, log, model and report. Default: runs/<name of the file>.
        resume: Go on with an interrupted run in that folder.
    """
    folder = folder_of(run, data)
    network: Network | None = None
    begin: Any = start
    own, trained = None, None
    if start.is_dir() or not start.suffix:
        begin = load(start)
        own = begin.pipeline if isinstance(begin, SequenceModel) else None
        trained = begin.pipeline.network if isinstance(begin, (SequenceModel, LanguageModel)) else None
    if isinstance(begin, LanguageModel) and changes.embedding is not None:
        raise ConfigError("embedding is for a weights file; the vectors of a language model are taken as they are")
    if trained is not None and changes.dropout is not None:
        network = replace(trained, dropout=changes.dropout)
    elif trained is None and changes.dropout is not None:
        network = replace(read_weights(start, names=transfer.recurrent).network(), dropout=changes.dropout)
    with telling(err) as tell:
        model = go_on(
            start,
            data,
            task=changes.applied(None if own is None else own.task),
            network=network,
            training=training,
            transfer=transfer,
            run=folder,
            resume=resume,
            callbacks=[TrainingProgress(err)],
            progress=tell,
            show=out.print,
        )
    end_if_interrupted(model)
    print_labelled(model, folder)
