"""A trained translator: what the front door gives for saying sequences in other words. It holds no logic of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from latchwork import storage
from latchwork.cells import Cell
from latchwork.errors import ConfigError, did_you_mean
from latchwork.evaluation import (
    TextReport,
    TranslationEvaluation,
    score_translated,
    score_translations,
    text_card,
    translation_lines,
    translation_sections,
    write_text_report,
)
from latchwork.layers import Network
from latchwork.modalities import Finding, lint_pairs, read_pairs
from latchwork.sequences import Labelled
from latchwork.tasks import (
    LanguagePipeline,
    Translate,
    TranslatePipeline,
    TranslateSetup,
    Translation,
    load_translator,
    read_translations,
    save_translator,
)
from latchwork.trained import Progress, Trained, board_of, finished, resuming
from latchwork.training import (
    Callback,
    FittedSetup,
    Takeover,
    Training,
    Transfer,
    finetune_translation,
    fit_setup,
    nothing_left,
    shaped,
)
from latchwork.version import __version__

AT_ONCE = 2000
"""Lines of a stream that are sorted by length and translated together."""


def fit_translation(
    task: Translate,
    data: Any,
    *,
    network: Network | None = None,
    training: Training | None = None,
    run: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> "TranslationModel":
    """Train on pairs, score on those held back, and write the run folder."""
    labelled, notes = read_translations(task, data)
    options = training or Training()
    with nothing_left(run):
        setup = TranslateSetup.of(task, labelled, network or Network(), seed=options.seed)
        setup.notes += notes
        fitted = fit_setup(
            setup,
            options.resolved(**setup.defaults()).completed(),
            folder=run,
            resume=resume,
            callbacks=callbacks,
            resume_hint=resuming(run, "fit"),
        )
    return _finished(fitted, labelled, run, progress)


def finetune_translated(
    start: LanguagePipeline,
    data: Any,
    *,
    source: str,
    task: Translate,
    network: Network | None = None,
    training: Training | None = None,
    transfer: Transfer | None = None,
    run: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    show: Callable[[Takeover], None] | None = None,
) -> "TranslationModel":
    """As :func:`fit_translation`, with a decoder that begins as a language model."""
    labelled, notes = read_translations(task, data)
    own = shaped(network, replace(start.network, dropout=None, bidirectional=None))
    with nothing_left(run):
        fitted, takeover = finetune_translation(
            start,
            task,
            labelled,
            own,
            training,
            transfer,
            source=source,
            folder=run,
            show=show,
            resume=resume,
            callbacks=callbacks,
            resume_hint=resuming(run, "finetune"),
        )
    fitted.setup.notes += notes
    model = _finished(fitted, labelled, run, progress)
    model.takeover = takeover
    if run is not None:
        storage.write_json(run / "transfer.json", takeover.to_dict())
    return model


def _finished(
    fitted: FittedSetup[TranslateSetup], labelled: Labelled, run: Path | None, progress: Progress | None
) -> "TranslationModel":
    """Score and save what was trained."""
    setup = fitted.setup

    def score(model: TranslationModel) -> None:
        texts = all(isinstance(one, str) for one in labelled.content)
        model.findings = lint_pairs(labelled) if texts else []
        if len(setup.split.test):
            model.evaluation = score_translations(setup, progress=progress)

    model = TranslationModel(setup.pipeline, setup=setup, training=fitted.training, outcome=fitted.outcome)
    return finished(model, run, score)


def load_translation(folder: Path, cells: Mapping[str, type[Cell]] | None = None) -> "TranslationModel":
    """The model of a run folder."""
    return TranslationModel(load_translator(folder / "model", cells), scoreboard=board_of(folder))


class TranslationModel(Trained[TranslatePipeline, TranslateSetup, TranslationEvaluation, Finding]):
    """A trained translator: translate, evaluate, save.

    setup, training, outcome, evaluation, findings: of a model that was trained here; None for a loaded one. takeover:
    what a fine-tuned one took over.
    """

    _held_back = "pairs were"
    takeover: Takeover | None = None

    def evaluate(self, data: Any) -> TranslationEvaluation:
        """The figures of the model on other pairs; of data with a test part, on that."""
        if not isinstance(data, Labelled):
            self._check_reads_texts()
        labelled = data if isinstance(data, Labelled) else read_pairs(data, self.pipeline.task.pairs)
        parts = labelled.parts or ()
        if "test" in parts:
            labelled = labelled.select([row for row, part in enumerate(parts) if part == "test"])
        return score_translated(self.pipeline, labelled)

    def translate(
        self, data: Any, *, n_best: int = 1, attention: bool = True, **options: Any
    ) -> list[list[Translation]]:
        """The ``n_best`` best answers to each source, in the order given; no text twice, so it may be fewer.

        data: a text, a list of them, a file (a text a line; or a table, whose source column is read), or sequences that
        were read. options: those of :class:`latchwork.tasks.Beam` (beam, length_penalty, max_length, min_length,
        no_repeat_ngram_size), where they are not to be the task's. attention: keep what each word was read from.

        >>> model.translate("Ein Hund läuft.", n_best=3)[0][0].text                        # doctest: +SKIP
        """
        known = self.pipeline.task.search
        for name in options:
            if name not in (every := asdict(known)):
                raise ConfigError(f'translate has no option "{name}"{did_you_mean(name, every)}')
        beam = max(n_best, known.beam) if "beam" not in options else options["beam"]
        search = replace(known, **{**options, "beam": beam, "n_best": n_best})
        found = self.pipeline.translate(self._sources(data), search)
        if attention:
            return found
        nothing = np.zeros((0, 0), np.float32)
        return [[one._replace(attention=nothing) for one in several] for several in found]

    def _sources(self, data: Any) -> Labelled:
        if isinstance(data, Labelled):
            return data
        self._check_reads_texts()
        is_text = isinstance(data, str) and (not data or "\n" in data or not _is_file(data))
        return read_pairs([data] if is_text else data, self.pipeline.task.pairs, labelled=False)

    def _check_reads_texts(self) -> None:
        kind = self.pipeline.source.kind
        if kind != "text":
            reader = "read_records" if kind == "records" else "read_images"
            raise ConfigError(
                f"this model's sources are {kind}, and a file is read as texts; from Python, give what "
                f"latchwork.modalities.{reader} reads"
            )

    def predict(self, data: Any) -> pl.DataFrame:
        """What is said of each source: its id, the text, and the score by which answers are ranked."""
        labelled = self._sources(data)
        best = [several[0] for several in self.pipeline.translate(labelled)]
        return pl.DataFrame(
            {"id": list(labelled.ids), "text": [one.text for one in best], "score": [one.score for one in best]}
        )

    def lines(self, lines: Iterable[str], **options: Any) -> Iterator[str]:
        """The best answer to each line, in order, some thousand at a time: a stream of any length in constant memory.
        Of an empty line an empty one; newlines in an answer become blanks.
        """
        reading = iter(lines)
        while some := [line.rstrip("\r\n") for line in islice(reading, AT_ONCE)]:
            for several in self.translate(some, attention=False, **options):
                yield in_a_line(several[0].text)

    def stream(self) -> Any:
        """Not what a translator does."""
        raise ConfigError("a translator reads a whole source before it says a word; use translate, or lines")

    def _save_pipeline(self, folder: Path) -> None:
        save_translator(self.pipeline, folder, __version__)

    def report(self, path: str | Path) -> None:
        """Write report.html: one file, readable offline."""
        write_text_report(Path(path), self._reported(Path(path).parent))

    def card(self, run: str | Path = "run") -> str:
        """What the model is, in a page of Markdown."""
        return text_card(self._reported(Path(run)))

    def _reported(self, run: Path) -> TextReport:
        setup, training, outcome = self._trained_here()
        names = list(dict.fromkeys(place.rpartition(":")[0] for place in setup.labelled.places))
        task = self.pipeline.task
        looked = f"{task.attention}{', input feeding' if task.input_feeding else ''}{', copying' if task.copy else ''}"
        return TextReport(
            "translate",
            ", ".join(names) or "a list" if len(names) <= 3 else f"{len(names):,} files",
            self.data_lines(),
            self.pipeline,
            setup.sha256,
            training,
            outcome,
            self._scoreboard,
            self.findings,
            self.config(),
            f"latchwork translate {run} < sources.txt > answers.txt",
            translation_sections(self.evaluation),
            (("Attention", looked), ("Beam", f"{task.beam}, length penalty {task.length_penalty:g}")),
        )

    def data_lines(self) -> list[str]:
        """What each part of the data held; nothing of a loaded model."""
        return [] if self.setup is None else translation_lines(self.setup)


def in_a_line(text: str) -> str:
    """A text with blanks for its newlines."""
    return " ".join(text.splitlines())


def _is_file(text: str) -> bool:
    """Whether a text names a file that is there."""
    try:
        return Path(text).exists()
    except OSError:  # too long for a name
        return False
