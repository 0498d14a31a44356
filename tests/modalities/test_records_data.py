"""The readers on public data; skipped where LATCHWORK_DATA names none."""

import os
from pathlib import Path

import numpy as np
import pytest

from latchwork.modalities import Images, Records, read_images, read_records
from latchwork.modalities.source import SourceOptions

pytestmark = pytest.mark.data
DATA = Path(os.environ.get("LATCHWORK_DATA", "."))


@pytest.mark.parametrize(
    ("name", "count", "columns", "classes", "lengths"),
    [
        ("JapaneseVowels_TRAIN", 270, 12, 9, (7, 26)),
        ("JapaneseVowels_TEST", 370, 12, 9, (7, 29)),
        ("ItalyPowerDemand_TRAIN", 67, 1, 2, (24, 24)),
        ("ItalyPowerDemand_TEST", 1029, 1, 2, (24, 24)),
    ],
)
def test_uea_ucr(name, count, columns, classes, lengths):
    got = read_records(DATA / "uea_ucr_small" / f"{name}.ts.gz", SourceOptions())
    steps = [record.steps for record in got.content]
    assert (len(got), len(set(got.labels)), (min(steps), max(steps))) == (count, classes, lengths)
    model = Records.fit(got, range(count))
    assert (model.features.numbers, model.features.masked) == (columns, False)


def test_ecg5000():
    got = read_records(DATA / "ecg5000_train" / "ECG5000_TRAIN.txt.gz", SourceOptions())
    assert [got.labels.count(label) for label in "12345"] == [292, 177, 10, 19, 2]
    assert {record.steps for record in got.content} == {140}


def test_eeg():
    path = DATA / "eeg_eye_state" / "EEG_Eye_State.arff.gz"
    got = read_records(path, SourceOptions(), "label")
    assert [got.labels[0].count(label) for label in "01"] == [8257, 6723]
    (encoded,) = Records.fit(got, [0]).encode(got)
    assert encoded.numbers.shape == (14980, 14)
    assert 5 < np.abs(encoded.numbers).max() < 20  # the spikes are a million deviations high
    assert len(read_records(path, SourceOptions(max_length=128), "label")) == 118


@pytest.mark.slow
def test_physionet2012():
    options = SourceOptions(
        id="RecordID", time="Time", variable="Parameter", value="Value", labels=Path("Outcomes-a.txt"),
        label="In-hospital_death", static=("Age", "Gender", "Height", "ICUType", "Weight"), missing=-1, period=1,
    )  # fmt: skip
    got = read_records(DATA / "physionet2012" / "set-a.tar.xz", options)
    assert (len(got), got.labels.count("1"), got.ids[0]) == (4000, 554, "132539")
    first = got.content[0]
    assert first.static_numbers[[0, 3]].tolist() == [54, 4]
    hours = first.times.tolist()
    assert first.numbers[hours.index(0), first.columns.numbers.index("HR")] == 75  # 73 and 77
    model = Records.fit(got, range(3000), options)
    assert model.features == type(model.features)(numbers=36, masked=True, static=8)
    assert len(model.encode(got)) == 4000


def test_pneumoniamnist():
    got = read_images(DATA / "pneumoniamnist" / "pneumoniamnist.npz", SourceOptions())
    assert [got.parts.count(part) for part in ("train", "validation", "test")] == [4708, 524, 624]
    model = Images.fit(got, range(4708))
    assert model.features.image == (1, 28)
    assert model.encode(got.select([0]))[0].image.shape == (1, 28, 28)
