import bz2
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from latchwork.errors import DataError
from latchwork.modalities import SourceOptions, read_text

CSV = 'text,label\n"Good, really good",pos\nBad film,neg\n'
LABELS = ("pos", "neg")
CONTENT = ("Good, really good", "Bad film")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def classify(source, *, labelled=True, **options):
    return read_text(source, SourceOptions(**options), "classify", labelled=labelled)


def label(source, *, labelled=True, **options):
    return read_text(source, SourceOptions(**options), "label", labelled=labelled)


def zipped(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return out.getvalue()


LINES = '{"text": "Good, really good", "label": "pos"}\n\n{"label": "neg", "text": "Bad film"}\n'


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("x.csv", CSV, {}),
        ("x.csv", "\ufeff" + CSV.replace("\n", "\r\n"), {}),
        ("x.csv", CSV.encode("utf-16"), {}),
        ("x.csv", CSV.replace("text,", "review,"), {"text": "review"}),
        ("x.csv", CSV.partition("\n")[2], {"text": "1", "label": "2"}),
        ("x.csv", 'label;text\npos;Good, really good\n\nneg;"Bad film"\n', {}),
        ("x.csv.gz", gzip.compress(CSV.encode(), mtime=0), {}),
        ("x.csv.xz", lzma.compress(CSV.encode()), {}),
        ("x.csv.bz2", bz2.compress(CSV.encode()), {}),
        ("x.zip", zipped(data__x_csv=CSV, README="read me"), {}),
        ("x.tsv", "label\ttext\npos\tGood, really good\nneg\tBad film\n", {}),
        ("x.tsv", "pos\tGood, really good\nneg\tBad film", {"text": "2", "label": "1"}),
        ("x.txt", "Good, really good\tpos\r\n\r\nBad film\tneg\r\n", {}),
        ("x.txt", "pos\tGood, really good\nneg\tBad film\n", {"text": "2", "label": "1"}),
        ("X.JSONL", LINES, {}),
    ],
)
def test_forms_of_tables(tmp_path, name, content, options):
    found = classify(write(tmp_path / name, content), **options)
    assert found.content == CONTENT
    assert found.labels == LABELS
    assert found.ids == ("1", "2")
    assert len(found.sha256) == 64


def test_frames_parquet_and_lists(tmp_path):
    table = {"text": list(CONTENT), "label": list(LABELS)}
    pl.DataFrame(table).write_parquet(tmp_path / "x.parquet")
    for source in (tmp_path / "x.parquet", pl.DataFrame(table), pd.DataFrame(table), pa.table(table)):
        assert (classify(source).content, classify(source).labels) == (CONTENT, LABELS)
    assert classify(list(CONTENT)).content == CONTENT
    assert classify(list(CONTENT)).labels == (None, None)
    assert label([["a", "b"], "c d"]).content == (("a", "b"), ("c", "d"))


def test_a_text_a_line(tmp_path):
    found = classify(write(tmp_path / "x.txt", 'One line\u2028 still\n\n  \nTwo "quoted\n'))
    assert found.content == ("One line\u2028 still", 'Two "quoted')
    assert found.labels == (None, None)
    assert found.places == ("x.txt: line 1", "x.txt: line 4")


def test_places(tmp_path):
    found = classify(write(tmp_path / "x.csv", 'text,label\n"two\nlines",a\n\nthree,b\n'))
    assert found.places == ("x.csv: row 1 (line 2)", "x.csv: row 2 (line 5)")
    assert found.content[0] == "two\nlines"
    assert classify(write(tmp_path / "y.jsonl", LINES)).places[1] == "y.jsonl: line 3"


def test_quotes_of_a_tsv_are_letters_unless_needed(tmp_path):
    plain = write(tmp_path / "x.tsv", 'text\tlabel\n"Hello" he said\ta\n"""\tb\n')
    assert classify(plain).content == ('"Hello" he said', '"""')
    needed = write(tmp_path / "y.tsv", 'text\tlabel\n"a\ttab"\ta\nplain\tb\n')
    assert classify(needed).content == ("a\ttab", "plain")


def test_number_of_a_column_that_a_cell_repeats(tmp_path):
    found = classify(write(tmp_path / "x.tsv", "bad film\t1\ngood film\t2\n"), text="1", label="2")
    assert (found.content, found.labels) == (("bad film", "good film"), ("1", "2"))


def test_labels_are_left_as_they_are(tmp_path):
    values = ["a|b", 3, 2.5, 4.0, True, ["x", 1], None, " é ", "e\u0301"]
    lines = "\n".join(json.dumps({"text": "t", "label": value}) for value in values)
    found = classify(write(tmp_path / "x.jsonl", lines)).labels
    assert found == ("a|b", 3, 2.5, 4, "true", ("x", "1"), None, "é", "é")
    assert isinstance(found[3], int)
    assert classify(write(tmp_path / "x.csv", "text,label\na,\nb,1\n")).labels == (None, "1")


def test_ids_groups_parts_and_order(tmp_path):
    table = "id,text,label,who,part,day\nx,a,1,p,train,2024-02-01\ny,b,0,q,dev,2024-01-01\nz,c,0,p,Testing,2024-03-01\n"
    found = classify(write(tmp_path / "x.csv", table), group="who", split="part", time="day")
    assert found.ids == ("x", "y", "z")
    assert found.groups == ("p", "q", "p")
    assert found.parts == ("train", "validation", "test")
    assert np.argsort(found.order).tolist() == [1, 0, 2]
    numbers = classify(write(tmp_path / "y.csv", "text,at\na,0.5\nb,-1\n"), time="at")
    assert numbers.order.tolist() == [0.5, -1]
    again = classify(write(tmp_path / "z.csv", "id,text\nx,a\nx,b\n"))
    assert again.ids == ("1", "2")  # nobody said that the column names the texts


def test_labels_in_a_file_of_their_own(tmp_path):
    texts = write(tmp_path / "x.csv", "name,text\na,one\nb,two\nc,three\n")
    labels = write(tmp_path / "labels.tsv", "name\tclass\nb\tB\na\tA\n")
    assert classify(texts, id="name", labels=labels, label="class").labels == ("A", "B", None)
    other = write(tmp_path / "other.tsv", "name\tclass\nd\tB\n")
    with pytest.raises(DataError, match=r'other.tsv: none of its ids \("d", …\)'):
        classify(texts, id="name", labels=other, label="class")


def test_lists_of_words(tmp_path):
    lines = '{"tokens": ["Al", "Zaman", 7], "tags": ["B", "I", "O"]}\n{"tokens": ["x"], "tags": [3]}'
    found = label(write(tmp_path / "x.jsonl", lines))
    assert found.content == (("Al", "Zaman", "7"), ("x",))
    assert found.labels == (("B", "I", "O"), ("3",))
    assert classify(write(tmp_path / "y.jsonl", '{"tokens": ["a", "b"], "label": 1}')).content == (("a", "b"),)
    table = write(tmp_path / "x.csv", "text,label\nplay some jazz,O O B\n")
    assert label(table).content == (("play", "some", "jazz"),)
    assert label(table).labels == (("O", "O", "B"),)


def test_a_table_of_words(tmp_path):
    path = write(tmp_path / "x.csv", "sentence,word,tag\n1,Al,B\n2,x,O\n1,Zaman,I\n")
    found = label(path, id="sentence", text="word", label="tag")
    assert found.content == (("Al", "Zaman"), ("x",))
    assert found.labels == (("B", "I"), ("O",))
    assert found.ids == ("1", "2")
    assert found.places[1] == "x.csv: row 2 (line 3)"
    with pytest.raises(DataError, match='the id "1" stands in several rows'):
        label(write(tmp_path / "y.csv", "id,text\n1,two words\n1,three\n"), id="id")


def test_asked_about_only(tmp_path):
    path = write(tmp_path / "x.csv", 'text\ngood\n""\n')
    found = classify(path, label="sentiment", group="who", id="name", labelled=False)
    assert found.content == ("good",)
    frame = pl.DataFrame({"text": ["good", "", None]})
    assert classify(frame, labelled=False).content == ("good", "", "")
    assert classify(write(tmp_path / "x.txt", "good\n"), text="2", label="1", labelled=False).content == ("good",)


def test_standard_input(monkeypatch):
    class Input:
        def __init__(self, data):
            self.buffer = io.BytesIO(data.encode())

    for data in (CSV, LINES, "Good, really good\tpos\nBad film\tneg\n"):
        monkeypatch.setattr("sys.stdin", Input(data))
        assert classify("-").content == CONTENT


BAD = [
    ("x.csv", "", {}, "the file is empty"),
    ("x.csv", "text,label\n", {}, "a header but no row"),
    ("x.csv", "text,label\na,b,c\n", {}, "line 2 has 3 cells, expected 2"),
    ("x.csv", 'text,label\n"a,b\n', {}, "a quote never closed"),
    ("x.csv", "text,text\na,b\n", {}, 'names the column "text" twice'),
    ("x.csv", "txt,label\na,b\n", {}, 'no column "text" .*did you mean "txt"'),
    ("x.csv", "text,label\na,b\n", {"label": "lable"}, 'no column "lable" .*did you mean "label"'),
    ("x.tsv", "ham\tGo there\nspam\tWin\n", {}, 'if line 1 is no header, give the columns by number, as in text="2"'),
    ("x.tsv", "label\ttext\nham\ta\n", {"text": "2", "label": "1"}, "line 1 looks like a header"),
    ("x.tsv", "ham\ta\n", {"text": "3", "label": "1"}, "text is column 3, but the first line has 2"),
    ("x.tsv", "ham\ta\n", {"text": "2", "label": "label"}, "text is given by number and label by name"),
    ("x.csv", "text\na\n\n", {"label": "text"}, "would be the text and the label"),
    (
        "x.csv",
        b"text,label\ngood,1\nfa\xe7ade,0\n",
        {},
        "line 3, byte 3: 0xe7 is not utf-8 text; save the file as UTF-8",
    ),
    ("x.csv", "text,label\na,1\n   ,0\n", {}, r"row 2 \(line 3\): the text is empty"),
    ("x.csv", "id,text\nx,a\ny,b\nx,c\n", {"id": "id"}, r"row 3 .*the id \"x\" stood before \(x.csv: row 1"),
    ("x.csv", "id,text\nx,a\n,b\n", {"id": "id"}, r'row 2 .*the id \(column "id"\) is empty'),
    ("x.csv", "text,part\na,train\nb,half\n", {"split": "part"}, 'row 2 .*the split is "half"'),
    ("x.csv", "text,day\na,soon\n", {"time": "day"}, 'row 1 .*column "day"'),
    ("x.jsonl", '{"text": "a"}\nnot json\n', {}, "line 2 is not a JSON object"),
    ("x.jsonl", '{"text": "a"}\n[1]\n', {}, "line 2 is not a JSON object"),
    ("x.jsonl", '{"text": 3}\n', {}, "line 1: the text is int 3, expected a text"),
    ("x.jsonl", '{"text": "a \\ud83d b"}\n', {}, r"line 1: character 3 is U\+D83D, half of a surrogate pair"),
    ("x.jsonl", '{"text": "a", "label": {"b": 1}}\n', {}, "the label is dict"),
    ("x.txt", "good\tpos\nbad\n", {}, "line 2 has 0 tabs"),
    ("x.txt", "pos\tgood long film\nneg\tbad\npos\tnice\n", {}, "the second column looks like the text"),
    ("x.json", "{}", {}, 'ends in ".json" is not known'),
    ("x.conll", "a B\n", {}, "read by the task label"),
    ("x.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], {}, "damaged or cut short"),
    ("x.csv.xz", b"nothing of it", {}, "damaged or cut short"),
    ("x.zip", b"PK nothing", {}, "damaged or cut short"),
    (
        "x.zip",
        zipped(a_csv=CSV, b_csv=CSV),
        {},
        "2 files that could be meant, expected one; name one, as in x.zip/a.csv",
    ),
    ("x.zip", zipped(), {}, "0 files"),
]


@pytest.mark.parametrize(("name", "content", "options", "message"), BAD)
def test_bad_files(tmp_path, name, content, options, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        classify(path, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"tokens": ["a", "b"], "tags": ["O"]}', "1 labels for 2 words"),
        ('{"tokens": ["a", ""], "tags": ["O", "O"]}', "word 2 is empty"),
        ('{"tokens": [], "tags": []}', "holds no word"),
        ('{"tokens": ["a"], "tags": [null]}', "the label of word 1 is empty"),
        ('{"tokens": ["a"], "tags": 3}', "the labels are int 3"),
        ('{"tokens": ["\\udc00"], "tags": ["O"]}', "half of a surrogate pair"),
        ('{"words_": ["a"]}', 'no column "text"'),
    ],
)
def test_bad_words(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        label(write(tmp_path / "x.jsonl", content))


def test_paths(tmp_path):
    write(tmp_path / "reviews.csv", CSV)
    write(tmp_path / "x.zip", zipped(a__train_csv=CSV, a__test_csv=CSV))
    assert classify(tmp_path / "x.zip" / "a" / "train.csv").content == CONTENT
    for path, message in [
        ("review.csv", 'no such file: .*did you mean "reviews.csv"'),
        ("x.zip/a/dev.csv", 'x.zip holds no file "a/dev.csv"'),
        (".", "is a folder"),
        ("nowhere/x.csv", "no such file"),
    ]:
        with pytest.raises(DataError, match=message):
            classify(tmp_path / path)


def test_no_label_of_several_is_written_as_an_empty_list(tmp_path):
    (tmp_path / "x.csv").write_text('text,label\na,x|y\nb,[]\nc,\nd,"[ ]"\n')
    assert read_text(tmp_path / "x.csv", SourceOptions(), "classify").labels == ("x|y", (), None, ())
    (tmp_path / "x.jsonl").write_text('{"text": "a", "label": []}\n{"text": "b", "label": null}\n')
    assert read_text(tmp_path / "x.jsonl", SourceOptions(), "classify").labels == ((), None)
    (tmp_path / "y.csv").write_text("tokens,tags\na b,[] O\n")
    assert read_text(tmp_path / "y.csv", SourceOptions(), "label").labels == (("[]", "O"),)


def test_a_table_without_a_text_may_be_one_of_measurements(tmp_path):
    (tmp_path / "x.csv").write_text("sky,wind\nlight rain,3\n")
    with pytest.raises(
        DataError, match=r'no column "text" \(text\); name the right one with text=.*; for measurements'
    ):
        read_text(tmp_path / "x.csv", SourceOptions(), "classify")
