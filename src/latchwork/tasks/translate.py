"""The task of saying a sequence in other words: translation, summaries, captions; any sequence in, text out."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from latchwork.errors import ConfigError, did_you_mean
from latchwork.layers import AttentionKind, check_attention
from latchwork.layers.regularize import check_rate
from latchwork.metrics.translation import BLEU_TOKENIZERS, BleuTokenizer
from latchwork.modalities import PairOptions
from latchwork.modalities.vocabulary import UNITS
from latchwork.tasks.beam import Beam

Unit = Literal["char", "bpe", "word", "given"]
TextMetric = Literal["bleu", "chrf", "rouge_l"]
METRICS: tuple[str, ...] = ("bleu", "chrf", "rouge_l")


@dataclass(frozen=True, kw_only=True)
class Translate(PairOptions):
    """Say what a sequence means in other words: from one language to another, a long text in a short one.

    Pairs of texts are read as :class:`latchwork.modalities.PairOptions` says; a source that stands in training and
    elsewhere is in one part alone.

    Args:
        validation: A file of its own with the pairs to choose by. None: a share of the training file.
        test: A file of its own with the pairs to score on. None: a share of the training file.
        validation_size: That share, or a number of pairs.
        test_size: That share, or a number of pairs. 0: none are held back, and nothing is scored.
        refit: Train once more, on the validation pairs too, for the steps that they chose.
        tokenizer: Texts are cut into words, characters, pieces that BPE finds, or at blanks ("given"). None: by the
            data; words where words are copied.
        target_tokenizer: The same for the targets, where it differs.
        vocabulary_size: Tokens known at most, of each side. None: by the data.
        target_vocabulary_size: The same for the targets, where it differs.
        shared_vocabulary: One vocabulary and one embedding for both sides.
        lowercase: Sources are read in lower case.
        source_length: Tokens of a source at most; of a longer one the beginning is read. None: four times as many as 99
            of 100 training sources have, and 500 at least.
        target_length: Tokens of a target at most; longer ones are not learned from. None: the same of the targets.
        embedding: Numbers that stand for a token. None: by the data.
        attention: How the decoder looks at the source: "bahdanau", "luong" or "dot", see
            :class:`latchwork.layers.Attention`. With "dot" the decoder's layers are as wide as what the encoder gives.
        input_feeding: What was seen of the source at a step is known at the next one (Luong et al. 2015).
        tied: The weights that score words are those of the target's embedding.
        copy: Words of the source can be said as they stand there, known or not (See et al. 2017).
        coverage: Weight of the loss for looking twice at the same place; above 0 the attention also sees where it
            looked before (See et al. 2017). 0: off.
        label_smoothing: Part of each target word that is spread over all words.
        scheduled_sampling: Probability that the model reads the word that it would have said itself in place of the
            true one. It rises in a line over the first ten epochs, and a shorter training does not get all the way.
        embedding_dropout: Part of the vocabulary that is dropped from a batch. None: by the data.
        input_dropout: Part of what the layers read that is dropped. None: as dropout.
        beam: Sequences that are kept while an answer is searched. 1: greedy.
        length_penalty: α of ((5 + length) / 6)^α, by which log p of an answer is divided; see
            :class:`latchwork.tasks.Beam`.
        max_length: Tokens of an answer at most. None: by the longest ones in training.
        no_repeat_ngram_size: No run of so many tokens stands twice in an answer. 0: it may. None: 3 where words are
            copied and are the tokens, which is where answers run in circles (Paulus et al. 2018, arXiv:1705.04304);
            else 0.
        replace_unknown: Where the model says that it has no word, the source's word that it looked at most stands.
        metric: What the model is scored with: bleu, chrf or rouge_l. None: rouge_l where words are copied, else bleu.
        bleu_tokenizer: How BLEU cuts texts into words, in sacrebleu's names: "13a" or "intl" for scripts with blanks,
            "zh" for Chinese, "char" for Japanese or Thai, "none" for what is cut already.
        choose: Training keeps the weights that are best on the validation part by the "loss", or by the "metric" of
            greedy answers to a sample of it.
    """

    validation: Path | None = None
    test: Path | None = None
    validation_size: float = 0.1
    test_size: float = 0.1
    refit: bool = False
    tokenizer: Unit | None = None
    target_tokenizer: Unit | None = None
    vocabulary_size: int | None = None
    target_vocabulary_size: int | None = None
    shared_vocabulary: bool = False
    lowercase: bool = False
    source_length: int | None = None
    target_length: int | None = None
    embedding: int | None = None
    attention: AttentionKind = "bahdanau"
    input_feeding: bool = True
    tied: bool = True
    copy: bool = False
    coverage: float = 0.0
    label_smoothing: float = 0.1
    scheduled_sampling: float = 0.0
    embedding_dropout: float | None = None
    input_dropout: float | None = None
    beam: int = 5
    length_penalty: float = 1.0
    max_length: int | None = None
    no_repeat_ngram_size: int | None = None
    replace_unknown: bool = True
    metric: TextMetric | None = None
    bleu_tokenizer: BleuTokenizer = "13a"
    choose: Literal["loss", "metric"] = "loss"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("tokenizer", "target_tokenizer"):
            unit = getattr(self, name)
            if unit is not None and unit not in UNITS:
                raise ConfigError(f'{name} is "{unit}", expected one of {", ".join(UNITS)}{did_you_mean(unit, UNITS)}')
        for name in ("vocabulary_size", "target_vocabulary_size", "source_length", "target_length", "embedding"):
            size = getattr(self, name)
            if size is not None and (isinstance(size, bool) or size < 1):
                raise ConfigError(f"{name} is {size}, expected at least 1")
        for name in ("validation_size", "test_size"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share below 1 or a number of pairs")
        check_attention(self.attention)
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}, expected a part from 0 to below 1")
        if not 0 <= self.scheduled_sampling <= 1:
            raise ConfigError(f"scheduled_sampling is {self.scheduled_sampling}, expected a probability from 0 to 1")
        if not 0 <= self.coverage < math.inf:
            raise ConfigError(f"coverage is {self.coverage}, expected a weight from 0")
        for name in ("embedding_dropout", "input_dropout"):
            if getattr(self, name) is not None:
                check_rate(name, getattr(self, name))
        if self.metric is not None and self.metric not in METRICS:
            near = did_you_mean(self.metric, METRICS)
            raise ConfigError(f'metric is "{self.metric}", expected one of {", ".join(METRICS)}{near}')
        if self.bleu_tokenizer not in BLEU_TOKENIZERS:
            near = did_you_mean(self.bleu_tokenizer, BLEU_TOKENIZERS)
            known = ", ".join(BLEU_TOKENIZERS)
            raise ConfigError(f'bleu_tokenizer is "{self.bleu_tokenizer}", expected one of {known}{near}')
        if self.choose not in ("loss", "metric"):
            raise ConfigError(f'choose is "{self.choose}", expected loss or metric')
        if self.shared_vocabulary:
            for name in ("target_tokenizer", "target_vocabulary_size", "lowercase"):
                if getattr(self, name):
                    raise ConfigError(
                        f"{name} is for one side alone, and the vocabulary is shared; leave one of them out"
                    )
        if self.copy and self.target_tokenizer not in (None, self.tokenizer):
            raise ConfigError("what is copied must be cut alike on both sides; leave target_tokenizer out")
        _ = self.search

    @property
    def pairs(self) -> PairOptions:
        """The part that says how pairs are read."""
        return PairOptions(**{one.name: getattr(self, one.name) for one in fields(PairOptions)})

    @property
    def search(self) -> Beam:
        """How an answer is searched."""
        usual = 3 if self.copy and self.tokenizer in (None, "word") else 0
        return Beam(
            beam=self.beam,
            length_penalty=self.length_penalty,
            max_length=100 if self.max_length is None else self.max_length,
            no_repeat_ngram_size=usual if self.no_repeat_ngram_size is None else self.no_repeat_ngram_size,
        )
