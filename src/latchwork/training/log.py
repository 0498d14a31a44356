"""metrics.jsonl: one line for each step, and one for each event between steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latchwork.errors import ModelFileError
from latchwork.storage import append_jsonl, finite, read_jsonl, write_jsonl


class Log:
    """The records of a run, in memory and, where there is a folder, in a file.

    A step stands in it once: what a roll-back or a resume makes undone is cut off.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.records)

    def add(self, record: Mapping[str, Any], *, sync: bool = False) -> None:
        """Add a record; ``sync`` also flushes the file to the disk."""
        line = finite(record)
        self.records.append(line)
        if self.path is not None:
            append_jsonl(self.path, line, sync=sync)

    def start(self) -> None:
        """Begin an empty log."""
        self.records = []
        self._rewrite()

    def resume(self, lines: int, step: int) -> str | None:
        """Take up the file as it was at a checkpoint made after ``lines`` records and ``step`` steps.

        Returns what is wrong with the file, None where nothing is. The log is a record, training does not depend on it:
        of a damaged one, what can be used is used.
        """
        try:
            records = read_jsonl(self.path) if self.path is not None else []
        except ModelFileError as error:
            self.start()
            return f"{error}; the log starts anew"
        self.records = [record for record in records[:lines] if record.get("step", 0) <= step]
        self._rewrite()
        if len(self.records) < lines:
            return f"{self.path} holds {len(self.records)} of the {lines} records made so far; the others are lost"
        return None

    def roll_back(self, step: int) -> None:
        """Undo the steps after ``step``; the events among them stay."""
        self.records = [record for record in self.records if "event" in record or record["step"] <= step]
        self._rewrite()

    def _rewrite(self) -> None:
        if self.path is not None:
            write_jsonl(self.path, self.records)
