"""The front door of translating: fit, translate, evaluate, save, load."""

import io
import signal
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from latchwork.errors import ConfigError
from latchwork.layers import Network
from latchwork.modalities import SourceOptions, read_records
from latchwork.model import finetune
from latchwork.tasks import Translate, TranslateSetup
from latchwork.training import Training
from latchwork.translation_model import TranslationModel, fit_translation, load_translation

sys.path.insert(0, str(Path(__file__).parent))
import toys
from terminal import command

TASK = Translate(tokenizer="word", copy=True, label_smoothing=0.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "names"


@pytest.fixture(scope="module")
def model(run: Path) -> TranslationModel:
    return fit_translation(TASK, toys.names(), network=toys.SMALL, training=toys.QUICK, run=run)


def test_a_run_folder_holds_it_all(model: TranslationModel, run: Path) -> None:
    names = {"model", "leaderboard.json", "findings.json", "config.toml", "report.html", "card.md", "metrics.jsonl"}
    assert names <= {path.name for path in run.iterdir()}
    assert model.leaderboard().main == "rouge_l"
    page = (run / "report.html").read_text()
    assert "What it says" in page
    assert "What it loses by hearing itself" in page
    assert "translate: a list" in (run / "card.md").read_text()
    assert "[translate]" in model.config()
    loaded = load_translation(run)
    text = "my name is qwert and i live in zuiop"
    assert loaded.translate(text)[0][0].text == model.translate(text)[0][0].text == "qwert lives in zuiop"
    assert loaded.leaderboard() == model.leaderboard()
    with pytest.raises(ConfigError, match="a loaded model has no training"):
        loaded.card()


def test_texts_lists_files_and_streams_give_the_same(model: TranslationModel, tmp_path: Path) -> None:
    texts = [source for source, _ in toys.names(9, seed=3)]
    file = tmp_path / "in.txt"
    file.write_text("\n".join(texts) + "\n")
    best = [several[0].text for several in model.translate(texts)]
    assert best == [target for _, target in toys.names(9, seed=3)]
    assert [several[0].text for several in model.translate(file)] == best
    assert [several[0].text for several in model.translate(str(file))] == best
    assert list(model.lines(f"{text}\n" for text in texts)) == best
    frame = model.predict(texts)
    assert isinstance(frame, pl.DataFrame)
    assert frame["text"].to_list() == best
    assert list(model.lines([])) == []
    assert list(model.lines(["\n", texts[0]])) == ["", best[0]]


def test_options_of_the_search_can_be_given(model: TranslationModel) -> None:
    text = "my name is abcde and i live in mnopq"
    (three,) = model.translate(text, n_best=3, beam=4, length_penalty=0.0)
    assert len({one.text for one in three}) == 3
    assert three[0].attention.shape == (len(three[0].words), 10)
    assert model.translate(text, attention=False)[0][0].attention.size == 0
    assert len(model.translate(text, max_length=2)[0][0].words) <= 2
    with pytest.raises(ConfigError, match='translate has no option "beems"; did you mean "beam"'):
        model.translate(text, beems=3)
    with pytest.raises(ConfigError, match="n_best is 3, and a beam of 2 holds no more"):
        model.translate(text, n_best=3, beam=2)


def test_it_is_scored_on_other_pairs(model: TranslationModel, tmp_path: Path) -> None:
    found = model.evaluate(toys.names(12, seed=5))
    assert found.scoreboard.count == 12
    assert found.scoreboard.model.values["rouge_l"] > 90
    (tmp_path / "test.tsv").write_text("\n".join("\t".join(pair) for pair in toys.names(7, seed=6)))
    (tmp_path / "train.tsv").write_text("\n".join("\t".join(pair) for pair in toys.names(9, seed=7)))
    assert model.evaluate(tmp_path).scoreboard.count == 7


def test_nothing_held_back_is_nothing_scored(tmp_path: Path) -> None:
    quick = Training(steps=2, batch_size=4, device="cpu")
    task = Translate(tokenizer="given", test_size=0, validation_size=0, metric="rouge_l")
    model = fit_translation(
        task, toys.backwards(12), network=Network(hidden_size=4), training=quick, run=tmp_path / "run"
    )
    assert "Not scored" in (tmp_path / "run" / "card.md").read_text()
    with pytest.raises(ConfigError, match="no pairs were held back"):
        model.leaderboard()
    with pytest.raises(ConfigError, match="reads a whole source"):
        model.stream()


class Input(io.TextIOWrapper):
    """Standard input; a terminal's where it is one."""

    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8", errors="surrogateescape")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def ask(run: Path, model: TranslationModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def answered(data: bytes, *options: str, terminal: bool = False) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", Input(data, terminal=terminal))
        return command(capsys, "translate", run, *options)

    return answered


A, B = "my name is abcde and i live in mnopq", "my name is qwert and i live in zuiop"
SAID_A, SAID_B = "abcde lives in mnopq", "qwert lives in zuiop"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", []),
        ("\n", [""]),
        (f"{A}\n\n{B}\n", [SAID_A, "", SAID_B]),
        (f"{A}\r\n\r\n{B}", [SAID_A, "", SAID_B]),
        (f"\ufeff{A}\n", [SAID_A]),
        (f"{A.replace(' is ', chr(9) + 'is' + chr(13))}\n{B}\n", [SAID_A, SAID_B]),
    ],
)
def test_as_many_lines_come_out_as_go_in(ask: Any, given: str, said: list[str]) -> None:
    code, out, err = ask(given.encode())
    assert (code, err) == (0, "")
    assert out == "".join(f"{one}\n" for one in said)


def test_several_answers_have_an_empty_line_behind_them(ask: Any) -> None:
    _, out, _ = ask(f"{A}\n\n{B}\n".encode(), "--n-best", "2")
    first, nothing, last, rest = out.split("\n\n")
    assert rest == ""
    assert nothing == "0.000\t"
    assert [first.split("\n")[0].split("\t")[1], last.split("\n")[0].split("\t")[1]] == [SAID_A, SAID_B]
    assert len(first.split("\n")) == len(last.split("\n")) == 2


def test_bad_lines_and_options_are_one_line(ask: Any) -> None:
    assert ask(f"{A}\nab \xff\n".encode("latin-1")) == (
        2, "", "latchwork: standard input: line 2, byte 4: 0xff is not utf-8 text; save it as UTF-8\n",
    )  # fmt: skip
    for options, told in (
        (("--beam", "30000000"), "the beam is 30000000, wider than the vocabulary"),
        (("--length-penalty", "500"), "length_penalty is 500.0, expected a number from 0 to 10"),
        (("--n-best", "0"), "n_best is 0, expected at least 1"),
    ):
        code, out, err = ask(f"{A}\n".encode(), *options)
        assert (code, out) == (2, "")
        assert told in err


def test_a_shell_goes_on_after_a_line_that_can_not_be_read(ask: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    code, out, _ = ask(f"{A}\n\nab \xff\n{B}\n".encode("latin-1"), terminal=True)
    signal.signal(signal.SIGINT, before)
    assert code == 0
    assert out.count("> ") == 5
    assert SAID_A in out
    assert "half of a surrogate pair" in out
    assert SAID_B in out


def test_files_are_texts_and_sequences_are_not(tmp_path: Path) -> None:
    rows = [f"{row},{row % 2 + step},{'up' if row % 2 else 'down'}" for row in range(20) for step in range(3)]
    (tmp_path / "a.csv").write_text("\n".join(["id,x,label", *rows]))
    labelled = read_records(tmp_path / "a.csv", SourceOptions(id="id"), "classify")
    task = Translate(target_tokenizer="word", metric="rouge_l")
    model = TranslationModel(TranslateSetup.of(task, labelled, Network(hidden_size=4), seed=0).pipeline)
    assert model.evaluate(labelled).scoreboard.count == 20
    for asked in (model.translate, model.predict, model.evaluate):
        with pytest.raises(ConfigError, match="sources are records, and a file is read as texts; from Python"):
            asked(tmp_path / "a.csv")


def test_a_translator_is_no_start_for_others(model: TranslationModel) -> None:
    with pytest.raises(ConfigError, match="the model holds a translator; fine-tuning starts from"):
        finetune(model, toys.names(9))  # type: ignore[arg-type]


def test_pieces_of_the_source_are_shown_as_they_are_written() -> None:
    pairs = [(f"über {'ab' * (1 + row % 5)} süß", f"{'ba' * (1 + row % 5)}") for row in range(60)]
    frame = pl.DataFrame(pairs, schema=["source", "target"], orient="row")
    task = Translate(tokenizer="bpe", vocabulary_size=270, metric="rouge_l")
    model = fit_translation(task, frame, network=Network(hidden_size=4), training=Training(steps=1))
    (best,) = model.translate("über ab süß")[0]
    assert best.source is not None
    assert best.source[-1] == "<eos>"
    assert "Ġ" not in "".join(best.source)
    assert "Ã" not in "".join(best.source)
