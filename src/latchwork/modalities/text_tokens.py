"""Texts into tokens: what is a word, a character, a piece; and which of them the training texts have.

All of it is a tokenizer of Hugging Face's ``tokenizers``, trained in memory. What it does to a text:

    all       NFC, so that é is one é however it was typed (before the tokenizer, and in it); lower case, by option
    word      letters with their marks; numbers with what stands between digits (3.5, 10:30); HTML tags; emoji;
              emoticons; the same sign up to three times (!!!); else sign by sign. English endings are words (do n't,
              it 's), and so are elided articles before a letter (l' homme); other words keep their apostrophes
              (o'clock). Scripts that put no spaces between words are read sign by sign (Han, kana) or letter by
              letter with its marks (Thai, Lao, Khmer, Burmese).
    char      a character is a code point
    bpe       Sennrich, Haddow & Birch 2016, https://arxiv.org/abs/1508.07909; runs of blanks are one, a word begins
              with "▁", no piece crosses punctuation
    unigram   Kudo 2018, see :mod:`~latchwork.modalities.text_unigram`; blanks and punctuation as above
    given     words as the file has them. Digits are read as 0 where no word vectors are used (Collobert et al. 2011,
              https://arxiv.org/abs/1103.0398: what matters of 1997 is that it has four digits).

Token 0 is padding and never in a text; 1 is whatever is not known. More frequent words and characters come first, those
that are equally frequent in order of their characters. The same texts give the same tokenizer.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from latchwork.errors import ModelFileError
from latchwork.modalities.text_unigram import SEEDS, unigram_pieces
from latchwork.optional import load
from latchwork.sequences.examples import PAD

Tokenizer = Any
"""A tokenizer of Hugging Face's ``tokenizers``, which is loaded when one is made."""

Unit = Literal["word", "char", "bpe", "unigram", "given"]
SPECIAL = ("[pad]", "[unknown]")
UNKNOWN = 1
MAX_TOKENIZER = 256 << 20
"""Bytes of a tokenizer.json."""

_ALL = 1 << 40  # words
_CHUNK = 1_000  # an Encoding takes some hundred bytes a token

_END = r"(?![\p{L}\p{M}\p{N}])"
WORD = "|".join(
    (
        r"</?[A-Za-z][^<>\s]{0,20}\s*/?>",
        r"[\p{Han}\p{Hiragana}\p{Katakana}ー]",
        r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*",
        rf"(?i:n't|'(?:s|re|ve|m|ll|d)){_END}",
        rf"\p{{L}}[\p{{L}}\p{{M}}\p{{N}}]*?(?=(?i:n't|'(?:s|re|ve|m|ll|d)){_END})",
        r"(?i:[cdjlmnst]|qu)'(?=\p{L})",
        r"\p{L}[\p{L}\p{M}\p{N}]*(?:'[\p{L}\p{M}]+)*",
        r"\p{N}+(?:[.,:]\p{N}+)*",
        r"[\x{1F1E6}-\x{1F1FF}]{2}",
        r"\p{So}[\x{FE0F}\x{20E3}\x{1F3FB}-\x{1F3FF}]*(?:\x{200D}\p{So}[\x{FE0F}\x{1F3FB}-\x{1F3FF}]*)*",
        r"[:;=][-']?[()dDpP|/\\](?![\p{L}\p{N}/])",
        r"([\p{P}\p{S}])\1{0,2}",
        r"\S",
    )
)


def train(texts: Sequence[Any], kind: Unit, size: int, *, lowercase: bool, zeros: bool) -> Tokenizer:
    """A tokenizer that knows the ``size`` most frequent tokens of these texts (tuples of words where they are given).

    zeros  digits are read as 0
    """
    tokenizer = _assemble(kind, (), (), lowercase, zeros)
    texts = [_nfc(text) for text in texts]
    if kind in ("bpe", "unigram"):
        texts = _within(texts, tokenizer, max(1, size // 2))
    if kind == "unigram":
        seeds = train(texts, "bpe", SEEDS * size, lowercase=lowercase, zeros=zeros)
        return _assemble(kind, _unigram(texts, tokenizer, vocabulary(seeds), size), (), lowercase, zeros)
    options: dict[str, Any] = {"vocab_size": size + len(SPECIAL), "special_tokens": list(SPECIAL)}
    trainers = load("tokenizers.trainers")
    if kind == "bpe":
        trainer = trainers.BpeTrainer(**options, max_token_length=24, show_progress=False)
    else:
        trainer = trainers.WordLevelTrainer(**options, show_progress=False)
    tokenizer.train_from_iterator(chain.from_iterable(texts) if kind == "given" else texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    found = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return _assemble(kind, found, [tuple(merge) for merge in model.get("merges", ())], lowercase, zeros)


def _unigram(texts: Sequence[str], tokenizer: Tokenizer, seeds: Sequence[str], size: int) -> list[tuple[str, float]]:
    """The pieces and their scores. The special ones get the lowest, so that no text is read as one of them."""
    words = keep(tokenizer, ())
    every = load("tokenizers.trainers").WordLevelTrainer(
        vocab_size=1 << 40, special_tokens=list(SPECIAL), show_progress=False
    )
    words.train_from_iterator(texts, every)
    counts = np.bincount(np.concatenate(list(numbers(words, texts, given=False))), minlength=len(SPECIAL))
    known = vocabulary(words)[len(SPECIAL) : len(counts)]
    pieces = unigram_pieces(known, counts[len(SPECIAL) :], [seed for seed in seeds if seed not in SPECIAL], size)
    lowest = min(pieces.values(), default=0.0)
    return [*((special, lowest) for special in SPECIAL), *sorted(pieces.items(), key=lambda one: (-one[1], one[0]))]


def keep(tokenizer: Tokenizer, tokens: Sequence[str]) -> Tokenizer:
    """The same with these words or characters alone, the special ones first."""
    library = load("tokenizers")
    smaller = library.Tokenizer(_words(tokens))
    smaller.normalizer, smaller.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    return smaller


def fixed(kind: Unit, tokens: Sequence[str], *, lowercase: bool) -> Tokenizer:
    """A tokenizer that knows these tokens, and the special ones before them. Not for pieces."""
    return _assemble(kind, (*SPECIAL, *tokens), (), lowercase, zeros=False)


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """The tokens in the order of their numbers."""
    numbers = tokenizer.get_vocab(with_added_tokens=False)
    return sorted(numbers, key=numbers.__getitem__)


def _within(texts: Sequence[str], tokenizer: Tokenizer, limit: int) -> list[str]:
    """The texts with a blank for all but the ``limit`` most frequent characters: pieces begin with characters, and
    what the trainers leave out where these are too many depends on the order in a hash table."""
    texts = [tokenizer.normalizer.normalize_str(_nfc(text)) for text in texts]
    counts = Counter[str]()
    for text in texts:
        counts.update(text)
    del counts[" "]
    rare = sorted(counts, key=lambda sign: (-counts[sign], sign))[limit:]
    table = str.maketrans(dict.fromkeys(rare, " "))
    return [text.translate(table) for text in texts] if rare else texts


def _words(tokens: Sequence[str]) -> Any:
    numbers = {token: number for number, token in enumerate(tokens)}
    return load("tokenizers.models").WordLevel(numbers, unk_token=SPECIAL[UNKNOWN])


def _assemble(
    kind: Unit, found: Sequence[Any], merges: Sequence[tuple[str, str]], lowercase: bool, zeros: bool
) -> Tokenizer:
    """A tokenizer of its parts. Nothing is an added token: a text that holds "[pad]" holds three words."""
    library = load("tokenizers")
    models, clean, cut = library.models, library.normalizers, library.pre_tokenizers
    if kind == "bpe":
        numbers = {token: number for number, token in enumerate(found)}
        model = models.BPE(numbers, list(merges), unk_token=SPECIAL[UNKNOWN])
    elif kind == "unigram":
        model = models.Unigram(list(found), UNKNOWN) if found else models.Unigram()
    else:
        model = _words(found)
    tokenizer = library.Tokenizer(model)
    steps = [clean.Lowercase()] * lowercase + [clean.NFC()]
    if kind == "word":
        steps.append(clean.Replace("’", "'"))
    if zeros:
        steps.append(clean.Replace(library.Regex(r"\p{Nd}"), "0"))
    if kind in ("bpe", "unigram"):
        steps += [clean.Replace(library.Regex(r"\s+"), " "), clean.Strip()]
        tokenizer.pre_tokenizer = cut.Sequence([cut.Metaspace(), cut.Punctuation("contiguous")])
    elif kind != "given":
        pattern, behaviour = (WORD, "removed") if kind == "word" else (r"[\s\S]", "isolated")
        tokenizer.pre_tokenizer = cut.Split(library.Regex(pattern), behaviour, invert=kind == "word")
    tokenizer.normalizer = clean.Sequence(steps)
    return tokenizer


# Texts to numbers


def _nfc(text: Any) -> Any:
    """A text, or words, in NFC: the places of tokens in a text are counted in what the tokenizer gets."""
    return normalize("NFC", text) if isinstance(text, str) else tuple(normalize("NFC", word) for word in text)


def numbers(tokenizer: Tokenizer, texts: Sequence[Any], *, given: bool) -> Iterator[NDArray[np.int64]]:
    """[tokens] int64 for each text; a text without any token is one unknown token."""
    for at in range(0, len(texts), _CHUNK):
        chunk = [_nfc(text) for text in texts[at : at + _CHUNK]]
        for own in tokenizer.encode_batch_fast(chunk, is_pretokenized=given, add_special_tokens=False):
            found = np.array(own.ids or [UNKNOWN], np.int64)
            found[found == PAD] = UNKNOWN  # a word that is called as the padding is
            yield found


def surfaces(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The tokens of each text as they stand in it (in NFC)."""
    for at in range(0, len(texts), _CHUNK):
        chunk = [_nfc(text) for text in texts[at : at + _CHUNK]]
        for text, own in zip(chunk, tokenizer.encode_batch(chunk, add_special_tokens=False), strict=True):
            yield tuple(text[begin:end] for begin, end in own.offsets) or ("",)


# A saved one


def dump(tokenizer: Tokenizer) -> bytes:
    """tokenizer.json."""
    return (tokenizer.to_str(pretty=False) + "\n").encode()


def parse(data: bytes) -> Tokenizer:
    """The inverse of :func:`dump`; raises :class:`ModelFileError` where it is not what that writes."""
    if len(data) > MAX_TOKENIZER:
        raise ModelFileError(f"tokenizer.json is larger than the {MAX_TOKENIZER:,} bytes allowed for it")
    try:
        tokenizer = load("tokenizers").Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises nothing narrower
        raise ModelFileError(f"tokenizer.json is damaged: {str(error).partition(chr(10))[0]}") from error
    known = tokenizer.get_vocab(with_added_tokens=False)
    if tuple(vocabulary(tokenizer)[:2]) != SPECIAL or sorted(known.values()) != list(range(len(known))):
        raise ModelFileError(f"tokenizer.json is not latchwork's: its first tokens are not {', '.join(SPECIAL)}")
    if tokenizer.get_added_tokens_decoder() or tokenizer.truncation or tokenizer.padding or tokenizer.post_processor:
        raise ModelFileError("tokenizer.json is not latchwork's: it adds, cuts or pads tokens")
    return tokenizer
