"""A text written token by token, as a model says it."""

import codecs
from dataclasses import dataclass, field, replace

JOIN = "￭"
"""Before a token that stands without a blank before it."""

_PLAIN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PLAIN]
SIGNS: dict[str, int] = {
    **{chr(byte): byte for byte in _PLAIN},
    **{chr(256 + number): byte for number, byte in enumerate(_OTHERS)},
}
"""The sign that stands for each byte in a piece of byte-level BPE, as Radford et al. 2019 chose them: those that can be
seen stand for themselves."""

BYTES = tuple(sorted(SIGNS))

_PAD, _UNKNOWN, _END = range(3)


@dataclass
class Writer:
    """What each token adds to the text; all that :meth:`push` and :meth:`flush` give is the decoded text.

    The state is ``start`` (whether a line begins here) and ``rest`` (bytes of a character that is not whole yet);
    :meth:`copy` gives a writer that goes on from the same place.
    """

    unit: str
    tokens: tuple[str, ...] = field(repr=False)
    start: bool = True
    rest: bytes = b""

    def push(self, token: int) -> str:
        """The text that this token adds; "" for ``<pad>``, and where half of a character came."""
        if token == _PAD:
            return ""
        if token == _END:
            self.start = True
            return self.flush()
        if self.unit == "bpe":
            return self._bytes(token)
        word = self.tokens[token]
        if self.unit == "char":
            return "\ufffd" if token == _UNKNOWN else word
        fresh, self.start = self.start, word == "\n"
        if self.start:
            return word
        if self.unit == "word" and word.startswith(JOIN):
            return word[1:]
        return word if fresh else " " + word

    def _bytes(self, token: int) -> str:
        if token == _UNKNOWN:  # in no text, but a model may say it
            return self.flush() + "\ufffd"
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.setstate((self.rest, 0))
        text = decoder.decode(bytes(SIGNS[sign] for sign in self.tokens[token]))
        self.rest = decoder.getstate()[0]
        return text

    def flush(self) -> str:
        """What is left at the end: "\ufffd" for bytes that are no character, else nothing."""
        rest, self.rest = self.rest, b""
        return rest.decode("utf-8", "replace")

    def copy(self) -> "Writer":
        """Another that goes on from here."""
        return replace(self)
