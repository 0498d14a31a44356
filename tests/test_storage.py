"""What is written is there as a whole or not at all; what is read is checked."""

import contextlib
import errno
import json
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from safetensors.torch import save

from latchwork import storage
from latchwork.errors import ModelFileError


class Config(BaseModel):
    """A file's schema, for the tests."""

    hidden_size: int
    cell: str = "lstm"


def weights() -> dict[str, torch.Tensor]:
    return {"a": torch.randn(3, 2), "b": torch.arange(4), "none": torch.zeros(0, 5), "one": torch.tensor(2.5)}


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_reads_back(tmp_path: Path) -> None:
    storage.write_bytes(tmp_path / "deep" / "er" / "x.bin", b"\x00\x01")
    assert (tmp_path / "deep" / "er" / "x.bin").read_bytes() == b"\x00\x01"
    storage.write_text(tmp_path / "t.txt", "größe")
    assert (tmp_path / "t.txt").read_text(encoding="utf-8") == "größe"
    storage.write_json(tmp_path / "c.json", Config(hidden_size=3))
    assert storage.read_json(tmp_path / "c.json", Config) == Config(hidden_size=3)
    assert storage.read_json(tmp_path / "c.json") == {"hidden_size": 3, "cell": "lstm"}
    kept = weights()
    storage.write_tensors(tmp_path / "w.safetensors", kept, {"made": "here"})
    back = storage.read_tensors(tmp_path / "w.safetensors")
    assert back.keys() == kept.keys()
    assert all(torch.equal(back[name], kept[name]) and back[name].dtype == kept[name].dtype for name in kept)
    assert storage.unpack_tensors((tmp_path / "w.safetensors").read_bytes(), "w")[1] == {"made": "here"}
    assert names(tmp_path) == ["c.json", "deep", "t.txt", "w.safetensors"]


def test_views_and_shared_storage_are_written(tmp_path: Path) -> None:
    whole = torch.randn(4, 6)
    storage.write_tensors(tmp_path / "w", {"whole": whole, "turned": whole.T, "part": whole[1:3], "again": whole})
    back = storage.read_tensors(tmp_path / "w")
    assert torch.equal(back["turned"], whole.T)
    assert torch.equal(back["part"], whole[1:3])
    assert torch.equal(back["again"], whole)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "c.json"
    storage.write_json(path, {"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full_disk)
        with pytest.raises(ModelFileError, match=r"can't write .*c\.json: the disk is full; nothing was changed; free"):
            storage.write_json(path, {"a": 2})
    assert storage.read_json(path) == {"a": 1}
    assert names(tmp_path) == ["c.json"]


def test_full_disk_while_a_folder_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with storage.new_folder(tmp_path / "model") as folder:
        storage.write_json(folder / "config.json", 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_disk)
        with (
            pytest.raises(ModelFileError, match=r"can't write .*/model/config\.json: the disk is full"),
            storage.new_folder(tmp_path / "model") as folder,
        ):
            storage.write_json(folder / "config.json", 2)
    assert storage.read_json(tmp_path / "model" / "config.json") == 1
    assert names(tmp_path) == ["model"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for number in (1, 2):
        with storage.new_folder(tmp_path / "model") as folder:
            storage.write_json(folder / f"{number}.json", number)
    assert names(tmp_path / "model") == ["2.json"]
    assert names(tmp_path) == ["model"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.write_text(tmp_path / "x", "x")
    assert names(tmp_path) == []


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError, match=r"can't write .*choose a folder that can be written"):
        storage.write_text(tmp_path / "file" / "x", "x")


def test_partial_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.0123abcd.partial").write_text("half")
    (tmp_path / ".b.0123abcd.partial").mkdir()
    (tmp_path / "kept").write_text("")
    storage.remove_partial(tmp_path)
    assert names(tmp_path) == ["kept"]
    storage.remove_partial(tmp_path / "not there")


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(tmp_path / "x", float("nan"))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b'{"hidden_size": 3', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"hidden_size": NaN}', "NaN is not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"hidden_size": "many"}', "hidden_size: Input should be a valid integer"),
        (b"{}", "hidden_size: Field required"),
        (b"3", "the whole file"),
    ],
)
def test_bad_json(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        storage.read_json(path, Config)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [storage.read_json, storage.read_tensors, storage.read_jsonl])
def test_missing_large_and_unreadable(tmp_path: Path, read: Callable[..., object]) -> None:
    with pytest.raises(ModelFileError, match=r"no such file: .*absent"):
        read(tmp_path / "absent")
    with pytest.raises(ModelFileError, match="is a directory"):
        read(tmp_path)
    (tmp_path / "large").write_bytes(b" " * 11)
    with pytest.raises(ModelFileError, match="larger than the 10 bytes"):
        read(tmp_path / "large", max_bytes=10)


@given(cut=st.integers(min_value=1, max_value=200))
def test_truncated_tensors(cut: int) -> None:
    data = storage.pack_tensors({"a": torch.ones(20), "b": torch.zeros(3, 3)})
    with pytest.raises(ModelFileError, match=r"model\.safetensors is damaged or cut off"):
        storage.unpack_tensors(data[:-cut], "model.safetensors")


@given(data=st.binary(max_size=64))
def test_garbage_tensors(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="damaged or cut off"):
        storage.unpack_tensors(data, "model.safetensors")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"w": torch.zeros(3, 2)}, r"w is torch\.float32 \(3, 2\), expected torch\.float32 \(2, 3\)"),
        ({"w": torch.zeros(2, 3, dtype=torch.float64)}, r"w is torch\.float64 \(2, 3\), expected torch\.float32"),
        ({}, r"w is missing, expected torch\.float32 \(2, 3\)"),
        ({"w": torch.zeros(2, 3), "v": torch.zeros(1)}, "v is not known"),
        ({"w": torch.full((2, 3), float("nan"))}, "w holds NaN or infinite values"),
        ({"w": torch.full((2, 3), float("inf"))}, "w holds NaN or infinite values"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(tensors))
    with pytest.raises(ModelFileError, match=message) as caught:
        storage.read_tensors(path, {"w": ((2, 3), torch.float32)})
    assert str(path) in str(caught.value)


def test_nan_where_it_is_a_value() -> None:
    data = storage.pack_tensors({"last": torch.tensor([1.0, float("nan")])})
    assert storage.unpack_tensors(data, "state", all_finite=False)[0]["last"].isnan().tolist() == [False, True]


@given(records=st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), max_size=5))
def test_a_log_keeps_its_records(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    storage.write_jsonl(path, [])
    for record in records:
        storage.append_jsonl(path, record)
    assert storage.read_jsonl(path) == records


def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    storage.append_jsonl(path, {"step": 1})
    with path.open("ab") as file:
        file.write(b'{"step": 2, "lo')
    assert storage.read_jsonl(path) == [{"step": 1}]
    storage.append_jsonl(path, {"step": 2}, sync=True)
    assert storage.read_jsonl(path) == [{"step": 1}, {"step": 2}]


def test_a_bad_line_in_a_log_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nrubbish\n{"step": 3}\n')
    with pytest.raises(ModelFileError, match="line 2 is not JSON"):
        storage.read_jsonl(path)
    path.write_text("3\n")
    with pytest.raises(ModelFileError, match="line 1 is not a JSON object"):
        storage.read_jsonl(path)


def test_full_disk_leaves_the_log_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "metrics.jsonl", os.write
    storage.append_jsonl(path, {"step": 1})

    def half(handle: int, data: bytes) -> int:
        if len(data) < 8:
            full_disk()
        return write(handle, data[:5])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(ModelFileError, match="the disk is full; the line was not added"):
            storage.append_jsonl(path, {"step": 2})
    assert path.read_text() == '{"step": 1}\n'


def test_versions() -> None:
    storage.check_version(1, 1, "model")
    with pytest.raises(
        ModelFileError,
        match=r"written by latchwork format 3, this is latchwork \S+ which knows up to 1; install a newer",
    ):
        storage.check_version(3, 1, "model")
    for bad in (None, 0, "1", True):
        with pytest.raises(ModelFileError, match="it is damaged"):
            storage.check_version(bad, 1, "model")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"latch")
    assert storage.sha256(tmp_path / "x") == storage.sha256(b"latch")
    with pytest.raises(ModelFileError, match="can't read"):
        storage.sha256(tmp_path / "absent")


def test_finite_is_json() -> None:
    value = storage.finite({"a": [float("inf"), 1, ("x", float("nan"))], "b": None})
    assert json.loads(json.dumps(value, allow_nan=False)) == {"a": [None, 1, ["x", None]], "b": None}


def test_reading_takes_as_much_memory_as_there_is_to_read(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"some bytes")
    tracemalloc.start()
    try:
        assert storage.read_bytes(tmp_path / "small") == b"some bytes"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(os.name == "nt", reason="no pipes with a name")
def test_a_pipe_is_read_to_its_end_and_no_further_than_allowed(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    os.mkfifo(tmp_path / "pipe")

    def fill() -> None:
        with contextlib.suppress(BrokenPipeError):
            (tmp_path / "pipe").write_bytes(data)

    for allowed in (len(data), len(data) + 1, len(data) - 1, 100):
        writer = threading.Thread(target=fill)
        writer.start()
        if allowed >= len(data):
            assert storage.read_bytes(tmp_path / "pipe", allowed) == data
        else:
            with pytest.raises(ModelFileError, match="larger than"):
                storage.read_bytes(tmp_path / "pipe", allowed)
        writer.join()


def test_a_file_as_large_as_allowed_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert storage.read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ModelFileError, match="larger than the 4 bytes"):
        storage.read_bytes(tmp_path / "file", 4)
