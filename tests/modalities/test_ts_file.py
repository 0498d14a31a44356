import gzip

import numpy as np
import pytest

from latchwork.errors import DataError
from latchwork.modalities import read_records
from latchwork.modalities.source import SourceOptions

HEAD = "#note\n@problemName X\n@timeStamps false\n@classLabel true a b\n@data\n"
ARFF = "% note\n@RELATION eeg\n\n@ATTRIBUTE x NUMERIC\n@attribute 'the y' real\n@ATTRIBUTE eye {0,1}\n\n@DATA\n"
MANY = """@relation Many
@attribute steps relational
  @attribute t0 numeric
  @attribute t1 numeric
@end steps
@attribute who {ann,bob}
@data
'1,2,3\\n4,5,6',ann
'7,?\\n8,9',bob
"""


def read(tmp_path, name, text, task="classify", **options):
    (tmp_path / name).write_bytes(gzip.compress(text.encode(), mtime=0) if name.endswith("gz") else text.encode())
    return read_records(tmp_path / name, SourceOptions(**options), task)


@pytest.mark.parametrize("name", ["x.ts", "x.ts.gz", "X_TRAIN.TS"])
def test_ts(tmp_path, name):
    got = read(tmp_path, name, HEAD + "1,2,3:4,?,6:a\n\n7:-1:b\n", missing=-1)
    assert got.labels == ("a", "b")
    assert got.places == (f"{name}: line 6", f"{name}: line 8")
    np.testing.assert_array_equal(got.content[0].numbers, [[1, 4], [2, np.nan], [3, 6]])
    np.testing.assert_array_equal(got.content[1].numbers, [[7, np.nan]])
    assert got.content[0].columns.numbers == ("dimension_1", "dimension_2")
    assert got.content[0].times is None


def test_ts_with_times_and_without_labels(tmp_path):
    got = read(tmp_path, "x.ts", "@timeStamps true\n@classLabel false\n@data\n(5,1),(3,2):(3,9)\n(0,4):(0,?)\n")
    assert got.labels == (None, None)
    assert got.content[0].times.tolist() == [0, 2]
    np.testing.assert_array_equal(got.content[0].numbers, [[2, 9], [1, np.nan]])


def test_ts_is_filled_up_and_classes_may_be_written_otherwise(tmp_path):
    got = read(tmp_path, "x.ts", "@classLabel true 1 2\n@data\n1,?,3,?,NaN:1.0\n4:2\n")
    assert got.labels == ("1", "2")
    np.testing.assert_array_equal(got.content[0].numbers[:, 0], [1, np.nan, 3])
    target = read(tmp_path, "x.ts", "@targetLabel true\n@data\n1,2:0.5\n")
    assert target.labels == ("0.5",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "1,2:3:a\n", "line 6: dimension 2 has 1 values, dimension 1 has 2"),
        (HEAD + "1:2:a\n1:b\n", "line 7: has 1 dimensions, expected 2 as in the first sequence"),
        (HEAD + "1,zwei:a\n", 'line 6, dimension 1: holds "zwei", expected a number'),
        (HEAD + "1,inf:a\n", "holds an infinite number"),
        (HEAD + "1,2:c\n", 'line 6: the label is "c", expected one of a, b'),
        (HEAD + "?,?:a\n", "line 6: the sequence has no value"),
        (HEAD, "no sequence stands below @data"),
        (HEAD.replace("@data\n", ""), "there is no line @data"),
        (HEAD.replace("@classLabel", "@clasLabel"), '"@clasLabel" is not known; did you mean "classlabel"'),
        ("1,2,3:a\n", 'line 1 is "1,2,3:a"; expected a line @data'),
        (HEAD.replace("false", "true") + "1,2:a\n", r"expected \(time,value\) pairs"),
        (HEAD.replace("false", "true") + "(1,2),(1,3):a\n", "a time is missing, or stands twice"),
        ("", "the file is empty"),
    ],
)
def test_bad_ts(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, "x.ts", text)


def test_ts_has_no_label_for_each_step(tmp_path):
    with pytest.raises(DataError, match="the task label wants one for each step"):
        read(tmp_path, "x.ts", HEAD + "1:a\n", "label")


def test_arff_for_each_step_and_for_each_row(tmp_path):
    steps = read(tmp_path, "x.arff", ARFF + "1,2,0\n%\n3,?,1\n", "label")
    assert steps.labels == (("0", "1"),)
    assert steps.content[0].columns.numbers == ("x", "the y")
    np.testing.assert_array_equal(steps.content[0].numbers, [[1, 2], [3, np.nan]])
    rows = read(tmp_path, "x.arff.gz", ARFF + "1,2,0\n3,?,1\n")
    assert rows.labels == ("0", "1")
    assert rows.places[1] == "x.arff.gz: line 10"
    assert [record.numbers[:, 0].tolist() for record in rows.content] == [[1, 2], [3]]


def test_arff_with_sequences(tmp_path):
    got = read(tmp_path, "x.arff", MANY)
    assert got.labels == ("ann", "bob")
    np.testing.assert_array_equal(got.content[0].numbers, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(got.content[1].numbers, [[7, 8], [np.nan, 9]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ARFF + "1,2\n", "line 9: has 2 values, expected 3"),
        (ARFF + "{0 1, 2 1}\n", "line 9: is a sparse row"),
        (ARFF + "1,'2,0\n", "is a quote never closed"),
        (ARFF, "no row stands below @data"),
        (ARFF.replace("@DATA\n", ""), "there is no line @data"),
        (ARFF.replace("'the y'", "x"), 'the attribute "x" stands twice'),
        ("@data\n1\n", "@data comes before any @attribute"),
        ("hello\n", 'line 1 is "hello"; expected @attribute'),
        (MANY.replace("7,?", "7"), "dimension 2 has 2 values, dimension 1 has 1"),
        (MANY.replace("\\n8,9", ""), "has 1 dimensions, expected 2"),
    ],
)
def test_bad_arff(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, "x.arff", text)


def test_not_utf8(tmp_path):
    (tmp_path / "x.arff").write_bytes(ARFF.encode() + b"1,2,\xff\n")
    with pytest.raises(DataError, match=r"x.arff: line 9: byte 0xff is not utf-8 text"):
        read_records(tmp_path / "x.arff", SourceOptions())
    with pytest.raises(DataError, match="no such file"):
        read_records(tmp_path / "y.ts", SourceOptions())
