"""What trained models of every task but the forecast have in common: their scores, their options, their run folder."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from latchwork import storage, toml
from latchwork.errors import ConfigError
from latchwork.evaluation import Scoreboard
from latchwork.layers import Network
from latchwork.tasks.saved import plain
from latchwork.training import Outcome, Training

Progress = Callable[[str, float], None]


class Bound(Protocol):
    """What is asked of a pipeline."""

    @property
    def name(self) -> str: ...
    @property
    def task(self) -> Any: ...
    @property
    def network(self) -> Network: ...


class Scored(Protocol):
    """What is asked of an evaluation."""

    @property
    def scoreboard(self) -> Scoreboard: ...


class Found(Protocol):
    """What is asked of a finding."""

    def to_dict(self) -> dict[str, Any]: ...


P = TypeVar("P", bound=Bound)
S = TypeVar("S")
E = TypeVar("E", bound=Scored)
F = TypeVar("F", bound=Found)


class Trained(ABC, Generic[P, S, E, F]):
    """A trained model.

    setup, training, outcome, evaluation, findings: of a model that was trained here; None for a loaded one.
    """

    _held_back: ClassVar[str]
    """What a test wants, with its verb: "sequences were"."""

    def __init__(
        self,
        pipeline: P,
        *,
        setup: S | None = None,
        training: Training | None = None,
        outcome: Outcome | None = None,
        evaluation: E | None = None,
        findings: Sequence[F] = (),
        scoreboard: Scoreboard | None = None,
    ) -> None:
        self.pipeline, self.setup, self.training, self.outcome = pipeline, setup, training, outcome
        self.evaluation, self.findings = evaluation, list(findings)
        self._loaded = scoreboard

    @property
    def _scoreboard(self) -> Scoreboard | None:
        return self._loaded if self.evaluation is None else self.evaluation.scoreboard

    def leaderboard(self) -> Scoreboard:
        """The model beside the baselines, on what no method had seen, with intervals and a verdict."""
        if self._scoreboard is None:
            raise ConfigError(f"no {self._held_back} held back for a test; train with a test file or test_size above 0")
        return self._scoreboard

    @abstractmethod
    def _save_pipeline(self, folder: Path) -> None:
        """Write all that loading needs."""

    @abstractmethod
    def report(self, path: str | Path) -> None:
        """Write report.html: one file, readable offline."""

    @abstractmethod
    def card(self, run: str | Path = "run") -> str:
        """What the model is, in a page of Markdown. run: the folder that it tells to use."""

    def save(self, run: str | Path) -> None:
        """Write the run folder: model/ (all that loading needs) and leaderboard.json; of a model that was trained here
        also findings.json, config.toml, report.html and card.md.
        """
        folder = Path(run)
        self._save_model(folder)
        if self._scoreboard is not None:
            storage.write_json(folder / "leaderboard.json", self._scoreboard.to_dict())
        if self.setup is not None:
            storage.write_json(folder / "findings.json", [one.to_dict() for one in self.findings])
            storage.write_text(folder / "config.toml", self.config())
        if self.setup is not None and self.outcome is not None:
            self.report(folder / "report.html")
            storage.write_text(folder / "card.md", self.card(folder))

    def _save_model(self, run: Path) -> None:
        with storage.new_folder(run / "model") as inner:
            self._save_pipeline(inner)

    def config(self) -> str:
        """The complete options as TOML, as ``--config`` reads them."""
        return config_of(self.pipeline.name, plain(self.pipeline.task), self.pipeline.network, self.training)

    def _trained_here(self) -> tuple[S, Training, Outcome]:
        """What a report tells of."""
        if self.setup is None or self.outcome is None or self.training is None:
            raise ConfigError("a loaded model has no training to report on; the report is written when it is trained")
        return self.setup, self.training, self.outcome


Model = TypeVar("Model", bound=Trained[Any, Any, Any, Any])


def finished(model: Model, run: Path | None, score: Callable[[Model], None]) -> Model:
    """The model after its training: written, scored, and written with its scores; an interrupted one as it is."""
    if model.outcome is None or model.outcome.stopped == "interrupted":
        return model
    if run is not None:  # whatever happens below, what was trained is there
        model._save_model(run)
    score(model)
    if run is not None:
        model.save(run)
    return model


def board_of(run: Path) -> Scoreboard | None:
    """The scores of a run folder, where there are any."""
    path = run / "leaderboard.json"
    return Scoreboard.from_dict(storage.read_json(path)) if path.is_file() else None


def resuming(run: Path | None, how: str) -> str:
    """What somebody is told whose training was interrupted. how: "fit" or "finetune"."""
    return "" if run is None else f"the same command with --resume (or {how}(…, resume=True))"


def config_of(task: str, options: Mapping[str, Any], network: Network, training: Training | None) -> str:
    """The complete options of a run as TOML."""
    parts: dict[str, Mapping[str, Any]] = {task: options, "network": network.to_dict()}
    if training is not None:
        parts["training"] = training.to_mapping()
    return toml.dumps(parts)
