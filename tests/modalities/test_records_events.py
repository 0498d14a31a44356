import gzip
import io
import random
import tarfile
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import ConfigError, DataError
from latchwork.modalities import Records, read_records, records_files
from latchwork.modalities.source import SourceOptions

HEADER = "Time,Parameter,Value\n"
ONE = HEADER + "00:00,Name,7\n00:00,Age,50\n00:00,Weight,-1\n00:10,HR,70\n00:40,HR,80\n03:00,Weight,61\n03:10,Temp,-1\n"
TWO = HEADER + "00:00,Name,8\n00:00,Age,60\n01:00,Temp,37\n"
THREE = HEADER + "00:00,Name,9\n00:00,Age,-1\n"
OPTIONS = SourceOptions(
    id="Name", time="Time", variable="Parameter", value="Value", labels="outcomes.txt", label="death",
    static=("Age", "Weight"), missing=-1, period=1,
)  # fmt: skip
FILES = {"set/7.txt": ONE, "set/8.txt": TWO, "set/9.txt": THREE}


def archive(path, files=FILES, extra=()):
    """A folder, zip or tar at ``path`` with these files; ``extra``: headers of a tar."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, text in files.items():
                out.writestr(name, text)
    elif ".t" in path.name:
        mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}[path.suffix]
        with tarfile.open(path, mode) as out:
            for header in extra:
                out.addfile(header)
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                out.addfile(entry, io.BytesIO(text.encode()))
    else:
        for name, text in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
    return path


@pytest.mark.parametrize("form", ["folder", "a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.bz2"])
def test_a_file_for_each_sequence(tmp_path, form):
    path = archive(tmp_path / "data" / form)
    where = path if form == "folder" else path.parent
    (where / "outcomes.txt").write_text("Name,death\n8,1\n7,0\n9,0\n")
    got = read_records(path, OPTIONS)
    assert got.ids == ("7", "8", "9")
    assert got.labels == ("0", "1", "0")
    assert got.places[0] == f"{form}: set/7.txt: row 1"
    one, two, three = got.content
    assert one.columns.numbers == ("HR", "Temp")
    assert one.columns.static_numbers == ("Age", "Weight")
    assert (one.times.tolist(), one.numbers[0, 0], np.isnan(one.numbers[0, 1])) == ([0], 75, True)
    assert one.static_numbers.tolist() == [50, 61]
    np.testing.assert_array_equal(two.numbers, [[np.nan, 37]])
    assert np.isnan(three.numbers).all()
    assert three.steps == 1
    assert np.isnan(three.static_numbers).all()
    model = Records.fit(got, range(3), OPTIONS)
    assert model.masked
    assert model.static_names == ("Age", "Age=missing", "Weight", "Weight=missing")
    assert got.order is None


def test_names_of_files_where_there_is_no_id(tmp_path):
    files = {"b.csv": "t,x\n1,2\n0,1\n", "sub/a.csv.gz": "", "._c.csv": "junk", "notes.md": "junk"}
    folder = archive(tmp_path / "folder", files)
    (folder / "sub/a.csv.gz").write_bytes(gzip.compress(b"t,x\n0,5\n", mtime=0))
    got = read_records(folder, SourceOptions(time="t"))
    assert got.ids == ("b", "a")
    assert got.content[0].numbers[:, 0].tolist() == [1, 2]
    (tmp_path / "y.csv").write_text("name,label\nb,up\na,down\n")
    assert read_records(folder, SourceOptions(id="name", labels="y.csv")).labels == ("up", "down")
    quoted = archive(tmp_path / "quoted", {"b.csv": 't,x\n0,"1"\n', "a.csv": "x,t\r\n2,1\r\n"})
    got = read_records(quoted, SourceOptions(time="t"))
    assert got.ids == ("a", "b")
    assert [record.numbers[0, 0] for record in got.content] == [2, 1]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 6), st.sampled_from(["x", "y", "z"]), st.floats(-50, 50)),
        min_size=1, max_size=30,
    ),
    st.integers(0, 999),
    st.sampled_from([None, 2.0]),
)  # fmt: skip
def test_events_are_pivoted_in_any_order(events, seed, period):
    options = SourceOptions(id="id", time="t", variable="var", value="val", period=period)
    shuffled = list(events)
    random.Random(seed).shuffle(shuffled)
    one, other = (
        read_records(pl.DataFrame(rows, schema=["id", "t", "var", "val"], orient="row"), options)
        for rows in (events, shuffled)
    )
    assert dict(zip(one.ids, one.fingerprints(), strict=True)) == dict(
        zip(other.ids, other.fingerprints(), strict=True)
    )
    for name, record in zip(one.ids, one.content, strict=True):
        mine = [event for event in events if event[0] == name]
        bins = sorted({time // (period or 1) for _, time, _, _ in mine})
        start = bins[0] * (period or 1)
        assert record.times.tolist() == [at * (period or 1) - start for at in bins]
        for step, at in enumerate(bins):
            for column, variable in enumerate(record.columns.numbers):
                values = [v for _, time, var, v in mine if var == variable and time // (period or 1) == at]
                got = record.numbers[step, column]
                assert np.isnan(got) if not values else got == pytest.approx(np.mean(values), abs=1e-9)


def test_variables_of_texts_and_a_table_of_all():
    frame = pl.DataFrame({
        "id": ["a"] * 6 + ["b"], "t": [1, 1, 2, 2, 3, 0, 5], "var": ["x", "mood", "mood", "mood", "x", "sex", "x"],
        "val": ["1", "good", "bad", "fine", "", "f", "2"], "label": ["p"] * 6 + ["q"],
    })  # fmt: skip
    got = read_records(frame, SourceOptions(id="id", time="t", variable="var", value="val", static=("sex",)))
    a, b = got.content
    assert got.labels == ("p", "q")
    assert (a.columns.numbers, a.columns.texts, a.columns.static_texts) == (("x",), ("mood",), ("sex",))
    assert a.texts[:, 0].tolist() == ["good", "fine"]
    assert a.static_texts == ("f",)
    assert b.static_texts == ("",)
    assert got.order.tolist() == [0, 5]
    fewer = read_records(frame, SourceOptions(id="id", time="t", variable="var", value="val", columns=("x",)))
    assert fewer.content[0].columns.texts == ()
    assert fewer.content[0].steps == 1


def test_a_variable_that_only_other_sequences_have_changes_nothing():
    rows = [("a", 0, "y", 1.0), ("a", 1, "x", 2.0), ("b", 0, "w", 1.0)]
    options = SourceOptions(id="id", time="t", variable="var", value="val")
    whole, train = (
        read_records(pl.DataFrame(some, schema=["id", "t", "var", "val"], orient="row"), options)
        for some in (rows, rows[:2])
    )
    assert Records.fit(whole, [0]) == Records.fit(train, [0])
    assert Records.fit(whole, [0]).names == ("x", "y")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("id,t,var,val\na,1,x,1\n", {"variable": "vra"}, r'there is no column "vra" \(variable\); did you mean "var"'),
        ("id,t,var,val\na,1,x,1\n", {"value": "value"}, r'there is no column "value" \(value\)'),
        ("id,t,var,val\na,1,,1\n", {}, r'row 1 \(line 2\): column "var" is empty'),
        ("id,t,var,val\na,1,x,1\n", {"static": ("x",)}, "no variable .* is left for the steps"),
        ("id,t,var,val\n" + "a,1,x,1\n" * 10 + "a,2,x,high\n", {},
         r'row 11 \(line 12\): column "val" holds "high" for "x", of which other values are numbers'),
        ("id,t,var,val\na,1,x,-inf\n", {}, "holds -inf, expected a finite number"),
    ],
)  # fmt: skip
def test_bad_events(tmp_path, text, options, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_records(path, SourceOptions(**{"id": "id", "time": "t", "variable": "var", "value": "val", **options}))


def test_bad_options_for_events():
    frame = pl.DataFrame({"id": ["a"], "t": [1], "var": ["x"], "val": [1]})
    with pytest.raises(ConfigError, match="wants time="):
        read_records(frame, SourceOptions(id="id", variable="var", value="val"))
    with pytest.raises(ConfigError, match="no label for each step"):
        read_records(frame, SourceOptions(id="id", time="t", variable="var", value="val"), "label")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.md": "x"}, r"holds no .csv, .tsv, .txt file"),
        ({"a.csv": "x,y\n1,2\n", "b.csv": "x\n1\n"}, "b.csv: has the columns x; expected x, y, as in a.csv"),
        ({"a.csv": "x,y\n1,2\n", "b.csv": "x,y\n1,2\n33\n"}, "b.csv: line 3 has 1 cells, expected 2"),
        ({"a.csv": "x,y\n1,2\n", "b.csv": ""}, "b.csv: the file is empty"),
        ({"a.csv": "x,y\n1,2\n", "b.csv": "x,y\n"}, "b.csv: there is a header but no row below it"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "a.zip", "a.tar.gz"])
def test_bad_files(tmp_path, form, files, message):
    with pytest.raises(DataError, match=f"{form}: .*{message}|{message}"):
        read_records(archive(tmp_path / "data" / form, files), SourceOptions(columns=("x",)))


def test_two_files_of_the_same_name(tmp_path):
    bad = {"1.txt": ONE, "2.txt": ONE}
    with pytest.raises(DataError, match=r'the Name is "7", as at a.zip: 1.txt: row 1'):
        read_records(archive(tmp_path / "a.zip", bad), OPTIONS)
    with pytest.raises(DataError, match=r'1.txt: row 3: a second Name, "7"'):
        read_records(archive(tmp_path / "b.zip", {"1.txt": TWO.replace("60", "60\n00:00,Name,7")}), OPTIONS)


def test_archives_that_want_to_do_harm(tmp_path, monkeypatch):
    outside = archive(tmp_path / "in" / "a.tar", {"../../evil.txt": ONE.replace(",7\n", ",1\n"), "/abs.txt": TWO})
    before = sorted(tmp_path.rglob("*"))
    assert read_records(outside, SourceOptions(**{**vars(OPTIONS), "labels": None, "label": None})).ids == ("1", "8")
    assert sorted(tmp_path.rglob("*")) == before
    link = tarfile.TarInfo("link.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(DataError, match=r"link.txt is a link or a device; expected plain files"):
        read_records(archive(tmp_path / "l.tar", extra=[link]), OPTIONS)
    monkeypatch.setattr(records_files, "MAX_FILE", 20_000)
    for form in ("b.zip", "b.tar.xz", "b.tar", "folder"):
        with pytest.raises(DataError, match="holds 50,000 bytes or more, at most 20,000 are read"):
            read_records(archive(tmp_path / "big" / form, {"a.csv": "x" * 50_000}), OPTIONS)
    monkeypatch.setattr(records_files, "MAX_FILES", 2)
    for form in ("c.zip", "c.tar.gz", "folder2"):
        with pytest.raises(DataError, match="holds more than 2 files"):
            read_records(archive(tmp_path / "many" / form), OPTIONS)
    monkeypatch.setattr(records_files, "MAX_TOTAL", 150)
    monkeypatch.setattr(records_files, "MAX_FILES", 200)
    for form in ("d.zip", "d.tar.gz", "folder3"):
        with pytest.raises(DataError, match="at most 150 are read"):
            read_records(archive(tmp_path / "total" / form), OPTIONS)
    packed = tmp_path / "bomb.txt.gz"
    packed.write_bytes(gzip.compress(b"0" * 10_000, mtime=0))
    assert packed.stat().st_size < 150
    with pytest.raises(DataError, match=r"bomb.txt.gz: holds 151 bytes or more, at most 150 are read"):
        read_records(packed, SourceOptions())


@pytest.mark.parametrize("form", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_damaged_archives(tmp_path, form):
    path = archive(tmp_path / form, {f"{at}.txt": ONE * 50 for at in range(9)})
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], b"nonsense" * 100, b""):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=form):
            read_records(path, OPTIONS)
    with pytest.raises(DataError, match="no such file"):
        read_records(tmp_path / f"no-{form}", OPTIONS)
