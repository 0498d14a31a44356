import gzip
import io
import json
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest

from latchwork.errors import ConfigError, DataError
from latchwork.modalities import PairOptions, pair_notes, read_pairs
from latchwork.sequences import split_examples

GERMAN = ("Ein Hund läuft.", "Zwei Hunde laufen im Schnee.", "Ein Mann schläft.")
ENGLISH = ("A dog runs.", "Two dogs run in the snow.", "A man sleeps.")


def read(given, /, *, labelled=True, **options):
    return read_pairs(given, PairOptions(**options), labelled=labelled)


def write(folder, name, lines):
    data = "".join(line + "\n" for line in lines).encode()
    (folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return folder / name


def written(folder, *stems, packed=""):
    for stem in stems:
        write(folder, f"{stem}.de{packed}", GERMAN)
        write(folder, f"{stem}.en{packed}", ENGLISH)
    return folder


PAIRS = tuple(zip(GERMAN, ENGLISH, strict=True))
NAMED = {"source": "de", "target": "en"}


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("x.tsv", "".join(f"{a}\t{b}\n" for a, b in PAIRS), {}),
        ("x.txt", "".join(f"{a}\t{b}\tCC-BY\n" for a, b in PAIRS), {}),
        ("x.txt", "".join(f"{b}\t{a} \n" for a, b in PAIRS), {"source": "2", "target": "1"}),
        ("x.tsv", "id\tTarget\tSource\n" + "".join(f"1\t{b}\t{a}\n" for a, b in PAIRS), {}),
        ("x.csv", "de,en\n" + "".join(f"{a},{b}\n" for a, b in PAIRS), NAMED),
        ("x.jsonl", "\n".join(json.dumps({"de": a.split(), "en": [b, " "]}) for a, b in PAIRS), NAMED),
    ],
)
def test_tables(tmp_path, name, text, options):
    (tmp_path / name).write_text(text)
    found = read(tmp_path / name, **options)
    assert (found.content, found.labels) == (GERMAN, ENGLISH)
    assert found.groups == GERMAN
    assert found.ids == ("1", "2", "3")
    assert found.places[0].startswith(f"{name}: ")
    assert len(found.sha256) == 64
    if name != "x.txt":
        asked = read(tmp_path / name, labelled=False, **options)
        assert (asked.content, asked.labels) == (GERMAN, (None,) * 3)


def test_a_file_in_a_zip_and_frames_and_lists(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("_about.txt", "read me")
        archive.writestr("fra.txt", "Go.\tVa !\nRun!\tCours !\n")
    (tmp_path / "x.zip").write_bytes(out.getvalue())
    assert read(tmp_path / "x.zip" / "fra.txt").labels == ("Va !", "Cours !")
    with pytest.raises(DataError, match=r"as in x.zip/fra.txt"):
        read(tmp_path / "x.zip")
    frame = pl.DataFrame({"source": GERMAN, "target": ENGLISH})
    pairs = list(PAIRS)
    for found in (read(frame), read(pairs), read(PAIRS)):
        assert (found.content, found.labels) == (GERMAN, ENGLISH)
    assert read(pairs).places[1] == "pair 2"
    assert read(list(GERMAN), labelled=False).content == GERMAN
    with pytest.raises(DataError, match="pair 2: 'x', expected a source and a target"):
        read([("a", "b"), "x"])
    with pytest.raises(DataError, match="the list is empty; expected pairs"):
        read([])
    with pytest.raises(DataError, match=r"row 2.*the target is int 3, expected a text"):
        read(
            pl.DataFrame(
                {"source": ["a", "b"], "target": ["x", 3]}, strict=False, schema_overrides={"target": pl.Object}
            )
        )


def test_right_answers(tmp_path):
    rows = [{"source": ["A.", "B."], "target": ["x"]}, {"source": "C", "target": ["x", "y"]}]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read(tmp_path / "x.jsonl").labels == ("x", "x y")
    assert read(tmp_path / "x.jsonl").content == ("A. B.", "C")
    assert read(tmp_path / "x.jsonl", references=True).labels == ("x", ("x", "y"))


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_folder_of_line_parallel_files(tmp_path, packed):
    written(tmp_path, "train", "val", "test_2016_flickr", packed=packed)
    write(tmp_path, "train.fr", GERMAN)
    (tmp_path / "README.txt").write_text("read me")
    found = read(tmp_path, source="de", target="en")
    assert found.content == GERMAN * 3
    assert found.labels == ENGLISH * 3
    assert found.parts == ("train",) * 3 + ("validation",) * 3 + ("test",) * 3
    assert found.places[3] == "val.de: line 1"
    assert found.ids[-1] == "test/3"
    assert pair_notes(tmp_path, PairOptions(source="de", target="en")) == ()
    prefix = read(tmp_path / "val", source=".de", target=".en")
    assert (prefix.content, prefix.parts) == (GERMAN, ("validation",) * 3)
    assert read(tmp_path / "tr", source="de", target="en").parts == ("train",) * 3
    both = {"train": tmp_path / "train", "test": (tmp_path / f"val.de{packed}", tmp_path / f"val.en{packed}")}
    assert read(both, source="de", target="en").parts == ("train",) * 3 + ("test",) * 3
    with pytest.raises(ConfigError, match="the train part has parts of its own"):
        read({"train": tmp_path}, source="de", target="en")


def test_several_files_for_a_part_are_told(tmp_path):
    written(tmp_path, "train", "dev", "newstest2014", "test2017", "test2016")
    options = PairOptions(source="de", target="en")
    assert read_pairs(tmp_path, options).places[-1] == "newstest2014.de: line 3"
    assert pair_notes(tmp_path, options) == (
        "newstest2014 is the test part; test2016, test2017 would do too: give files by part for another",
    )
    written(tmp_path, "test")
    assert read_pairs(tmp_path, options).places[-1] == "test.de: line 3"
    assert pair_notes([("a", "b")], options) == pair_notes("-", options) == ()


def test_two_files_without_a_part(tmp_path):
    written(tmp_path, "europarl.de-en")
    for source in (tmp_path, tmp_path / "europarl.de-en", tmp_path / "europarl", (tmp_path / "europarl.de-en.de",
                   tmp_path / "europarl.de-en.en")):  # fmt: skip
        found = read(source, source="de", target="en")
        assert (found.content, found.labels, found.parts) == (GERMAN, ENGLISH, None)
    written(tmp_path, "more")
    with pytest.raises(DataError, match=r"which files are for training\? Found europarl.de-en, more"):
        read(tmp_path, source="de", target="en")


def test_a_folder_of_tables(tmp_path):
    for part in ("train", "dev", "test"):
        (tmp_path / f"{part}.jsonl").write_text(json.dumps({"a": part, "b": "x"}))
    found = read(tmp_path, source="a", target="b")
    assert found.content == ("train", "dev", "test")
    assert found.parts == ("train", "validation", "test")


def test_folders_without_pairs(tmp_path):
    written(tmp_path, "train")
    with pytest.raises(DataError, match=r'name the endings, as in source="de", target="en"'):
        read(tmp_path)
    with pytest.raises(DataError, match=r'no file ends in ".es"; expected pairs such as train.de and train.es; it has'):
        read(tmp_path, source="de", target="es")
    write(tmp_path, "val.de", GERMAN)
    with pytest.raises(DataError, match=r"val.de: there is no val.en beside it"):
        read(tmp_path, source="de", target="en")
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "nothing", source="de", target="en")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="it is empty"):
        read(tmp_path / "empty")


WORDS = ["one", "two words", "now three words", "and a much longer line of many more words than before"]
LINES = [WORDS[number * number % 7 % 4] + f" {number}" for number in range(300)]


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        ([211], "y.en has 299;.* they part near line 21[0-4]"),
        ([40, 41, 42], "y.en has 297;.* they part near line (39|4[0-4])"),
        ([299], "y.en has 299;.*From line 300 on x.de stands alone"),
        (range(5, 200), "y.en has 105;.*From line 106 on x.de stands alone"),
    ],
)
def test_files_of_different_length_say_where(tmp_path, lost, why):
    kept = [line for number, line in enumerate(LINES) if number not in lost]
    sides = (write(tmp_path, "x.de", LINES), write(tmp_path, "y.en", kept))
    with pytest.raises(DataError, match=f"x.de has 300 lines and {why}"):
        read(sides)
    other = why.partition("From")[2] or "they part"
    with pytest.raises(DataError, match=f"y.en has .* lines and x.de has 300;.*{other}"):
        read(sides[::-1])


def test_bad_files(tmp_path):
    one = write(tmp_path, "x.de", GERMAN)
    (tmp_path / "x.en").write_text("\n\n\n")
    with pytest.raises(DataError, match=r"x.en: the file is empty; expected a text a line"):
        read((one, tmp_path / "x.en"))
    (tmp_path / "x.en").write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(DataError, match=r"x.en: line 3, byte 1: 0xff is not utf-8 text"):
        read((one, tmp_path / "x.en"))
    with pytest.raises(DataError, match=r"x.de: a pair has two texts, and this is one file of lines; give the folder"):
        read(one)
    write(tmp_path, "x.txt", GERMAN)
    with pytest.raises(DataError, match=r"x.txt: line 1 has no tab"):
        read(tmp_path / "x.txt")
    with pytest.raises(DataError, match=r'no column "de" \(source\).* by number, as in source="1", target="2"'):
        read(write(tmp_path, "x.tsv", ["a\tb", "c\td"]), source="de", target="en")
    with pytest.raises(DataError, match="there is no pair with two texts in it"):
        read([("a", ""), ("", "b")])


def test_what_is_empty_stays(tmp_path):
    found = read([("a", " "), ("", "b"), ("c", "d"), (None, None)])
    assert found.content == ("a", "", "c", "")
    assert found.labels == (None, "b", "d", None)


def test_sources_line_by_line(tmp_path, monkeypatch):
    path = write(tmp_path, "x.de", [GERMAN[0], "", f" {GERMAN[1]} "])
    found = read(path, labelled=False)
    assert found.content == (GERMAN[0], "", GERMAN[1])
    assert found.places[2] == "x.de: line 3"

    class Input:
        buffer = io.BytesIO(b"ein Hund\n\nein Mann")

    monkeypatch.setattr("sys.stdin", Input)
    assert read("-", labelled=False).content == ("ein Hund", "", "ein Mann")


def test_the_same_source_is_on_one_side_of_a_split():
    pairs = [(f"word{number // 4} again", f"answer {number}") for number in range(200)]
    labelled = read([*pairs, ("word3  again", "other")])
    assert labelled.groups[-1] == labelled.groups[12]
    split = split_examples(labelled)[0]
    sides = [{labelled.groups[row] for row in rows} for rows in (split.train, split.validation, split.test)]
    assert all(sides)
    assert len(set.union(*sides)) == sum(map(len, sides))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"source": "de"}, 'source="de" is given and target is not'),
        ({"target": "de"}, 'target="de" is given and source is not'),
        ({"source": "de", "target": "de"}, 'both "de"'),
        ({"source": "", "target": "de"}, "source is empty"),
    ],
)
def test_bad_options(options, why):
    with pytest.raises(ConfigError, match=why):
        PairOptions(**options)


@pytest.mark.data
def test_public_pairs():
    folder = Path(os.environ["LATCHWORK_DATA"])
    found = read(folder / "multi30k", source="de", target="en")
    assert [found.parts.count(part) for part in ("train", "validation", "test")] == [29_000, 1_014, 1_000]
    assert found.places[-1] == "test_2016_flickr.de: line 1000"
    assert found.content[0].startswith("Zwei junge weiße Männer")
    assert len(read(folder / "tatoeba_fra_eng" / "fra-eng.zip" / "fra.txt")) == 142_787
    science = read(folder / "scitldr", source="source", target="target", references=True)
    assert len(science) == 1_992 + 619 + 618
    assert max(len(one) for one in science.labels if isinstance(one, tuple)) == 4


@pytest.mark.parametrize(("name", "separator"), [("x.csv", ","), ("x.tsv", "\t")])
def test_a_table_of_sources_alone_has_a_header_too(tmp_path, name, separator):
    path = write(tmp_path, name, [f"id{separator}source", f"7{separator}ein Hund"])
    assert read(path, labelled=False).content == ("ein Hund",)


def test_a_first_line_that_may_be_a_header_is_told(tmp_path):
    path = write(tmp_path, "x.csv", ["id,de,en", "1,ein Hund,a dog"])
    assert len(read(path)) == 2
    (told,) = pair_notes(path)
    assert told.startswith("x.csv: columns 1 and 2 are read, and line 1 (id, de, en) as a pair")
    assert pair_notes(path, PairOptions(source="de", target="en")) == ()
    assert pair_notes(write(tmp_path, "y.csv", ["source,target", "ein Hund,a dog"])) == ()
    assert pair_notes(write(tmp_path, "z.tsv", ["ein Hund\ta dog"])) == ()
    assert pair_notes(write(tmp_path, "z.jsonl", ['{"source": "a", "target": "b"}'])) == ()
