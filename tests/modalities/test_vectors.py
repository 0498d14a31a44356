import gzip
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchwork.errors import DataError
from latchwork.modalities.vectors import read_vectors

GLOVE = "the 0.5 -1e-2\nfilm 1 2\n. . . 3 4\nfilm 9 9\ne\u0301t\u00e9 5 6\nThe 7 8\n"
WORDS = ["film", "THE", "the", "été", "none", ". . ."]
MATRIX = [[1, 2], [0.5, -0.01], [0.5, -0.01], [5, 6], [0, 0], [3, 4]]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glove.txt", GLOVE),
        ("word2vec.vec", "6 2\n" + GLOVE),
        ("word2vec.txt", "6 2\n" + GLOVE.replace("\n", " \n")),
        ("glove.txt", GLOVE.replace("\n", "\r\n").removesuffix("\r\n")),
        ("glove.txt", GLOVE.replace("\n", "\n\n")),
        ("glove.tsv", GLOVE.replace(" ", "\t").replace(".\t.\t.", ". . .")),
        ("glove.txt.gz", gzip.compress(GLOVE.encode(), mtime=0)),
    ],
)
def test_forms(tmp_path, name, content):
    found = read_vectors(write(tmp_path / name, content), WORDS)
    assert found.matrix.dtype == np.float32
    assert np.allclose(found.matrix, MATRIX)
    assert found.found.tolist() == [True, True, True, True, False, True]
    assert found.name == name.removesuffix(".gz")


def test_one_file_of_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
        archive.writestr("glove.2d.txt", GLOVE)
        archive.writestr("glove.3d.txt", "film 1 2 3\n")
    assert read_vectors(tmp_path / "glove.zip" / "glove.3d.txt", ["film"]).matrix.tolist() == [[1, 2, 3]]
    with pytest.raises(DataError, match=r"name one, as in glove.zip/glove.2d.txt"):
        read_vectors(tmp_path / "glove.zip", ["film"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1 is empty"),
        ("film 1 2\nthe 1\n", "line 2 has 1 numbers, expected 2"),
        ("film 1 2\nthe 1 x\n", 'line 2 holds "x", expected a finite number'),
        ("film 1 2\nthe 1 nan\n", 'line 2 holds "nan", expected a finite number'),
        ("film 1 2\nthe 1 1e39\n", "expected a finite number"),
        ("9 2\nfilm 1 2\n", "1 words, expected 9 as line 1 says; the file is cut short"),
        ("9 99999\nfilm 1 2\n", "gives 99999 numbers for a word, expected 1 to 4096"),
        ("film\n", "gives 0 numbers for a word"),
        (b"1 2\n\xfffilm 1 2\n", "0xff is not utf-8 text; expected word vectors as text, not in word2vec's binary"),
        (b"film " + b"1" * (1 << 20), "line 1 is longer than"),
    ],
)
def test_bad_files(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read_vectors(write(tmp_path / "v.txt", content), ["film", "the"])
    assert "v.txt" in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_vectors(tmp_path / "v.txt", ["a"])


@given(
    words=st.lists(
        st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=6), unique=True, min_size=1, max_size=9
    ),
    header=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_written_and_read(tmp_path_factory, words, header, seed):
    from unicodedata import normalize

    words = list(dict.fromkeys(normalize("NFC", word) for word in words))
    values = np.random.default_rng(seed).normal(size=(len(words), 3)).astype(np.float32)
    lines = [f"{word} {' '.join(map(repr, row.tolist()))}" for word, row in zip(words, values, strict=True)]
    lines = [f"{len(words)} 3", *lines] if header else lines
    path = write(tmp_path_factory.mktemp("v") / "v.txt", "\n".join(lines) + "\n")
    found = read_vectors(path, words)
    assert np.array_equal(found.matrix, values)
    assert found.found.all()
