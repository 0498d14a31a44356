"""Pairs of texts, one of which is to be said in place of the other: where they are in files."""

from dataclasses import dataclass

from latchwork.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Where the two texts of a pair are: in columns of a table, or in two files with a text a line.

    Args:
        source: Column of the text that is read; or, of two files, the ending of its name ("de"). None: "source" where
            there is such a column, else (csv, tsv) there is no header and it is the first column.
        target: The same of the text that is to be said. None: "target", or the second column.
        references: A target that is a list (JSON lines, Parquet) holds several right answers: each may be said, and
            the first is learnt from. Else it is a list of sentences, which are joined.
    """

    source: str | None = None
    target: str | None = None
    references: bool = False

    def __post_init__(self) -> None:
        if (self.source is None) != (self.target is None):
            given, other = ("source", "target") if self.target is None else ("target", "source")
            raise ConfigError(f'{given}="{getattr(self, given)}" is given and {other} is not; name both, or neither')
        for name in ("source", "target"):
            if getattr(self, name) == "":
                raise ConfigError(f"{name} is empty; leave it out, or name a column or an ending")
        if self.source is not None and self.source == self.target:
            raise ConfigError(f'source and target are both "{self.source}"; expected two columns or two endings')
