import gzip
import io
import json
import lzma
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest

from latchwork.errors import ConfigError, DataError
from latchwork.modalities import Corpus, CorpusOptions, Vocabulary, read_corpus, tokenised

TEXT = "One line,\n\n\ttwo lines.\n"


def read(source, **options):
    return read_corpus(source, CorpusOptions(**options))


def zipped(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", TEXT.encode()),
        ("a.py", TEXT.encode()),
        ("a", TEXT.encode()),
        ("a.txt", b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()),
        ("a.txt", TEXT.encode("utf-16")),
        ("a.md.gz", gzip.compress(TEXT.encode(), mtime=0)),
        ("a.xz", lzma.compress(TEXT.encode())),
        ("a.zip", zipped(a_txt=TEXT)),
    ],
)
def test_one_file_is_one_text_with_all_its_blanks(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    corpus = read(tmp_path / name)
    assert corpus.documents == (TEXT,)
    assert corpus.parts is None
    assert len(corpus) == 1
    assert len(corpus.sha256) == 64


def test_the_last_line_ends_as_in_the_file(tmp_path):
    (tmp_path / "a.txt").write_text("a\nb")
    assert read(str(tmp_path / "a.txt")).documents == ("a\nb",)


def test_standard_input(monkeypatch):
    class Input:
        buffer = io.BytesIO(b'{"text": 1}\n')

    monkeypatch.setattr("sys.stdin", Input)
    assert read("-").documents == ('{"text": 1}\n',)
    Input.buffer = io.BytesIO(b'{"text": "a"}\n{"text": "b"}\n')
    assert read("-", text="text").documents == ("a", "b")


def test_a_folder_in_the_order_of_its_paths(tmp_path):
    for name in ("b.txt", "a/z.txt", "a/b.md", "c.txt.gz", "d.py", ".git/e.txt", "a/f.PY"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(name.encode(), mtime=0) if name.endswith("gz") else name.encode())
    corpus = read(tmp_path)
    assert corpus.documents == corpus.places == ("a/b.md", "a/z.txt", "b.txt", "c.txt.gz")
    assert corpus.name == tmp_path.name
    assert read(tmp_path, pattern="*.py").places == ("d.py",)
    assert read(tmp_path, pattern="a/*").places == ("a/b.md", "a/f.PY", "a/z.txt")
    assert read(tmp_path).sha256 == corpus.sha256 != read(tmp_path, pattern="a/*").sha256
    with pytest.raises(DataError, match=r'no file of the folder matches pattern="\*.pyy"; did you mean ".py"\?'):
        read(tmp_path, pattern="*.pyy")
    (tmp_path / "a" / "bad.txt").write_bytes(b"ok\nab\xff")
    with pytest.raises(DataError, match=r"^a/bad.txt: line 2, byte 3: 0xff is not utf-8 .* out by pattern="):
        read(tmp_path)


def test_folders_without_text(tmp_path):
    with pytest.raises(DataError, match=r"no text file .* it is empty"):
        read(tmp_path)
    (tmp_path / "x.py").write_text("1")
    with pytest.raises(DataError, match=r'it has .py; name the files, as in pattern="\*.py"'):
        read(tmp_path)


def test_tables_lists_and_frames(tmp_path):
    table = {"text": ["a b", "", "c"], "label": [1, 2, 3]}
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "x.csv").write_text("text,label\na b,1\n,2\nc,3\n")
    (tmp_path / "x.tsv").write_text("a b\t1\n\t2\nc\t3\n")
    (tmp_path / "x.txt").write_text("a b\t1\n\t2\nc\t3\n")
    frame = pl.DataFrame(table)
    frame.write_parquet(tmp_path / "x.parquet")
    for source in ("x.jsonl", "x.csv", "x.parquet"):
        corpus = read(tmp_path / source)
        assert corpus.documents == ("a b", "", "c"), source
        assert len(corpus.places) == 3
    assert read(tmp_path / "x.csv").places[2] == "x.csv: row 3 (line 4)"
    for source in ("x.tsv", "x.txt"):
        assert read(tmp_path / source, text="1").documents == ("a b", "", "c")
    assert read(frame).documents == read(table["text"]).documents == ("a b", "", "c")
    assert read(["x", ["One sentence.", " ", "Two."]]).documents == ("x", "One sentence. Two.")
    assert read(["x"]).sha256 != read(["y"]).sha256
    assert read(pl.DataFrame({"only": ["x"]})).documents == ("x",)
    with pytest.raises(DataError, match=r'there is no column "txt" \(text\); did you mean "text"'):
        read(frame, text="txt")
    with pytest.raises(DataError, match=r'no column "text" \(text\).* give the columns by number, as in text="1"'):
        read(tmp_path / "x.tsv")
    with pytest.raises(DataError, match=r"row 1.*the text is int 3, expected a text"):
        read(pl.DataFrame({"text": [3]}))


def test_parts(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    given = {"train": tmp_path / "a.txt", "dev": ["two", "three"], "test": tmp_path / "a.txt"}
    corpus = read(given)
    assert corpus.documents == ("one", "two", "three", "one")
    assert corpus.parts == ("train", "validation", "validation", "test")
    assert corpus.of("validation") == ("two", "three")
    assert corpus.of(None) == ()
    assert read(["one"]).of(None) == ("one",)
    with pytest.raises(ConfigError, match="gives the part validation twice"):
        read({"val": ["a"], "dev": ["b"]})
    with pytest.raises(DataError, match='the split is "extra"'):
        read({"extra": ["a"]})
    with pytest.raises(DataError, match="the mapping is empty"):
        read({})


@pytest.mark.parametrize("source", [[], [""], [" ", "\n"]])
def test_no_text(source, tmp_path):
    with pytest.raises(DataError, match="there is no text in it"):
        read(source)
    (tmp_path / "a.txt").write_text("".join(source))
    with pytest.raises(DataError, match=r"a.txt: there is no text in it"):
        read({"train": ["a"], "test": tmp_path / "a.txt"})


def test_bad_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"fine\n\nnot \xe9 fine\n")
    with pytest.raises(DataError, match=r"a.txt: line 3, byte 5: 0xe9 is not utf-8 text; save the file as UTF-8"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.txt.gz").write_bytes(b"\x1f\x8bno")
    with pytest.raises(DataError, match=r"\.gz file is damaged or cut short"):
        read(tmp_path / "a.txt.gz")
    (tmp_path / "two.zip").write_bytes(zipped(a_txt="a", b_txt="longer"))
    with pytest.raises(DataError, match=r"holds 2 files .* as in two.zip/b.txt"):
        read(tmp_path / "two.zip")
    assert read(tmp_path / "two.zip" / "b.txt").documents == ("longer",)
    with pytest.raises(ConfigError, match=r'pattern="\*.py" is for a folder'):
        read(tmp_path / "a.txt", pattern="*.py")
    with pytest.raises(ConfigError, match='text="x" is a column'):
        read(tmp_path, text="x")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tokenizer": "words"}, 'tokenizer is "words", expected one of char, bpe, word, given'),
        ({"vocabulary_size": 0}, "vocabulary_size is 0, expected at least 1"),
        ({"tokenizer": "bpe", "vocabulary_size": 100}, "expected at least 256: a piece is made of the 256 bytes"),
        ({"pattern": ""}, "pattern is empty"),
    ],
)
def test_bad_options(options, why):
    with pytest.raises(ConfigError, match=why):
        CorpusOptions(**options)


def test_sizes_that_do_not_fit():
    with pytest.raises(DataError, match="places has 1 entries for 2 texts"):
        Corpus(("a", "b"), ("a",))


def test_a_line_of_a_million_characters(tmp_path):
    (tmp_path / "a.txt").write_text("ab, cd e" * 125_000)
    text = read(tmp_path / "a.txt").documents[0]
    assert len(text) == 1_000_000
    for unit in ("char", "bpe", "word", "given"):
        known = Vocabulary.fit([text[:1000]], unit, 300)
        assert known.decode(known.encode(text)).split() == text.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the man , who came in , said no .", True),
        ("The man, who came in, said no.", False),
        ("no it was <unk>\n mr. N said", True),
        ("Bonjour ! Ça va ?\nOui, merci.", False),
        ("mr. brown said so .\nmr. white did not .", True),
        ("", False),
        ("x = 1\ny = 2", False),
    ],
)
def test_tokenised(text, expected):
    assert tokenised(text) is expected


@pytest.mark.data
def test_penn_treebank_and_tiny_shakespeare():
    folder = Path(os.environ["LATCHWORK_DATA"])
    files = {"train": "train", "valid": "validation", "test": "test"}
    corpus = read({part: folder / "ptb" / f"ptb.{name}.txt.gz" for name, part in files.items()})
    known = Vocabulary.fit(corpus.of("train"), "given", 10_000)
    assert len(known) == 10_002  # of <pad>, <unk>, <eos> the text has the second
    tokens = [known.encode(text) for text in corpus.documents]
    assert [len(one) for one in tokens] == [929_589, 73_760, 82_430]
    assert len(set(tokens[0].tolist())) == 10_000
    assert tokenised(corpus.documents[0])
    text = read(folder / "tinyshakespeare" / "input.txt").documents[0]
    letters = Vocabulary.fit([text], "char", 1000)
    assert len(letters) == 3 + 65
    assert letters.decode(letters.encode(text)) == text
    assert not tokenised(text)
