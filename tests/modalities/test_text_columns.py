import gzip

import pytest

from latchwork.errors import DataError
from latchwork.modalities import SourceOptions, read_text

CHUNKS = "Confidence NN B-NP\nin IN B-PP\n\n\nthe DT B-NP\n"
UNIVERSAL = """# sent_id = one
# text = It's 10 000
1-2\tIt's\t_\t_\t_\t_\t_\t_\t_\t_
1\tIt\tit\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2\t's\tbe\tAUX\tVBZ\t_\t0\troot\t_\t_
2.1\tleft\tout\tX\tX\t_\t_\t_\t_\t_
3\t10 000\t10 000\tNUM\tCD\t_\t2\tobj\t_\t_

# sent_id = two
1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_
"""


def label(path, content, *, labelled=True, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_text(path, SourceOptions(**options), "label", labelled=labelled)


@pytest.mark.parametrize("name", ["x.txt", "x.conll", "x.bio", "x.iob"])
@pytest.mark.parametrize("change", [("", ""), (" ", "\t"), ("\n", "\r\n"), (" ", "   "), ("\n\n\n", "\n \n")])
def test_forms(tmp_path, name, change):
    found = label(tmp_path / name, CHUNKS.replace(*change) if change[0] else CHUNKS)
    assert found.content == (("Confidence", "in"), ("the",))
    assert found.labels == (("B-NP", "B-PP"), ("B-NP",))
    assert found.ids == ("1", "2")


def test_places_and_columns(tmp_path):
    found = label(tmp_path / "x.txt", CHUNKS, label="2")
    assert found.labels == (("NN", "IN"), ("DT",))
    assert found.places == ("x.txt: sentence 1 (line 1)", "x.txt: sentence 2 (line 5)")
    assert label(tmp_path / "x.tsv", "a\tO\n\nb\tB\n").content == (("a",), ("b",))
    assert label(tmp_path / "y.tsv", "text\ttags\na b\tO B\n").content == (("a", "b"),)
    assert label(tmp_path / "x.conll", "-DOCSTART- O\n\na\u00a0b O\n").content == (("a\u00a0b",),)
    assert label(tmp_path / "x.conll", "# O\n, O\n").content == (("#", ","),)


def test_universal(tmp_path):
    found = label(tmp_path / "x.conllu.gz", gzip.compress(UNIVERSAL.encode(), mtime=0))
    assert found.content == (("It", "'s", "10 000"), ("Yes",))
    assert found.labels == (("PRON", "AUX", "NUM"), ("INTJ",))
    assert found.ids == ("one", "two")
    assert label(tmp_path / "x.conllu", UNIVERSAL, label="xpos").labels[1] == ("UH",)
    assert label(tmp_path / "x.conllu", UNIVERSAL, label="deprel", text="lemma").content[0] == ("it", "be", "10 000")
    blind = UNIVERSAL.replace("INTJ", "_")
    assert label(tmp_path / "x.conllu", blind).labels[1] is None


def test_without_labels(tmp_path):
    found = label(tmp_path / "x.txt", "a\nb\n\nc\n", labelled=False, label="3", id="name")
    assert found.content == (("a", "b"), ("c",))
    assert found.labels == (None, None)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("x.txt", "a O\nb\n", {}, "line 2 has 1 columns, expected 2"),
        ("x.txt", "a\nb\n", {}, "column 1 would be the word and the label"),
        ("x.txt", "a O\n", {"label": "3"}, "label is column 3, but the file has 2"),
        ("x.txt", "a O\n", {"label": "tag"}, 'label is the column "tag", expected its number'),
        ("x.txt", "a O\n", {"group": "who"}, "a file of columns has no group"),
        ("x.tsv", "play some jazz\tO O B\n", {}, "holds a space; expected one word a line"),
        ("x.tsv", "a\tO\nb\t\n", {}, "line 2: the label is empty"),
        ("x.conll", "-DOCSTART- O\n", {}, "no sentence in it"),
        ("x.conllu", UNIVERSAL, {"label": "upso"}, 'did you mean "upos"'),
        ("x.conllu", UNIVERSAL.replace("1\tYes", "x\tYes"), {}, 'line 10 begins with "x", expected a word\'s number'),
        ("x.conllu", "1\tYes\tyes\n", {}, "line 1 has 3 columns, expected 10"),
        ("x.txt", b"a O\n\xff O\n", {}, "line 2, byte 1: 0xff is not utf-8 text"),
    ],
)
def test_bad_files(tmp_path, name, content, options, message):
    with pytest.raises(DataError, match=message):
        label(tmp_path / name, content, **options)
