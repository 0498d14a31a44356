import gzip
import io
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.modalities import Records, read_records
from latchwork.modalities.source import SourceOptions

LONG = """id,time,x,colour,age,label,split,group
b,2,3.5,red,40,yes,train,p
a,1,1,,30,no,test,q
b,1,,blue,40,yes,train,p
a,3,2,red,30,,test,q
"""
OPTIONS = SourceOptions(id="id", time="time", static=("age",), split="split", group="group")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def by_id(labelled):
    return {name: (labelled.content[at], labelled.labels[at]) for at, name in enumerate(labelled.ids)}


@pytest.mark.parametrize("form", ["csv", "tsv", "csv.gz", "parquet", "jsonl", "txt", "frame"])
def test_a_table_of_steps(tmp_path, form):
    frame = pl.read_csv(io.BytesIO(LONG.encode()))
    path = tmp_path / f"x.{form}"
    if form == "frame":
        path = frame
    elif form == "parquet":
        frame.write_parquet(path)
    elif form == "jsonl":
        frame.write_ndjson(path)
    else:
        text = LONG.replace(",", "\t") if form == "tsv" else LONG
        write(path, gzip.compress(text.encode(), mtime=0) if form.endswith("gz") else text)
    got = read_records(path, OPTIONS)
    assert got.ids == ("b", "a")
    assert got.labels == ("yes", "no")
    assert got.parts == ("train", "test")
    assert got.groups == ("p", "q")
    assert got.order is None
    b, a = got.content
    assert b.columns.numbers == ("x",)
    assert b.columns.texts == ("colour",)
    assert b.columns.static_numbers == ("age",)
    assert b.times.tolist() == [0, 1]
    assert a.times.tolist() == [0, 2]
    np.testing.assert_array_equal(b.numbers[:, 0], [np.nan, 3.5])
    assert b.texts[:, 0].tolist() == ["blue", "red"]
    assert a.texts[:, 0].tolist() == ["", "red"]
    assert (a.static_numbers.tolist(), a.steps) == ([30], 2)
    assert "row 1" in got.places[0]
    assert "row 2" in got.places[1]
    assert len(got.sha256) == 64


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=20, unique=True),
    st.integers(0, 1000),
    st.sampled_from([None, 1.0, 7.0]),
)
def test_the_order_of_rows_changes_nothing(rows, seed, period):
    table = [{"id": one, "time": time, "x": float(time % 5), "w": f"w{time}"} for one, time in rows]
    shuffled = list(table)
    random.Random(seed).shuffle(shuffled)
    options = SourceOptions(id="id", time="time", period=period)
    one, other = (read_records(pl.DataFrame(rows), options) for rows in (table, shuffled))
    first, second = by_id(one), by_id(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name][0].numbers, second[name][0].numbers)
        np.testing.assert_array_equal(first[name][0].times, second[name][0].times)
        assert first[name][0].texts.tolist() == second[name][0].texts.tolist()
    assert sorted(one.fingerprints()) == sorted(other.fingerprints())
    assert Records.fit(one, range(len(one))) == Records.fit(other, range(len(other)))


@pytest.mark.parametrize(
    ("times", "hours"),
    [
        (("00:30", "02:00", "100:15"), [0, 1.5, 99.75]),
        (("00:00:36", "01:00:00", "02:00:00"), [0, 0.99, 1.99]),
        (("2024-01-01", "2024-01-02", "2024-01-04"), [0, 24, 72]),
        (("20240101", "20240102", "20240104"), [0, 24, 72]),
        (("2024-01-01 00:00", "2024-01-01T06:00Z", "2024-01-01 06:00:36"), [0, 6, 6.01]),
        (("-1.5", "0", "2e1"), [0, 1.5, 21.5]),
    ],
)
def test_times(times, hours):
    frame = pl.DataFrame({"t": [times[1], times[0], times[2]], "x": [1, 0, 2]})
    (record,) = read_records(frame, SourceOptions(time="t")).content
    np.testing.assert_allclose(record.times, hours, atol=1e-9)
    assert record.numbers[:, 0].tolist() == [0, 1, 2]


def test_sequences_are_ordered_by_dates_but_not_by_the_clock():
    for times, expected in ((["2024-01-02", "2024-01-01"], [True]), (["01:00", "02:00"], None), ([5, 5], None)):
        got = read_records(pl.DataFrame({"id": [1, 2], "t": times, "x": [1, 2]}), SourceOptions(id="id", time="t"))
        assert (got.order is None) == (expected is None)
        assert expected is None or got.order[0] - got.order[1] == 24


def test_rows_of_a_period_become_a_step():
    frame = pl.DataFrame({
        "id": list("aaaab"), "t": ["00:10", "00:50", "01:00", "03:59", "00:00"], "x": [1.0, 2, None, 7, 8],
        "w": ["p", None, "q", "r", "s"], "label": list("nnnnm"),
    })  # fmt: skip
    options = SourceOptions(id="id", time="t", period=1)
    got = read_records(frame, options)
    record = got.content[0]
    assert record.times.tolist() == [0, 1, 3]
    np.testing.assert_array_equal(record.numbers[:, 0], [1.5, np.nan, 7])
    assert record.texts[:, 0].tolist() == ["p", "q", "r"]
    assert got.content[1].steps == 1
    per_step = read_records(frame.with_columns(pl.Series("label", list("abcde"))), options, "label")
    assert per_step.labels == (("b", "c", "d"), ("e",))
    with pytest.raises(ConfigError, match="period= wants time="):
        read_records(frame, SourceOptions(id="id", period=1))


def test_a_label_for_each_step(tmp_path):
    path = write(tmp_path / "eeg.csv", "a,b,label\n" + "".join(f"{at},{-at},{at % 2}\n" for at in range(7)))
    (whole,) = read_records(path, SourceOptions(), "label").labels
    assert whole == ("0", "1", "0", "1", "0", "1", "0")
    pieces = read_records(path, SourceOptions(max_length=3), "label")
    assert pieces.labels == (("0", "1", "0"), ("1", "0", "1"), ("0",))
    assert pieces.ids == ("eeg/1", "eeg/4", "eeg/7")
    assert pieces.order.tolist() == [0, 3, 6]
    assert pieces.groups is None
    assert pieces.places[1] == "eeg.csv: row 1 (line 2), steps 4 to 6"
    assert [record.numbers[:, 0].tolist() for record in pieces.content] == [[0, 1, 2], [3, 4, 5], [6]]
    assert read_records(path, SourceOptions(label="no"), "label", labelled=False).labels == (None,)
    with pytest.raises(DataError, match=r"step 2 of the sequence that begins here has no label"):
        read_records(write(tmp_path / "x.csv", "a,label\n1,x\n2,\n"), SourceOptions(), "label")
    two = read_records(pl.DataFrame({"id": [1, 1, 2], "x": [1, 2, 3], "label": list("abc")}),
                       SourceOptions(id="id", max_length=1), "label")  # fmt: skip
    assert two.groups == ("1", "1", "2")


def test_a_row_is_a_sequence(tmp_path):
    path = write(tmp_path / "x.csv", "label,age,t1,t2,t3\nup,5,1,2,3\ndown,,4,,-1\nup,7,6,,\n")
    got = read_records(path, SourceOptions(static=("age",), missing=-1))
    assert got.labels == ("up", "down", "up")
    assert got.ids == ("1", "2", "3")
    assert [record.steps for record in got.content] == [3, 1, 1]
    assert got.content[0].numbers[:, 0].tolist() == [1, 2, 3]
    assert got.content[0].times is None
    assert got.content[2].static_numbers.tolist() == [7]
    assert got.places[1] == "x.csv: row 2 (line 3)"


def test_lines_of_numbers_without_a_header(tmp_path):
    spaces = "   1.0000000e+00  -1.5 2\n   2.0000000e+00   3 nan\n"
    got = read_records(write(tmp_path / "E_TRAIN.txt", spaces), SourceOptions())
    assert got.labels == ("1", "2")
    assert [record.numbers[:, 0].tolist() for record in got.content] == [[-1.5, 2], [3]]
    assert got.places[1] == "E_TRAIN.txt: row 2"
    tabs = read_records(write(tmp_path / "E.tsv", "-1\t1\t2\n1\t3\t4\n"), SourceOptions())
    assert tabs.labels == ("-1", "1")
    last = read_records(write(tmp_path / "x.csv", " 88, 92, 0\n 80,100, 1\n"), SourceOptions(label="3"))
    assert last.labels == ("0", "1")
    assert last.content[0].numbers[:, 0].tolist() == [88, 92]
    with pytest.raises(DataError, match="line 1 holds numbers"):
        read_records(write(tmp_path / "x.csv", "88,92,0\n80,100,1\n"), SourceOptions())


def test_labels_in_a_file_of_their_own(tmp_path):
    path = write(tmp_path / "x.csv", "id,x\na,1\nb,2\nc,3\n")
    write(tmp_path / "y.txt", "id,death,split\nb,0,train\na,1,test\nz,1,test\n")
    options = SourceOptions(id="id", labels="y.txt", label="death", split="split")
    got = read_records(path, options)
    assert got.labels == ("1", "0", None)
    assert got.parts == ("test", "train", None)
    for change, kind, message in (
        ({"id": None}, ConfigError, "wants id="),
        ({"label": "deaht"}, DataError, r'y.txt: there is no column "deaht" \(label\); did you mean "death"'),
        ({"label": None, "split": None}, DataError, r"y.txt: has several columns \(death, split\)"),
        ({"labels": "z.txt"}, DataError, "no such file"),
    ):
        with pytest.raises(kind, match=message):
            read_records(path, SourceOptions(**{**vars(options), **change}))
    write(tmp_path / "y.txt", "id,death\nq,0\n")
    with pytest.raises(DataError, match=r'none of its ids \("q", …\) is one of the sequences'):
        read_records(path, SourceOptions(id="id", labels="y.txt"))
    write(tmp_path / "y.txt", "id,death\na,0\na,1\n")
    with pytest.raises(DataError, match='the id "a" stood before'):
        read_records(path, SourceOptions(id="id", labels="y.txt"))
    with pytest.raises(ConfigError, match="each row has its own"):
        read_records(path, options, "label")


def test_labels_may_be_absent_where_they_are_asked_for(tmp_path):
    path = write(tmp_path / "x.csv", "id,x\na,1\n")
    options = SourceOptions(id="id", label="y", group="g", split="s")
    assert read_records(path, options, labelled=False).labels == (None,)
    with pytest.raises(DataError, match=r'x.csv: there is no column "y" \(label\)'):
        read_records(path, options)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("id,x,label\na,1,p\nb,1,p\na,2,q\n", {"id": "id"},
         r'x.csv: row 3 \(line 4\): the label of "a" is "q", but "p" at x.csv: row 1 \(line 2\)'),
        ("id,x,s,label\na,1,1,p\na,1,2,p\n", {"id": "id", "static": ("s",)}, 'the static of "a" is "2", but "1" at'),
        ("id,x\na,1\n", {"id": "ID"}, r'there is no column "ID" \(id\).*columns: id, x'),
        ("id,x\na,1\n", {"id": "id", "time": "t"}, r'there is no column "t" \(time\)'),
        ("id,x\na,1\n", {"id": "id", "columns": ("xx",)}, r'there is no column "xx" \(columns\)'),
        ("id,x\na,1\n", {"id": "id", "ignore": ("x",)}, "no column is left for the numbers of a step"),
        ("id,x\na,1\n,2\n", {"id": "id"}, r'x.csv: row 2 \(line 3\): the id \(column "id"\) is empty'),
        ("id,t,x\na,1,1\na,,2\n", {"id": "id", "time": "t"}, r'row 2 \(line 3\): column "t" is empty'),
        ("id,t,x\na,01:00,1\na,01:60,2\n", {"id": "id", "time": "t"}, r'holds "01:60"; expected hours and minutes'),
        ("id,t,x\na,soon,1\n", {"id": "id", "time": "t"}, 'holds "soon"; expected a date like'),
        ("id,t,x\na,inf,1\n", {"id": "id", "time": "t"}, "holds inf, expected a finite number"),
        ("id,x\n" + "a,1\n" * 10 + 'a,"1,5"\n', {"id": "id"}, 'row 11 .*: column "x" holds "1,5" where others'),
        ("id,x\na,inf\n", {"id": "id"}, r'row 1 \(line 2\): column "x" holds inf, expected a finite number'),
        ("id,x\na," + "y" * 201 + "\n", {"id": "id"}, "holds a text of 201 characters"),
        ("id,x,g,label\na,1,,p\n", {"id": "id", "group": "g"}, r'"a" has no group \(column "g"\)'),
        ("id,x,s\na,1,later\n", {"id": "id", "split": "s"}, 'the split is "later", expected train, validation or test'),
        ("x,y,label\n1,red,p\n", {}, r'row 1 \(line 2\): column "y" holds "red"; without id= and time='),
        ("x,y,label\n1,2,p\n,,q\n", {}, r"row 2 \(line 3\): the sequence has no value"),
        ("x,y,label\n1,2,p\n1,q\n", {}, "line 3 has 2 cells, expected 3"),
        ("", {}, "the file is empty"),
        ("x,y\n", {}, "there is a header but no row below it"),
        (b"id,x\na,1\n\xff,2\n", {"id": "id"}, "x.csv: line 3: byte 0xff is not utf-8"),
    ],
)  # fmt: skip
def test_bad_tables(tmp_path, text, options, message):
    with pytest.raises(DataError, match=message):
        read_records(write(tmp_path / "x.csv", text), SourceOptions(**options))


def test_bad_sources(tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*y.csv"):
        read_records(tmp_path / "y.csv", SourceOptions())
    with pytest.raises(DataError, match=r'a file that ends in ".doc" is not known'):
        read_records(write(tmp_path / "x.doc", "x"), SourceOptions())
    with pytest.raises(DataError, match='column "x" holds lists'):
        read_records(pl.DataFrame({"id": [1], "x": [[1, 2]]}), SourceOptions(id="id"))
    with pytest.raises(DataError, match='column "x" holds dates'):
        read_records(pl.DataFrame({"id": [1], "x": pl.Series(["2024-01-01"]).str.to_date()}), SourceOptions(id="id"))
    with pytest.raises(ConfigError, match='column "y" is the label, and can\'t be read as a number of a step as well'):
        read_records(pl.DataFrame({"id": [1], "y": [1]}), SourceOptions(id="id", label="y", columns=("y",)))
    with pytest.raises(DataError, match="damaged or cut short"):
        read_records(write(tmp_path / "x.csv.gz", gzip.compress(b"id,x\na,1\n" * 99, mtime=0)[:-9]), SourceOptions())


@settings(max_examples=150)
@given(
    st.sampled_from(["x.csv", "x.txt", "x.tsv", "x.ts", "x.arff", "x.zip", "x.tar", "x.csv.gz", "x.jsonl"]),
    st.one_of(st.binary(max_size=60), st.text("@data\n,:;()?{}'\" 12.a-", max_size=60).map(str.encode)),
    st.sampled_from(["classify", "label"]),
)
def test_any_bytes_are_sequences_or_a_clear_line(tmp_path_factory, name, data, task):
    path = write(tmp_path_factory.mktemp("fuzz") / name, data)
    said = ""
    try:
        assert len(read_records(path, SourceOptions(), task)) > 0
    except DataError as error:
        said = str(error)
    assert "\n" not in said


def test_no_label_of_several_is_written_as_an_empty_list():
    frame = pl.DataFrame({"id": [1, 2, 3], "x": [1, 2, 3], "label": ["a|b", "[]", None]})
    assert read_records(frame, SourceOptions(id="id")).labels == ("a|b", (), None)
    (steps,) = read_records(frame[:2], SourceOptions(), "label").labels
    assert steps == ("a|b", "[]")
