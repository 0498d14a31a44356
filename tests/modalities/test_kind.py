import bz2
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from latchwork.modalities.kind import kind_of

NUMBERS = "label,t1,t2\n0,1.5,2\n1,3,4\n"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.csv", "review,sentiment\nA good film,1\nDull,0\n", "text"),
        ("a.csv", "content,label\nDull,0\n\"Long, and good\",1\n", "text"),
        ("a.csv", "comment,label\nfine,0\nnot so fine,1\n", "text"),
        ("a.tsv", "comment\tlabel\nfine\t0\nnot so fine\t1\n", "text"),
        ("a.csv", "a good film,1\na bad one,0\n", "text"),
        ("a.csv", "review,sentiment\nfine,good\nbad,bad\n", "text"),
        ("a.csv", NUMBERS, "records"),
        ("a.csv", NUMBERS.replace(",", ";"), "records"),
        ("a.csv", "time,x,label\n2024-01-01 10:00,1,a\n2024-01-01 11:00,,b\n", "records"),
        ("a.csv", "x,y,label\n1,NA,very good\n2,3,very bad\n", "records"),
        ("a.csv", "88,92,0\n80,100,1\n", "records"),
        ("a.txt", "   1.0e+00  -1.5 2\n   2.0e+00   3 nan\n", "records"),
        ("a.txt", "1,2,3\n2,3,4\n", "records"),
        ("a.txt", "1 2 3\n", "records"),
        ("a.txt", "7\n9\n", "text"),
        ("a.txt", "2 for 1\n3 2\n", "text"),
        ("a.txt", "The DET\ncat NOUN\n\n2024 NUM\n", "text"),
        ("a.tsv", "The\tDET\n2024\tNUM\n\nA\tDET\n", "text"),
        ("a.tsv", "1\t0.5\t0.6\n2\t0.1\t0.2\n", "records"),
        ("a.jsonl", '{"a": 1.5, "b": 2, "label": 0}\n', "records"),
        ("a.jsonl", '{"a": "1.5", "b": null, "label": "x"}\n', "records"),
        ("a.jsonl", '{"review": "A good film", "label": 1}\n', "text"),
        ("a.jsonl", '{"forms": ["A", "film"], "label": 1}\n', "text"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n', "text"),
        ("a.jsonl", "no json\n", "records"),
        ("a.csv", "path,label,who\nimages/a.PNG,1,p\n", "image"),
        ("a.csv", "id,file,label\n7,a b.jpeg,good film\n", "image"),
        ("a.jsonl", '{"image": "a.jpg", "label": 1}\n', "image"),
        ("a.csv", "path,label\nhome work,1\n", "text"),
        ("a.csv", "", "records"),
        ("a.tgz", "", "records"),
        ("a.png", "", "image"),
    ],
)  # fmt: skip
def test_what_a_file_is_taken_for(tmp_path: Path, name: str, text: str, kind: str) -> None:
    (tmp_path / name).write_text(text)
    assert kind_of(tmp_path / name) == kind
    if name.endswith((".csv", ".txt", ".jsonl")) and text:
        for ending, pack in ((".gz", gzip.compress), (".bz2", bz2.compress)):
            (tmp_path / (name + ending)).write_bytes(pack(text.encode()))
            assert kind_of(tmp_path / (name + ending)) == kind


def test_columns_that_play_another_part_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("age,ward,who,label\n40,Saint Mary,Ann Lee,1\n50,Saint John,Bob Ray,0\n")
    assert kind_of(path) == "text"
    assert kind_of(path, {"ward", "who"}) == "records"


def test_a_long_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(NUMBERS + "0,1,2\n" * 50_000 + "a good film,1,2\n")
    assert kind_of(path) == "records"
    path.write_text("comment,label\n" + '"not so fine",1\n' * 20_000)
    assert kind_of(path) == "text"


@pytest.mark.parametrize("form", ["polars", "pandas", "arrow", "parquet", "lazy"])
def test_frames(tmp_path: Path, form: str) -> None:
    tables: dict[str, dict[str, Any]] = {
        "text": {"review": ["A good film", "Dull"], "label": [1, 0]},
        "records": {"x": [1.5, 2.0], "y": [1, 2], "label": ["very good", "bad"]},
    }
    for kind, table in tables.items():
        frame = pl.DataFrame(table)
        frame.write_parquet(tmp_path / "a.parquet")
        given: Any = {"polars": frame, "arrow": frame.to_arrow(), "parquet": tmp_path / "a.parquet",
                      "lazy": frame.lazy()}.get(form)  # fmt: skip
        if form == "pandas":
            given = pytest.importorskip("pandas").DataFrame(table)
        assert kind_of(given) == kind
    pl.DataFrame({"file": ["a.png"], "label": [1]}).write_parquet(tmp_path / "b.parquet")
    assert kind_of(tmp_path / "b.parquet") == "image"


def test_folders_and_archives(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(NUMBERS)
    assert kind_of(tmp_path / "in") == "records"
    (tmp_path / "in" / "a.PNG").write_bytes(b"")
    assert kind_of(tmp_path / "in") == "image"
    for files, kind in (
        ({"a.jsonl": json.dumps({"text": "a"})}, "text"),
        ({"a.csv": NUMBERS}, "records"),
        ({"a.csv": NUMBERS, "b.csv": NUMBERS}, "records"),
    ):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        assert kind_of(tmp_path / "a.zip") == kind
    assert kind_of(tmp_path / "a.zip" / "b.csv") == "text"
    assert kind_of(tmp_path / "none.csv") == "records"
    assert kind_of(["a text"]) == "text"
