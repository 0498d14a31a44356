"""The front door: fit a task to data, load a run, and everything a trained model does. It holds no logic of its own."""

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import polars as pl
from torch import Tensor, nn

from latchwork import storage
from latchwork.cells import Cell
from latchwork.errors import ConfigError, ModelFileError
from latchwork.evaluation import Evaluation, Leaderboard, Report, evaluate, write_report
from latchwork.language_model import LanguageModel, fit_language, load_generator
from latchwork.layers import Network
from latchwork.modalities import RawTable, read
from latchwork.sequence_model import SequenceModel, finetune_labelled, fit_labelled, load_labelled
from latchwork.streaming import Stream, Tracked, column_names, replay
from latchwork.tasks import (
    Classify,
    Forecast,
    ForecastSetup,
    Generate,
    Label,
    Pipeline,
    Translate,
    load_pipeline,
    save_pipeline,
)
from latchwork.trained import Progress, config_of
from latchwork.training import Callback, Outcome, Takeover, Training, Transfer, inherited, nothing_left, read_weights
from latchwork.training import fit as train
from latchwork.translation_model import (
    TranslationModel,
    finetune_translated,
    fit_translation,
    load_translation,
)
from latchwork.version import __version__

Data = Any
"""A path to a csv, tsv, parquet or json-lines file, or a pandas, polars or pyarrow frame."""


@overload
def fit(
    task: Forecast,
    data: Data,
    *,
    network: Network | None = None,
    training: Training | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> "Model": ...
@overload
def fit(
    task: Classify | Label,
    data: Data,
    *,
    network: Network | None = None,
    training: Training | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> SequenceModel: ...
@overload
def fit(
    task: Generate,
    data: Data,
    *,
    network: Network | None = None,
    training: Training | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> LanguageModel: ...
@overload
def fit(
    task: Translate,
    data: Data,
    *,
    network: Network | None = None,
    training: Training | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> TranslationModel: ...
def fit(
    task: Forecast | Classify | Label | Generate | Translate,
    data: Data,
    *,
    network: Network | None = None,
    training: Training | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> "Model | SequenceModel | LanguageModel | TranslationModel":
    """Train ``task`` on ``data``, score it on what is held back, and return the model.

    Args:
        task: What is asked, and how it is judged: Forecast, Classify, Label, Generate or Translate.
        data: A file (csv, tsv, parquet, json lines; for Classify and Label also texts, archives, folders of images,
            see :class:`latchwork.modalities.SourceOptions`; for Generate a text or a folder of texts, see
            :class:`latchwork.modalities.CorpusOptions`; for Translate pairs of texts, see
            :class:`latchwork.modalities.PairOptions`) or a frame (pandas, polars, pyarrow).
        network: The recurrent network; None: by the data.
        training: How it is trained; None: by the data.
        run: A folder for checkpoints, the log, the model and the report. None: nothing is written.
        resume: Go on with an interrupted run in that folder.
        callbacks: Told of every step (progress bars, monitors).
        progress: Called with what is going on after training, and the share done.

    >>> model = fit(Forecast(target="units", horizon=28), "sales.csv")   # doctest: +SKIP
    >>> print(model.leaderboard())                                       # doctest: +SKIP
    """
    folder = _free(run, resume)
    if not isinstance(task, Forecast):
        shared: dict[str, Any] = {"run": folder, "resume": resume, "callbacks": callbacks, "progress": progress}
        if isinstance(task, Generate):
            return fit_language(task, data, network=network, training=training, **shared)
        if isinstance(task, Translate):
            return fit_translation(task, data, network=network, training=training, **shared)
        return fit_labelled(task, data, network=network, training=training, **shared)
    raw = read(data, task.table)
    _check_columns(task, raw)
    with nothing_left(folder):
        fitted = train(
            task,
            raw,
            network,
            training,
            folder=folder,
            resume=resume,
            callbacks=callbacks,
            resume_hint=""
            if folder is None
            else f"the same command with --resume (or fit(…, run={str(folder)!r}, resume=True))",
        )
    setup = fitted.setup
    finished = fitted.outcome.stopped != "interrupted"
    evaluation = evaluate(setup, progress=progress) if finished and len(setup.windows()) else None
    model = Model(
        setup.pipeline,
        setup=setup,
        raw=raw,
        outcome=fitted.outcome,
        training=fitted.training,
        evaluation=evaluation,
        tracked=Tracked.after(setup.pipeline, setup.series) if finished else None,
    )
    if folder is not None and finished:
        model.save(folder)
        model.report(folder / "report.html")
        storage.write_text(folder / "card.md", model.card())
    return model


def _free(run: str | Path | None, resume: bool) -> Path | None:
    """The folder of a run that is to be written; it may not hold a finished one."""
    folder = None if run is None else Path(run)
    if folder is not None and (folder / "model" / "config.json").exists() and not resume:
        raise ConfigError(f"{folder} already holds a finished run; give another folder, or remove it first")
    return folder


@overload
def finetune(
    start: "LanguageModel | str | Path",
    data: Data,
    *,
    task: Translate,
    network: Network | None = None,
    training: Training | None = None,
    transfer: Transfer | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    show: Callable[[Takeover], None] | None = None,
) -> TranslationModel: ...
@overload
def finetune(
    start: "SequenceModel | LanguageModel | str | Path | nn.Module | Mapping[str, Tensor]",
    data: Data,
    *,
    task: Classify | Label | None = None,
    network: Network | None = None,
    training: Training | None = None,
    transfer: Transfer | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    show: Callable[[Takeover], None] | None = None,
) -> SequenceModel: ...
def finetune(
    start: "SequenceModel | LanguageModel | str | Path | nn.Module | Mapping[str, Tensor]",
    data: Data,
    *,
    task: Classify | Label | Translate | None = None,
    network: Network | None = None,
    training: Training | None = None,
    transfer: Transfer | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    show: Callable[[Takeover], None] | None = None,
) -> "SequenceModel | TranslationModel":
    """Go on from what was trained before, on other data.

    Args:
        start: A model or its run folder: all of it is taken over, but for a head whose labels are others; of a language
            model its vectors and recurrent layers, for Classify (the default), Label, or the decoder of Translate. Or
            recurrent layers of another library, all else being new: a torch ``state_dict`` or module, a .safetensors
            file, or a Keras weights file.
        data: As in :func:`fit`.
        task: None: the model's own, without the files of its data. To change an option of it:
            ``dataclasses.replace(model.pipeline.task, label="tone")``. Of other layers it is needed.
        network: None: the start's own. Dropout may differ, what shapes the weights may not.
        training: How it is trained; None: by the data.
        transfer: What is frozen, how fast each layer learns and from when on; None: all, and alike.
        run, resume, callbacks, progress: As in :func:`fit`.
        show: Told what was taken over, before training; afterwards it is the model's ``takeover``.

    >>> model = finetune("runs/reviews", "ours.csv", transfer=Transfer(unfreeze="gradual"))   # doctest: +SKIP
    >>> print(model.leaderboard())                                                            # doctest: +SKIP
    """
    folder = _free(run, resume)
    transfer = transfer or Transfer()
    source = str(start) if isinstance(start, (str, Path)) else "the model"
    if isinstance(start, (str, Path)) and (Path(start).is_dir() or not Path(start).suffix):
        start = _taught(load(start), str(start))
    if isinstance(start, TranslationModel):
        start = _taught(start, source)
    if isinstance(start, (SequenceModel, LanguageModel)):
        begin: Any = start.pipeline
        if transfer.recurrent:
            raise ConfigError("recurrent names layers of a weights file; a model of latchwork is taken as a whole")
        if task is None:
            task = inherited(begin.task) if isinstance(start, SequenceModel) else Classify()
    else:
        begin = read_weights(start, names=transfer.recurrent, network=network)
        source = begin.name
        if task is None:
            raise ConfigError(f"{source} says nothing of a task; give one, such as Classify() or Label()")
    shared: dict[str, Any] = {
        "source": source,
        "network": network,
        "training": training,
        "transfer": transfer,
        "run": folder,
        "resume": resume,
        "callbacks": callbacks,
        "progress": progress,
        "show": show,
    }
    if isinstance(task, Translate):
        if not isinstance(start, LanguageModel):
            raise ConfigError(f"a translator starts from a language model (train generate), and {source} is none")
        return finetune_translated(begin, data, task=task, **shared)
    return finetune_labelled(begin, data, task=task, **shared)


def _taught(model: Any, name: str) -> "SequenceModel | LanguageModel":
    if isinstance(model, Model):
        raise ConfigError(
            f"{name} holds a forecaster, and fine-tuning is for classify and label; a forecaster takes in new rows "
            f"with: latchwork update {name} rows"
        )
    if isinstance(model, TranslationModel):
        raise ConfigError(f"{name} holds a translator; fine-tuning starts from classify, label and generate")
    return model


def load(
    run: str | Path, *, cells: Mapping[str, type[Cell]] | None = None
) -> "Model | SequenceModel | LanguageModel | TranslationModel":
    """Read a run folder (or its model folder). Cells of one's own are named in ``cells``: a file never brings code."""
    folder = run_folder(run)
    inner = folder / "model"
    config = storage.read_json(inner / "config.json") if (inner / "config.json").is_file() else {}
    named = config.get("task") if isinstance(config, dict) else None
    if isinstance(named, dict) and named.get("name") in ("classify", "label"):
        return load_labelled(folder, cells)
    if isinstance(named, dict) and named.get("name") == "generate":
        return load_generator(folder, cells)
    if isinstance(named, dict) and named.get("name") == "translate":
        return load_translation(folder, cells)
    pipeline = load_pipeline(inner, cells)
    scores = folder / "leaderboard.json"
    return Model(
        pipeline,
        tracked=Tracked.load(inner / "state.safetensors", pipeline),
        leaderboard=Leaderboard.from_dict(storage.read_json(scores)) if scores.is_file() else None,
    )


def run_folder(path: str | Path) -> Path:
    """The run that a path names: its folder, or the model folder inside it."""
    folder = Path(path)
    if not folder.is_dir():
        raise ModelFileError(f"no such run folder: {folder}")
    return folder.resolve().parent if (folder / "config.json").is_file() else folder


class Model:
    """A trained model: predict, evaluate, stream, update, save, report."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        setup: ForecastSetup | None = None,
        raw: RawTable | None = None,
        outcome: Outcome | None = None,
        training: Training | None = None,
        evaluation: Evaluation | None = None,
        tracked: Tracked | None = None,
        leaderboard: Leaderboard | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.setup, self.raw, self.outcome, self.training, self.evaluation = setup, raw, outcome, training, evaluation
        self.tracked = Tracked(pipeline) if tracked is None else tracked
        self.reported: Report | None = None
        self._leaderboard = leaderboard if evaluation is None else evaluation.leaderboard

    def leaderboard(self) -> Leaderboard:
        """The model beside the baselines, on rows that no method had seen, with intervals and a verdict."""
        if self._leaderboard is None:
            raise ConfigError("no rows were held back for a test; train with test_size of at least the horizon")
        return self._leaderboard

    def evaluate(self, data: Data, *, progress: Progress | None = None) -> Evaluation:
        """The leaderboard on the last rows of other data (as many as the task holds back), without any fitting of
        the model.
        """
        return evaluate(ForecastSetup.over(self.pipeline, self.pipeline.modality.read(data)), progress=progress)

    def predict(self, data: Data | None = None, *, future: Data | None = None) -> pl.DataFrame:
        """Forecasts from the end of the data: the training data and what ``update`` added, or ``data``.

        One row for each series and step ahead: the id, the time stamp, each target's point forecast under its own
        name and its quantiles as ``name_q05`` …. ``future`` gives the covariates that are known ahead. Series never
        seen in training are forecast like any other.
        """
        tracked = self.tracked
        if data is not None:
            tracked = Tracked.after(self.pipeline, self.pipeline.encode(self.pipeline.modality.read(data)))
        return tracked.frame(None if future is None else self.pipeline.modality.read_future(future))

    def update(self, data: Data) -> int:
        """Take in new rows without a new fit: the next forecast starts after them. All of them, or on an error none.

        Returns how many there were.
        """
        self.tracked, count = self.tracked.updated(self.pipeline.modality.read(data))
        return count

    def stream(self) -> Stream:
        """A live stream that goes on where the known rows end; ``push`` a row, get the forecast."""
        return Stream(self.pipeline, self.tracked)

    def save(self, run: str | Path) -> None:
        """Write the run folder: model/ (all that loading needs), leaderboard.json, config.json of the run."""
        folder = Path(run)
        with storage.new_folder(folder / "model") as inner:
            save_pipeline(self.pipeline, inner, __version__)
            self.tracked.save(inner / "state.safetensors")
        if self._leaderboard is not None:
            storage.write_json(folder / "leaderboard.json", self._leaderboard.to_dict())
        if self.training is not None or not (folder / "config.toml").exists():
            storage.write_text(folder / "config.toml", self.config())

    def config(self) -> str:
        """The complete options as TOML, as ``--config`` reads them."""
        return config_of("forecast", dataclasses.asdict(self.pipeline.task), self.pipeline.network, self.training)

    def card(self) -> str:
        """What the model is, in a page of Markdown."""
        task, plan = self.pipeline.task, self.pipeline.plan
        verdict = "not scored: no rows were held back" if self._leaderboard is None else self._leaderboard.verdict()
        made = "" if self.raw is None else f" from {self.raw.name} (sha256 {self.raw.sha256})"
        lines = [
            f"# {', '.join(self.pipeline.modality.targets)}: {task.horizon} steps ahead",
            "",
            verdict[:1].upper() + verdict[1:] + ".",
            "",
            f"Made with latchwork {__version__}{made}.",
            f"{self.pipeline.modality.frequency.name} rows, season {plan.season}, memory {task.memory}"
            + (f" of {plan.lookback} rows" if task.memory == "window" else "")
            + f", {sum(one.numel() for one in self.pipeline.forecaster.parameters()):,} parameters.",
            "",
            "Intervals were set on rows held back from training; they hold as far as the future is like those rows.",
            "The options are in config.toml, the scores in leaderboard.json, the pictures in report.html.",
            "",
        ]
        return "\n".join(lines)

    def report(self, path: str | Path) -> None:
        """Write report.html: one file, readable offline."""
        if self.setup is None or self.outcome is None or self.training is None or self.raw is None:
            raise ConfigError("a loaded model has no training to report on; the report is written when it is trained")
        streamed = None if self.evaluation is None else replay(self.setup, self.raw, self.evaluation)
        self.reported = Report(
            self.setup, self.raw, self.training, self.outcome, self.evaluation, streamed, self.config()
        )
        write_report(Path(path), self.reported)


def _check_columns(task: Forecast, raw: RawTable) -> None:
    """Refuse targets whose names another target's quantiles will have."""
    names = [raw.options.id, raw.options.time, *column_names(raw.targets, task.levels)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f'the forecast would have two columns "{name}"; rename the column of that name')


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write forecasts as .csv, .parquet or .jsonl, whole or not at all."""
    buffer = io.BytesIO()
    match path.suffix.lower():
        case ".csv":
            frame.write_csv(buffer)
        case ".parquet":
            frame.write_parquet(buffer)
        case ".jsonl" | ".ndjson":
            frame.write_ndjson(buffer)
        case suffix:
            raise ConfigError(f'can\'t write forecasts as "{suffix or path.name}"; use .csv, .parquet or .jsonl')
    storage.write_bytes(path, buffer.getvalue())
