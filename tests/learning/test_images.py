"""Images become inputs; an archive that is damaged, pickled or something else is refused."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedgap.config.task import ImageOptions
from fedgap.learning.images import ImageStatistics, ImageTask
from fedgap.learning.rows import Rows
from fedgap.learning.task import DataError

Array = NDArray[Any]

GREY = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([0, 1], dtype=np.uint8)


def packed(**arrays: Array) -> bytes:
    """Pack arrays as an organisation would."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]  # numpy's stub takes an array for a flag
    return content.getvalue()


def put(folder: Path, content: bytes) -> Path:
    """Write a file."""
    path = folder / "school.npz"
    path.write_bytes(content)
    return path


def refused(folder: Path, content: bytes, options: ImageOptions | None = None) -> DataError:
    """Load a file that cannot be used; its error is one line and names the file."""
    with pytest.raises(DataError) as caught:
        ImageTask(options or ImageOptions()).load(put(folder, content))
    assert "school.npz" in caught.value.cause
    assert "\n" not in caught.value.line()
    return caught.value


def merged(task: ImageTask, folder: Path, *contents: bytes) -> ImageStatistics:
    """Everyone's statistics."""
    return task.merge([task.statistics(task.load(put(folder, content))) for content in contents])


@pytest.mark.parametrize("column", [False, True])
def test_grey_images_are_loaded_with_one_channel(column: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter of the test
    """Shape (n, h, w) becomes (n, 1, h, w); labels may be a column."""
    labels = LABELS[:, None] if column else LABELS

    data = ImageTask(ImageOptions()).load(put(tmp_path, packed(images=GREY, labels=labels)))

    assert data.pixels.shape == (2, 1, 3, 4)
    assert data.labels().tolist() == [0, 1]
    assert data.take(np.array([1])).labels().tolist() == [1]
    assert data.take(np.array([1])).pixels.tolist() == GREY[1:, None].tolist()


def test_colour_images_keep_their_channels(tmp_path: Path) -> None:
    """Shape (n, 3, h, w), each channel with its own mean and deviation."""
    pixels = np.stack([GREY, GREY * 2, np.full_like(GREY, 7)], axis=1)
    task = ImageTask(ImageOptions(statistics="federated", scale=1.0))
    data = task.load(put(tmp_path, packed(images=pixels, labels=LABELS)))
    own = task.statistics(data)

    rows = task.prepare(data, own, own)

    np.testing.assert_allclose(rows.x.mean(axis=(0, 2, 3)), 0, atol=1e-7)
    np.testing.assert_allclose(rows.x.std(axis=(0, 2, 3)), [1, 1, 0], atol=1e-6)
    assert "A channel has the same value in every pixel of every training image." in task.notes(data, own, own)


def test_other_names_of_arrays_can_be_given(tmp_path: Path) -> None:
    """What else the file holds is ignored."""
    task = ImageTask(ImageOptions(images="train_images", labels="train_labels"))

    assert len(task.load(put(tmp_path, packed(train_images=GREY, train_labels=LABELS, writer=LABELS)))) == 2


def test_given_statistics_scale_every_pixel_alike(tmp_path: Path) -> None:
    """(value / scale - mean) / std, as float32."""
    task = ImageTask(ImageOptions(scale=2.0, mean=1.0, std=4.0))
    data = task.load(put(tmp_path, packed(images=GREY, labels=LABELS)))
    own = task.statistics(data)

    rows = task.prepare(data, own, own)

    assert rows.x.dtype == np.float32
    np.testing.assert_allclose(rows.x[:, 0], (GREY / 2.0 - 1.0) / 4.0)


def test_federated_statistics_are_those_of_all_images(tmp_path: Path) -> None:
    """Two schools together have the mean and deviation of one pile of images; alone each has its own."""
    task = ImageTask(ImageOptions(statistics="federated", scale=1.0))
    one, two = packed(images=GREY, labels=LABELS), packed(images=GREY + np.uint8(100), labels=LABELS + np.uint8(1))
    shared = merged(task, tmp_path, one, two)
    data = task.load(put(tmp_path, two))
    own = task.statistics(data)
    pile = np.concatenate([GREY, GREY + np.uint8(100)]).astype(np.float64)

    together, alone = task.prepare(data, shared, own), task.prepare(data, task.alone(shared, own), own)

    np.testing.assert_allclose(together.x[:, 0], (GREY + 100.0 - pile.mean()) / pile.std(), rtol=1e-6)
    np.testing.assert_allclose(alone.x[:, 0], (GREY - GREY.mean()) / GREY.std(), rtol=1e-5, atol=1e-6)
    assert together.y.tolist() == alone.y.tolist() == [1, 2]
    local = ImageTask(ImageOptions(statistics="local", scale=1.0))
    np.testing.assert_array_equal(local.prepare(data, shared, own).x, alone.x)


def test_classes_that_nobody_or_not_everybody_has_are_noted(tmp_path: Path) -> None:
    """A class number in test images that no training image has becomes -1."""
    task = ImageTask(ImageOptions())
    data = task.load(put(tmp_path, packed(images=GREY, labels=LABELS)))
    own = task.statistics(data)
    shared = merged(
        task, tmp_path, packed(images=GREY, labels=LABELS), packed(images=GREY, labels=LABELS + np.uint8(1))
    )
    test = task.load(put(tmp_path, packed(images=GREY, labels=np.array([1, 3]))))

    assert task.prepare(test, shared, own).y.tolist() == [1, -1]
    assert task.notes(test, shared, own) == [
        "No training image here has the class 2.",
        "1 images have a class that no training image has; any answer is wrong.",
    ]


def test_a_description_is_plain_json(tmp_path: Path) -> None:
    """It is kept with the trained model."""
    task = ImageTask(ImageOptions(scale=16.0))
    own = merged(task, tmp_path, packed(images=GREY, labels=LABELS))

    assert json.loads(json.dumps(task.describe(own, own), allow_nan=False)) == {
        "shape": [1, 3, 4],
        "divided_by": 16.0,
        "means": [0.0],
        "sds": [1.0],
        "classes": 2,
    }


def test_images_of_another_shape_at_an_organisation_are_refused(tmp_path: Path) -> None:
    """Both files are named."""
    task = ImageTask(ImageOptions())
    other = packed(images=GREY.reshape(2, 4, 3), labels=LABELS)

    with pytest.raises(DataError, match=r"school\.npz are \(1, 4, 3\), those of .*school\.npz \(1, 3, 4\)") as caught:
        merged(task, tmp_path, packed(images=GREY, labels=LABELS), other)
    assert caught.value.code == "data.different-shapes"


def test_one_class_over_all_organisations_is_refused(tmp_path: Path) -> None:
    """There is nothing to learn; a single organisation with one class is fine."""
    task = ImageTask(ImageOptions())
    same = packed(images=GREY, labels=np.array([2, 2]))

    with pytest.raises(DataError, match="All 4 training images") as caught:
        merged(task, tmp_path, same, same)
    assert caught.value.code == "data.one-class"
    assert merged(task, tmp_path, same).present == (2,)


WHOLE = packed(images=GREY, labels=LABELS)
NAN = np.where(GREY == 5, np.nan, GREY)
CASES: dict[str, tuple[bytes, str, str]] = {
    "an empty file": (b"", "data.empty", "is empty"),
    "a text file": (b"a,b\n1,2\n", "data.not-npz", "no npz archive"),
    "a truncated archive": (WHOLE[: len(WHOLE) // 2], "data.not-npz", "only a part"),
    "a damaged archive": (WHOLE[:90] + b"????" + WHOLE[94:], "data.not-npz", "damaged"),
    "a pickled array": (packed(images=np.array([{}, None]), labels=LABELS), "data.not-npz", "plain arrays"),
    "no labels": (
        packed(images=GREY, label=LABELS),
        "data.missing-array",
        "no array labels; its arrays: images, label",
    ),
    "no arrays": (packed(), "data.missing-array", "its arrays: none"),
    "different lengths": (packed(images=GREY, labels=LABELS[:1]), "data.wrong-array", "2 images and 1 labels"),
    "no images": (packed(images=GREY[:0], labels=LABELS[:0]), "data.no-rows", "no images"),
    "images without pixels": (packed(images=GREY[:, :0], labels=LABELS), "data.wrong-array", "shape (2, 0, 4)"),
    "flat images": (packed(images=GREY.reshape(2, 12), labels=LABELS), "data.wrong-array", "shape (2, 12)"),
    "channels last": (packed(images=np.zeros((2, 8, 8, 3)), labels=LABELS), "data.wrong-array", "8 channels"),
    "text for pixels": (packed(images=GREY.astype(str), labels=LABELS), "data.wrong-array", "images are <U"),
    "NaN in a pixel": (packed(images=NAN, labels=LABELS), "data.infinite", "1 of 24 pixels"),
    "an infinite pixel": (packed(images=np.full_like(NAN, -np.inf), labels=LABELS), "data.infinite", "24 of 24"),
    "NaN in half precision": (packed(images=NAN.astype(np.float16), labels=LABELS), "data.infinite", "1 of 24"),
    "negative labels": (packed(images=GREY, labels=np.array([0, -1])), "data.unknown-label", "1 of 2 labels"),
    "a label that is no class": (packed(images=GREY, labels=np.array([0, 10**6])), "data.unknown-label", "1 of 2"),
    "NaN in labels": (packed(images=GREY, labels=np.array([0, np.nan])), "data.wrong-array", "labels are float64"),
    "labels of two columns": (packed(images=GREY, labels=np.eye(2, dtype=int)), "data.wrong-array", "shape (2, 2)"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_cannot_be_used_is_refused_with_why(case: str, tmp_path: Path) -> None:
    """Each fault has its code, and its cause has numbers and names of arrays."""
    content, code, cause = CASES[case]

    error = refused(tmp_path, content)

    assert error.code == code
    assert cause in error.cause


def test_a_label_beyond_the_number_of_classes_is_refused(tmp_path: Path) -> None:
    """With task.classes it is known what is too large."""
    assert refused(tmp_path, packed(images=GREY, labels=np.array([0, 2])), ImageOptions(classes=2)).code == (
        "data.unknown-label"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """As for tables."""
    with pytest.raises(DataError, match=r"There is no file .*nowhere\.npz"):
        ImageTask(ImageOptions()).load(tmp_path / "nowhere.npz")


def test_a_pixel_too_large_for_the_model_is_refused(tmp_path: Path) -> None:
    """It would be infinite in float32."""
    task = ImageTask(ImageOptions(scale=1.0))
    data = task.load(put(tmp_path, packed(images=GREY * 1e50, labels=LABELS)))
    own = task.statistics(data)

    with pytest.raises(DataError, match="too large once it is scaled"):
        task.prepare(data, own, own)


def test_what_another_task_loaded_is_refused() -> None:
    """A programming mistake, not a fault of the data."""
    with pytest.raises(TypeError, match="not Rows"):
        ImageTask(ImageOptions()).statistics(Rows(np.zeros((1, 1), np.float32), np.zeros(1, np.int64)))


@pytest.mark.parametrize("model", ["cnn", "mlp", "linear"])
def test_the_model_fits_the_images(model: str) -> None:
    """One output a class, counted in the rows or given."""
    torch = pytest.importorskip("torch")
    rows = Rows(np.zeros((2, 3, 8, 6), np.float32), np.array([0, 4]))
    options = {"model": model, "hidden": (5,) if model == "mlp" else ()}

    for classes, outputs in ((None, 5), (7, 7)):
        task = ImageTask(ImageOptions.model_validate({**options, "classes": classes}))
        assert task.model(rows)(torch.from_numpy(rows.x)).shape == (2, outputs)


@given(cut=st.integers(0, len(WHOLE)), at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
@settings(deadline=None, max_examples=150)
def test_a_damaged_archive_is_read_or_refused(
    cut: int, at: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cut off or with a wrong byte: nothing but images or a DataError comes out."""
    folder, task = tmp_path_factory.mktemp("damaged"), ImageTask(ImageOptions())
    for content in (WHOLE[:cut], WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]):
        try:
            data = task.load(put(folder, content))
        except DataError:
            continue
        assert len(data) == 2
