import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from latchwork.errors import ConfigError, DataError, ModelFileError
from latchwork.modalities import Images, image_read, read_images
from latchwork.modalities.image_read import decode
from latchwork.modalities.source import SourceOptions
from latchwork.sequences.examples import Labelled, collate

RAMP = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10

NOISE = np.random.default_rng(0).integers(0, 255, (60, 60)).astype(np.uint8)


def packed(pixels, form="PNG", **options):
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, form, **options)
    return out.getvalue()


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else packed(data))
    return path


def labelled(images):
    names = tuple(str(at) for at in range(len(images)))
    return Labelled(tuple(images), ("l",) * len(images), names, names)


def claims(width, height):
    """A PNG file whose header says that it is so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + packed(RAMP)[33:]
    )


IMAGES = st.one_of(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))),
)


@settings(max_examples=60)
@given(st.lists(IMAGES, min_size=1, max_size=4), st.lists(IMAGES, max_size=3), st.sampled_from([None, 5]))
def test_laws(train, rest, size):
    options = SourceOptions(image_size=size)
    whole = labelled([*train, *rest])
    model = Images.fit(whole, range(len(train)), options)
    assert Images.fit(labelled(train), range(len(train)), options) == model, "others changed what was fitted"
    assert Images.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)), model.files()) == model
    channels, height = model.features.image
    assert height == (size or train[0].shape[0])
    encoded = model.encode(whole)
    for row, one in enumerate(encoded):
        assert one.image.shape == (channels, height, model.width)
        assert one.image.dtype == np.float32
        assert np.isfinite(one.image).all()
        assert len(one) == model.width
        np.testing.assert_array_equal(one.image, model.encode(whole.select([row]))[0].image)
    pixels = np.stack([one.image for one in encoded[: len(train)]]).astype(float)
    np.testing.assert_allclose(pixels.mean(axis=(0, 2, 3)), 0, atol=1e-3)
    collate(encoded)


def test_a_folder_for_each_label(tmp_path):
    put(tmp_path / "cat" / "b.png", RAMP)
    put(tmp_path / "cat" / "deep" / "a.JPG", packed(RAMP, "JPEG"))
    put(tmp_path / "dog" / "a.jpeg", packed(np.stack([RAMP, RAMP, RAMP * 0], -1), "JPEG"))
    put(tmp_path / "dog" / "notes.txt", b"no image")
    put(tmp_path / "dog" / "._a.png", b"no image")
    got = read_images(tmp_path, SourceOptions())
    assert got.ids == ("cat/b.png", "cat/deep/a.JPG", "dog/a.jpeg")
    assert got.labels == ("cat", "cat", "dog")
    assert got.parts is None
    assert got.places[0] == str(tmp_path / "cat" / "b.png")
    np.testing.assert_array_equal(got.content[0], RAMP)
    assert got.content[2].shape == (4, 6, 3)
    assert read_images(tmp_path, SourceOptions()).sha256 == got.sha256
    small = read_images(tmp_path, SourceOptions(image_size=4))
    assert [pixels.shape[:2] for pixels in small.content] == [(4, 4)] * 3


def test_folders_of_parts(tmp_path):
    for part, label in (("train", "a"), ("train", "b"), ("val", "a"), ("Test", "b")):
        put(tmp_path / part / label / "x.png", RAMP)
    got = read_images(tmp_path, SourceOptions())
    assert sorted(zip(got.parts, got.labels, strict=True)) == [
        ("test", "b"), ("train", "a"), ("train", "b"), ("validation", "a"),
    ]  # fmt: skip
    put(tmp_path / "more" / "x.png", RAMP)
    with pytest.raises(DataError, match='holds "Test", a part of a split, and "more", which is none'):
        read_images(tmp_path, SourceOptions())


def test_images_without_labels(tmp_path):
    one = put(tmp_path / "x.png", RAMP)
    assert read_images(one, SourceOptions(), labelled=False).labels == (None,)
    assert read_images(tmp_path, SourceOptions()).labels == (None,)
    put(tmp_path / "a" / "x.png", RAMP)
    with pytest.raises(DataError, match=r"x.png: stands outside of the folders that give the labels"):
        read_images(tmp_path, SourceOptions())


def test_a_table_of_paths(tmp_path):
    put(tmp_path / "img" / "a.png", RAMP)
    put(tmp_path / "img" / "b.png", RAMP.T)
    table = put(tmp_path / "x.csv", b"path,finding,patient,split\nimg/a.png,ill,p,train\nimg/b.png,,q,test\n")
    got = read_images(table, SourceOptions(label="finding", group="patient", split="split"))
    assert got.labels == ("ill", None)
    assert got.groups == ("p", "q")
    assert got.parts == ("train", "test")
    assert got.ids == ("img/a.png", "img/b.png")
    assert got.places[1] == "x.csv: row 2 (line 3)"
    assert read_images(table, SourceOptions(label="gone"), labelled=False).labels == (None, None)
    for text, options, message in (
        ("path\nimg/c.png\n", {}, r"x.csv: row 1 \(line 2\): .*c.png: can't be read: No such file"),
        ("path\nimg\n", {}, "can't be read"),
        ("paths,y\nimg/a.png,1\n", {}, r'there is no column "path" \(path\); did you mean "paths"'),
        ("path,y\nimg/a.png,1\n", {"label": "yy"}, r'there is no column "yy" \(label\)'),
        ("path,y\n,1\n", {}, r'row 1 \(line 2\): the path \(column "path"\) is empty'),
        ("path,g\nimg/a.png,\n", {"group": "g"}, r'the group \(column "g"\) is empty'),
        ("path,g\nimg/a.png,1\nimg/b.png,1\n", {"id": "g"}, 'the id "1" stood before'),
        ("path,s\nimg/a.png,now\n", {"split": "s"}, 'the split is "now"'),
    ):
        put(table, text.encode())
        with pytest.raises(DataError, match=message):
            read_images(table, SourceOptions(**options))


def test_arrays(tmp_path):
    path = tmp_path / "x.npz"
    images = np.stack([RAMP, RAMP + 1])
    np.savez_compressed(path, train_images=images, train_labels=np.array([[1], [0]]), val_images=images[:1],
                        val_labels=[[1]], test_images=np.stack([images] * 3, -1)[:1], other=images)  # fmt: skip
    got = read_images(path, SourceOptions())
    assert got.labels == ("1", "0", "1", None)
    assert got.parts == ("train", "train", "validation", "test")
    assert got.ids == ("train/1", "train/2", "val/1", "test/1")
    assert got.places[1] == "x.npz: train_images, number 2"
    np.testing.assert_array_equal(got.content[1], RAMP + 1)
    assert got.content[3].shape == (4, 6, 3)
    np.savez(path, images=images, labels=np.array([[1, 0, 1], [0, 0, 0]]))
    several = read_images(path, SourceOptions(image_size=8))
    assert several.labels == (("0", "2"), ())
    assert several.parts is None
    assert several.content[0].shape == (8, 8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": RAMP}, "x.npz: holds no array; expected train_images"),
        ({"images": RAMP}, r"images: has the shape \(4, 6\)"),
        ({"images": np.zeros((2, 4, 4, 4), np.uint8)}, r"has the shape \(2, 4, 4, 4\)"),
        ({"images": np.zeros((0, 4, 4), np.uint8)}, r"has the shape \(0, 4, 4\)"),
        ({"images": RAMP[None].astype(float)}, "holds values of type float64, expected uint8 or uint16"),
        ({"images": RAMP[None], "labels": np.zeros((2, 1), int)}, r"1 images, but labels of the shape \(2, 1\)"),
        ({"images": RAMP[None], "labels": np.array([[0, 2]])}, "labels in several columns are 0 or 1, got 2"),
        ({"images": np.array([{}])}, "images: holds values of type object, expected numbers"),
    ],
)
def test_bad_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_images(tmp_path / "x.npz", SourceOptions())


def test_arrays_that_claim_more_than_they_hold(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    whole = io.BytesIO()
    np.save(whole, RAMP[None])
    lie = whole.getvalue().replace(b"(1, 4, 6)", b"(9, 4, 6)")
    for content in (
        lie,
        b"\x93NUMPY",
        b"",
        whole.getvalue()[:-1],
        whole.getvalue().replace(b"NUMPY\x01", b"NUMPY\x07"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", content)
        with pytest.raises(DataError, match=r"x.npz: images: (is no array|has the shape)"):
            read_images(path, SourceOptions())
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"x.npz: is no readable .npz file"):
        read_images(path, SourceOptions())
    np.savez_compressed(path, images=np.zeros((100, 50, 50), np.uint8))
    monkeypatch.setattr(image_read, "MAX_TOTAL", 10_000)
    with pytest.raises(DataError, match="its arrays take more than 10,000 bytes"):
        read_images(path, SourceOptions())
    monkeypatch.setattr(image_read, "MAX_TOTAL", 1_000_000)
    monkeypatch.setattr(image_read, "MAX_PIXELS", 2_000)
    with pytest.raises(DataError, match="has 50 x 50 pixels, at most 2,000 are read"):
        read_images(path, SourceOptions())


def test_kinds_of_pixels():
    colour = np.stack([RAMP, RAMP // 2, 255 - RAMP], -1)
    np.testing.assert_array_equal(decode(packed(RAMP), "x"), RAMP)
    np.testing.assert_array_equal(decode(packed(colour), "x"), colour)
    deep = RAMP.astype(np.uint16) * 257
    got = decode(packed(Image.fromarray(deep)), "x")
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got, deep)
    few = Image.fromarray(colour).quantize(4)
    np.testing.assert_array_equal(decode(packed(few), "x"), np.asarray(few.convert("RGB")))
    bits = Image.fromarray(RAMP > 100)
    np.testing.assert_array_equal(decode(packed(bits), "x"), np.where(RAMP > 100, 255, 0))
    clear = np.concatenate([colour, np.full((4, 6, 1), 0, np.uint8)], -1)
    assert (decode(packed(clear), "x") == 255).all()
    half = Image.fromarray(RAMP).convert("LA")
    np.testing.assert_array_equal(decode(packed(half), "x")[:, :, 0], RAMP)
    ink = Image.fromarray(colour).convert("CMYK")
    assert decode(packed(ink, "JPEG"), "x").shape == (4, 6, 3)


@pytest.mark.parametrize(("orientation", "turned"), [(1, RAMP), (3, RAMP[::-1, ::-1]), (6, np.rot90(RAMP, -1))])
def test_an_image_is_upright(orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(packed(RAMP, exif=exif), "x"), turned)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.png: the file is empty"),
        (b"hello, I am a text", "x.png: is no png or jpg image"),
        (packed(RAMP, "GIF"), "is no png or jpg image"),
        (claims(40_000, 25_000), "has far more than 64,000,000 pixels"),
        (claims(10_000, 8_000), "has 10000 x 8000 pixels, at most 64,000,000 are read"),
        (claims(0, 10), "x.png: is (no png|a damaged|damaged)"),
        (packed(NOISE)[:-600], "x.png: is damaged or cut short"),
        (packed(NOISE, "JPEG")[:-600], "x.png: is damaged or cut short .*truncated"),
        (packed(Image.fromarray(RAMP), save_all=True, append_images=[Image.fromarray(RAMP + 1)]),
         r"x.png: is animated \(2 frames\)"),
    ],
)  # fmt: skip
def test_bad_images(tmp_path, data, message):
    put(tmp_path / "a" / "x.png", data)
    with pytest.raises(DataError, match=message):
        read_images(tmp_path, SourceOptions())


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "JPEG"]), st.data())
def test_broken_bytes_are_an_image_or_a_clear_line(form, data):
    good = packed(np.stack([RAMP] * 3, -1), form)
    broken = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    said = ""
    try:
        assert decode(bytes(broken), "x.png").dtype in (np.uint8, np.uint16)
    except DataError as error:
        said = str(error)
    assert not said or (said.startswith("x.png: ") and "\n" not in said)


def test_bad_sources(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"no such file or folder: .*gone"):
        read_images(tmp_path / "gone", SourceOptions())
    with pytest.raises(DataError, match=r"holds no image \(.png, .jpg, .jpeg\)"):
        read_images(tmp_path, SourceOptions())
    with pytest.raises(DataError, match=r"x.tif: expected a folder of images"):
        read_images(put(tmp_path / "x.tif", b"x"), SourceOptions())
    with pytest.raises(DataError, match="got list"):
        read_images([1], SourceOptions())
    with pytest.raises(ConfigError, match="their task is classify"):
        read_images(tmp_path, SourceOptions(), "label")
    put(tmp_path / "a" / "x.png", np.zeros((50, 50), np.uint8))
    monkeypatch.setattr(image_read, "MAX_TOTAL", 2000)
    with pytest.raises(DataError, match="take more than 2,000 bytes; give image_size="):
        read_images(tmp_path, SourceOptions())
    assert len(read_images(tmp_path, SourceOptions(image_size=8))) == 1


def test_grey_and_colour():
    grey3, colour = np.stack([RAMP] * 3, -1), np.stack([RAMP, RAMP * 0, RAMP * 0], -1)
    one = Images.fit(labelled([RAMP, grey3]), [0, 1])
    assert one.features.image == (1, 4)
    same = one.encode(labelled([RAMP, grey3, colour]))
    np.testing.assert_array_equal(same[0].image, same[1].image)
    np.testing.assert_allclose(same[2].image * one.deviation[0] + one.mean[0], 0.299 * RAMP[None] / 255, atol=1e-5)
    three = Images.fit(labelled([RAMP, colour]), [0, 1])
    assert three.features.image == (3, 4)
    deep = one.encode(labelled([RAMP.astype(np.uint16) * 257]))[0].image
    np.testing.assert_allclose(deep, same[0].image, atol=1e-5)


def test_what_can_not_be_fitted_or_loaded():
    with pytest.raises(DataError, match="no image is left to train on"):
        Images.fit(labelled([RAMP]), [])
    with pytest.raises(DataError, match="0: expected an image, got str"):
        Images.fit(labelled(["x"]), [0])
    with pytest.raises(DataError, match="images of 5000 x 1 pixels; expected at most 4096 each: give image_size="):
        Images.fit(labelled([np.zeros((5000, 1), np.uint8)]), [0])
    assert Images.fit(labelled([RAMP * 0]), [0]).deviation == (1.0,)
    data = Images.fit(labelled([RAMP]), [0]).to_dict()
    for change in ({"height": 0}, {"mean": [0.0, 0.0]}, {"deviation": [0.0]}, {"width": "3"}, {"more": 1}):
        with pytest.raises(ModelFileError, match="the image part of the model file is damaged"):
            Images.from_dict({**data, **change})
