"""The front door of translating: fit, translate, evaluate, save, load."""

import sys
from pathlib import Path

import polars as pl
import pytest

from latchwork.errors import ConfigError
from latchwork.layers import Network
from latchwork.tasks import Translate
from latchwork.training import Training
from latchwork.translation_model import TranslationModel, fit_translation, load_translation

sys.path.insert(0, str(Path(__file__).parent))
import toys

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
