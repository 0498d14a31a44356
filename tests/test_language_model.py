"""The front door of language models: fit, save, load, evaluate, report; bad input leaves nothing behind."""

import io
import sys
from pathlib import Path

import pytest
import torch

import latchwork as lw
from latchwork.errors import ConfigError, DataError, ModelFileError

sys.path.insert(0, str(Path(__file__).parent))
from prose import prose, writer
from terminal import command, refused

QUICK = ("--steps", "6", "--evaluate-every", "3", "--batch-size", "4", "--truncate", "20", "--hidden-size", "8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    writer().save(folder)
    return folder


def test_a_run_is_all_that_loading_needs(run: Path) -> None:
    model = lw.load(run)
    assert isinstance(model, lw.LanguageModel)
    assert model.generate("Ann", seed=3) == writer().generate("Ann", seed=3)
    assert str(model.leaderboard()) == str(writer().leaderboard())
    assert {one.name for one in run.iterdir()} == {
        "model", "leaderboard.json", "findings.json", "config.toml", "report.html", "card.md",
    }  # fmt: skip
    assert {one.name for one in (run / "model").iterdir()} == {"config.json", "model.safetensors", "vocabulary.json"}


def test_a_damaged_run_is_refused_by_name(run: Path, tmp_path: Path) -> None:
    import shutil

    for name in ("config.json", "vocabulary.json", "model.safetensors"):
        copy = tmp_path / name.replace(".", "-")
        shutil.copytree(run, copy)
        data = bytearray((copy / "model" / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / "model" / name).write_bytes(bytes(data))
        with pytest.raises(ModelFileError, match=r"damaged|not the file|JSON"):
            lw.load(copy)


def test_the_report_is_one_page_that_loads_nothing(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    for part in ("What it writes", "How far back it remembers", "What was hard to expect", "Kneser-Ney"):
        assert part in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "src=" not in page
    assert "bits per character" in (run / "card.md").read_text(encoding="utf-8")


def test_evaluate_scores_another_text(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(prose(60, seed=7), encoding="utf-8")
    found = writer().evaluate(other)
    assert found.scoreboard.count == len(prose(60, seed=7))
    assert found.score.characters == found.score.tokens
    known = writer().leaderboard().model.values["nats"]
    assert found.scoreboard.model.values["nats"] == pytest.approx(known, rel=0.2)


def test_the_same_seed_gives_the_same_model() -> None:
    def fitted(seed: int) -> str:
        training = lw.Training(steps=5, seed=seed, batch_size=4, truncate=20)
        model = lw.fit(lw.Generate(), [prose(80)], network=lw.Network(hidden_size=8), training=training)
        return model.pipeline.fingerprint()

    assert fitted(1) == fitted(1)
    assert fitted(1) != fitted(2)


def test_an_interrupted_run_is_resumed_to_the_same_weights(tmp_path: Path) -> None:
    class Stop(lw.training.Callback):
        def step(self, record: object) -> None:
            if record["step"] == 4:  # type: ignore[index]
                import os
                import signal

                os.kill(os.getpid(), signal.SIGINT)

    options = {"network": lw.Network(hidden_size=8, dropout=0.3)}
    training = lw.Training(steps=8, batch_size=4, truncate=20, evaluate_every=2)
    whole = lw.fit(lw.Generate(), [prose(80)], training=training, **options)
    lw.fit(lw.Generate(), [prose(80)], training=training, run=tmp_path / "a", callbacks=[Stop()], **options)
    resumed = lw.fit(lw.Generate(), [prose(80)], training=training, run=tmp_path / "a", resume=True, **options)
    assert resumed.pipeline.fingerprint() == whole.pipeline.fingerprint()


@pytest.mark.parametrize("unit", ["word", "given", "char", "bpe"])
def test_a_classifier_starts_from_what_a_language_model_learnt(unit: str) -> None:
    import polars as pl

    model = writer(unit)
    lines = prose(200, seed=4).replace("\n", " ").split(". ")
    frame = pl.DataFrame({"text": lines, "label": ["cat" if "the cat" in line else "other" for line in lines]})
    tuned = lw.finetune(model, frame, training=lw.Training(steps=3))
    assert tuned.takeover is not None
    taken = tuned.takeover.groups
    assert taken["encoder"].taken == tuned.pipeline.module.encoder.embedding.weight.numel()
    assert taken["body.layers.0"].new == 0
    assert taken["head"].taken == 0
    assert tuned.pipeline.task.embedding == model.pipeline.module.embedding.embedding_dim


def test_the_vectors_taken_over_are_those_of_the_same_tokens() -> None:
    import polars as pl

    model = writer("word")
    frame = pl.DataFrame({"text": [f"Ann sees the cat{'!' * row}" for row in range(40)], "label": ["a", "b"] * 20})
    tuned = lw.finetune(
        model, frame, training=lw.Training(steps=1, learning_rate=1e-12), transfer=lw.Transfer(freeze=("encoder",))
    )
    words = tuned.pipeline.modality.words
    own = tuned.pipeline.module.encoder.embedding.weight
    for word in ("cat", "Ann", "sees"):
        number = model.pipeline.vocabulary.tokens.index(word)
        assert (own[words.index(word)] == model.pipeline.module.embedding.weight[number]).all()


def test_a_translator_says_with_what_a_language_model_learnt() -> None:
    import polars as pl

    model = writer("word")
    lines = [line for line in prose(120, seed=3).replace("! ", "!\n").replace(". ", ".\n").split("\n") if line]
    frame = pl.DataFrame({"source": [" ".join(reversed(line.split())) for line in lines], "target": lines})
    training = lw.Training(steps=1, learning_rate=1e-12)
    tuned = lw.finetune(model, frame, task=lw.Translate(tokenizer="word", metric="rouge_l"), training=training)
    assert isinstance(tuned, lw.TranslationModel)
    assert tuned.pipeline.target == model.pipeline.vocabulary
    own, known = tuned.pipeline.module.decoder.state_dict(), model.pipeline.module.state_dict()
    width = model.pipeline.module.embedding.embedding_dim
    close = torch.testing.assert_close
    close(own["embedding.weight"], known["embedding.weight"])
    name = "layers.layers.0.cell.input.weight"
    close(own[name][:, :width], known[name])
    assert own[name].shape[1] > width  # what it looked at is new
    name = "layers.layers.0.cell.recurrent.weight"
    close(own[name], known[name])
    assert tuned.takeover is not None
    with pytest.raises(ConfigError, match="hidden_size"):
        lw.finetune(model, frame, task=lw.Translate(), network=lw.Network(hidden_size=7))
    with pytest.raises(ConfigError, match="unfreeze"):
        lw.finetune(model, frame, task=lw.Translate(), transfer=lw.Transfer(unfreeze="gradual"))


@pytest.mark.parametrize("task", [lw.Generate(), lw.Translate()])
def test_what_is_for_other_tasks_is_refused_by_name(task: lw.Generate | lw.Translate) -> None:
    for run in (lw.cross_validate, lw.compare):
        with pytest.raises(ConfigError, match=f"{run.__name__} is for .* this is {type(task).__name__}"):
            run(task, "nothing.txt")  # type: ignore[call-overload]


# From the command line


def test_train_generate_and_complete(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "talk.txt"
    text.write_text(prose(100), encoding="utf-8")
    code, out, err = command(capsys, "train", "generate", text, "--run", tmp_path / "run", *QUICK)
    assert code == 0, err
    assert "bits per character" in out
    assert "it writes" in out
    code, first, _ = command(capsys, "generate", tmp_path / "run", "--prompt", "Ann", "--seed", "3")
    assert code == 0
    model = lw.load(tmp_path / "run")
    assert isinstance(model, lw.LanguageModel)
    assert first == "Ann" + model.generate("Ann", seed=3) + "\n"
    code, several, _ = command(capsys, "generate", tmp_path / "run", "--prompt", "Ann", "--seed", "2", "--samples", "2")
    assert several.endswith(first)
    monkeypatch.setattr("sys.stdin", io.StringIO("Ann"))
    assert command(capsys, "generate", tmp_path / "run", "--prompt", "-", "--seed", "3")[1] == first
    code, offers, _ = command(capsys, "complete", tmp_path / "run", "Ann se", "--n", "2")
    assert code == 0
    assert len(offers.splitlines()) <= 2
    code, scored, _ = command(capsys, "evaluate", tmp_path / "run", text)
    assert code == 0
    assert "held-back characters" in scored


def test_a_classifier_from_a_language_model(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path) -> None:
    table = tmp_path / "said.csv"
    lines = [line for line in prose(200, seed=4).replace("\n", " ").split(". ") if "," not in line]
    rows = [f"{line},{'cat' if 'the cat' in line else 'other'}" for line in dict.fromkeys(lines)]
    table.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    words = ("finetune", run, table, "--run", tmp_path / "tuned", "--steps", "3", "--dropout", "0.2")
    code, out, err = command(capsys, *words)
    assert code == 0, err
    assert "the head is new" in out
    assert lw.load(tmp_path / "tuned").pipeline.network.dropout == 0.2
    assert "weights file" in refused(capsys, "finetune", run, table, "--run", tmp_path / "b", "--embedding", "9")


def test_bad_options_of_sampling_are_one_line(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    assert "temperature" in refused(capsys, "generate", run, "--temperature", "0")
    assert "top_p" in refused(capsys, "generate", run, "--top-p", "1.2")
    assert "never saw" in refused(capsys, "generate", run, "--prompt", "héllo")
    assert "continues texts" in refused(capsys, "predict", run, run / "card.md")
    assert "forecasters" in refused(capsys, "update", run, run / "card.md")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no text"), (b"a few words\n", "at least 64"), (b"abc \xff\xfe def" * 50, "UTF-8")],
)
def test_bad_texts_are_one_line_and_leave_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, said: str
) -> None:
    text = tmp_path / "bad.txt"
    text.write_bytes(content)
    assert said in refused(capsys, "train", "generate", text, "--run", tmp_path / "run", *QUICK)
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_the_text_says_what_would_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = tmp_path / "short.txt"
    text.write_text("abcd efg\n" * 20, encoding="utf-8")
    error = refused(
        capsys, "train", "generate", text, "--run", tmp_path / "run", "--batch-size", "500", "--hidden-size", "4"
    )
    assert "batch_size=" in error
    assert not (tmp_path / "run").exists()


def test_a_line_of_a_million_characters_is_read(tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text("ab c" * 250_000, encoding="utf-8")
    training = lw.Training(steps=1, batch_size=4, truncate=10)
    model = lw.fit(lw.Generate(test_size=0.001), text, network=lw.Network(hidden_size=4), training=training)
    assert len(model.generate(max_new_tokens=5)) <= 5


def test_what_a_language_model_can_not_do_is_said() -> None:
    with pytest.raises(ConfigError, match="generate"):
        writer().predict("text")
    with pytest.raises(ConfigError, match="test_size"):
        lw.fit(
            lw.Generate(test_size=0), [prose(80)], network=lw.Network(hidden_size=4), training=lw.Training(steps=2)
        ).leaderboard()
    with pytest.raises(DataError, match="no text"):
        lw.fit(lw.Generate(), [])


def test_scores_of_text_in_lower_case_say_so() -> None:
    model = lw.fit(
        lw.Generate(lowercase=True),
        [prose(60)],
        network=lw.Network(hidden_size=8),
        training=lw.Training(steps=2, batch_size=4, truncate=16),
    )
    assert any("lower case" in note for note in model.leaderboard().notes)
    assert not any("lower case" in note for note in writer().leaderboard().notes)


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
def test_keys_that_are_no_characters_are_passed_over_and_the_prompt_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import pty

    from latchwork.cli.generate import _keys

    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        with _keys() as keys:
            os.write(ours, b"A\x1b[An\x1b[1;5C\xffn\t\x7f" + "日".encode() + b"\x1b")
            assert [next(keys) for _ in range(7)] == ["A", "n", "n", "\t", "\x7f", "日", "\x1b"]
    os.close(ours)
