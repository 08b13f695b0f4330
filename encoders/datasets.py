"""The field's data sets as arrays: MIRFLICKR-25K, NUS-WIDE TC-21, MS COCO, Wikipedia.

Nothing here downloads; the files are the ones that papers on cross-modal hashing trade.
Columns keep the file's own order. Relies on `matfiles`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoders.matfiles import Array, read_arrays
from ssah_index.errors import SourceError

KEYS: Mapping[str, Sequence[str]] = {
    "images": ("IAll", "images", "ImAll", "XAll", "I", "image", "img", "image_pca512"),
    "texts": ("YAll", "TAll", "tags", "T", "texts", "text", "Y", "txt"),
    "labels": ("LAll", "labels", "L", "label", "lab"),
}
"""Names under which the field's files keep their arrays."""
CLASSES = {"mirflickr": 24, "nuswide": 21, "coco": 80}
SIZES = {
    "mirflickr": {20015: "the field's 20,015 pairs"},
    "nuswide": {
        195834: "195,834 pairs, all with one of the 21 labels",
        190421: "190,421 pairs, those without any of the tags left out (SSAH, Table 1)",
    },
    "coco": {
        85000: "85,000 pairs (SSAH, Table 1)",
        122218: "122,218 pairs, all of train and val 2014 with a label",
    },
}
"""Known sizes; the field uses two of NUS-WIDE and COCO, whose figures do not compare."""
WIKIPEDIA_CLASSES = (
    "art", "biology", "geography", "history", "literature",
    "media", "music", "royalty", "sport", "warfare",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Dataset:
    """Image-text pairs with labels; row i of each array is pair i."""

    name: str
    """A key of `encoders.splits.PROTOCOLS`, if it has one."""
    images: Array
    """float16, float32 or float64 (n, d) features, or uint8 (n, 3, height, width) pixels."""
    texts: Array
    """uint8 or float (n, words): bag of words, or topics."""
    labels: Array
    """uint8 (n, c), 0 or 1."""
    label_names: tuple[str, ...]
    """c names; "class 0" and so on where the file has none."""
    note: str = ""
    """What to say beside any figure, for example "reconstructed alignment"."""

    def __post_init__(self) -> None:
        faults = [*_shape_faults(self), *_label_faults(self)]
        if faults:
            raise SourceError(
                f"{self.name}: {'; '.join(faults)}",
                "one row of images, texts and 0/1 labels a pair, with a label at least",
                "Check that the files are of one release, or drop what is at fault.",
            )

    def __len__(self) -> int:
        return len(self.labels)


def _shape_faults(data: Dataset) -> list[str]:
    faults = []
    counts = {name: len(getattr(data, name)) for name in KEYS}
    if len(set(counts.values())) > 1:
        faults.append(", ".join(f"{count} {name}" for name, count in counts.items()))
    pixels = data.images.ndim == 4 and data.images.shape[1] == 3
    features = data.images.ndim == 2 and data.images.dtype.kind == "f"
    if not features and not (pixels and data.images.dtype == np.uint8):
        faults.append(f"images are {data.images.dtype} {data.images.shape}")
    for name in ("texts", "labels"):
        array = getattr(data, name)
        if array.ndim != 2:
            faults.append(f"{name} are {array.dtype} {array.shape}")
    return faults


def _label_faults(data: Dataset) -> list[str]:
    if data.labels.ndim != 2:
        return []
    faults = []
    if data.labels.dtype != np.uint8 or data.labels.max(initial=0) > 1:
        faults.append(f"labels are {data.labels.dtype} up to {data.labels.max(initial=0)}")
    if data.labels.shape[1] != len(data.label_names):
        faults.append(f"{data.labels.shape[1]} label columns for {len(data.label_names)} names")
    bare = int((~data.labels.any(axis=1)).sum())
    if bare:
        faults.append(f"{bare} of {len(data.labels)} label rows are all zeros")
    return faults


def load_dataset(
    name: str,
    files: Sequence[Path],
    *,
    keys: Mapping[str, str] | None = None,
    label_names: Sequence[str] = (),
    drop_unlabelled: bool = False,
) -> Dataset:
    """Load MIRFLICKR-25K, NUS-WIDE TC-21 or COCO from the field's files.

    Parameters
    ----------
    name : {"mirflickr", "nuswide", "coco"}
    files : sequence of Path
        .mat (5 or 7.3), .h5 or .npz, which together hold images, texts and labels; what an
        earlier file has is not read from a later one.
    keys : mapping of str to str, optional
        Names of "images", "texts" or "labels" in the files, where `KEYS` does not know them.
    label_names : sequence of str, optional
    drop_unlabelled : bool
        Leave out pairs without a label (1,069 of COCO's 123,287) rather than refuse.

    Returns
    -------
    Dataset
        The note says which of the known sizes it is, or that it is none.

    Raises
    ------
    SourceError
        If arrays are missing, counts or classes do not match, or labels are not 0/1.

    Notes
    -----
    Every array is held whole: MIRFLICKR's pixels take 3 GB, NUS-WIDE's 30 GB.
    """
    if name not in CLASSES:
        raise SourceError(f"no data set named {name!r}", " or ".join(CLASSES), "Use one of them.")
    names = {what: (keys[what],) if keys and what in keys else KEYS[what] for what in KEYS}
    arrays = read_arrays(files, names)
    labels, texts = arrays["labels"], arrays["texts"]
    n = _common_length(name, labels, texts)
    labels = _as_labels(name, _by_rows(labels, n))
    if labels.shape[1] != CLASSES[name]:
        raise SourceError(
            f"{name} has {labels.shape[1]} classes in these files",
            f"{CLASSES[name]}",
            "Check that the labels are of this data set.",
        )
    kept = labels.any(axis=1) if drop_unlabelled else np.ones(n, np.bool_)
    images = _as_images(_by_rows(arrays["images"], n))
    if len(images) == n and not kept.all():
        images = images[kept]
    count = int(kept.sum())
    return Dataset(
        name=name,
        images=images,
        texts=_compact(_by_rows(texts, n)[kept]),
        labels=labels[kept],
        label_names=tuple(label_names) or tuple(f"class {i}" for i in range(labels.shape[1])),
        note=SIZES[name].get(count, f"{count:,} pairs, none of the field's sizes"),
    )


def load_mirflickr_npz(path: Path) -> Dataset:
    """Load MIRFLICKR-25K with pooled image features, from one .npz of arrays and packed tags.

    The file holds ``image_pca512`` float16 (n, 512), ``tags`` uint8 (packed bits, high bit
    first), ``n_tags``, ``labels`` uint8 (n, c) and ``label_names``.
    """
    wanted = ("image_pca512", "tags", "n_tags", "labels", "label_names")
    arrays = read_arrays([path], {name: (name,) for name in wanted})
    return Dataset(
        name="mirflickr",
        images=arrays["image_pca512"],
        texts=np.unpackbits(arrays["tags"], axis=1, count=int(arrays["n_tags"])),
        labels=arrays["labels"],
        label_names=tuple(str(name) for name in arrays["label_names"]),
        note="reconstructed alignment",
    )


def load_wikipedia(files: Sequence[Path]) -> Dataset:
    """Load Wikipedia (Rasiwasia et al., ACM MM 2010): SIFT words, LDA topics, 10 classes.

    Parameters
    ----------
    files : sequence of Path
        Together they hold ``I_tr``, ``I_te``, ``T_tr``, ``T_te``, ``L_tr`` and ``L_te``
        (classes 1 to 10); the original ``raw_features.mat`` has no labels, copies do.

    Returns
    -------
    Dataset
        The training pairs first, then the test pairs, as `splits.wikipedia_split` expects.
    """
    parts = [f"{what}_{part}" for what in "ITL" for part in ("tr", "te")]
    arrays = read_arrays(files, {part: (part,) for part in parts})
    for part in ("tr", "te"):
        counts = {what: len(arrays[f"{what}_{part}"]) for what in "ITL"}
        if len(set(counts.values())) > 1:
            raise SourceError(
                f"wikipedia: {counts['I']} images, {counts['T']} texts and {counts['L']} labels "
                f"of part {part}",
                "as many of each",
                "Take all from one release.",
            )
    images, texts, classes = (
        np.concatenate([arrays[f"{what}_tr"], arrays[f"{what}_te"]]) for what in "ITL"
    )
    count = len(WIKIPEDIA_CLASSES)
    if classes.size != len(classes) or classes.min() < 1 or classes.max() > count:
        raise SourceError(
            f"wikipedia: classes of shape {classes.shape} from {classes.min()} to {classes.max()}",
            f"one number from 1 to {count} a pair",
            "Check the labels' file.",
        )
    numbers = classes.reshape(-1).astype(np.int64)
    return Dataset(
        name="wikipedia",
        images=images.astype(np.float32),
        texts=texts.astype(np.float32),
        labels=np.eye(count, dtype=np.uint8)[numbers - 1],
        label_names=WIKIPEDIA_CLASSES,
    )


def _common_length(name: str, labels: Array, texts: Array) -> int:
    """The number of items: an axis that labels and texts share, the first if both do."""
    for axis in labels.shape:
        if axis in texts.shape:
            return int(axis)
    raise SourceError(
        f"{name}: labels of shape {labels.shape} and texts of shape {texts.shape}",
        "an axis of equal length, the pairs",
        "Take both from one release.",
    )


def _by_rows(array: Array, n: int) -> Array:
    """The axis of length n first; MATLAB puts it last for pixels. Else as it is."""
    if array.ndim > 1 and len(array) != n and array.shape[-1] == n:
        return np.moveaxis(array, -1, 0)
    return array


def _as_labels(name: str, labels: Array) -> Array:
    wrong = (labels != 0) & (labels != 1)
    if labels.ndim != 2 or wrong.any():
        example = labels[wrong][0] if wrong.any() else "none"
        raise SourceError(
            f"{name}: labels of shape {labels.shape} with {int(wrong.sum())} values that are "
            f"neither 0 nor 1 (the first: {example})",
            "a matrix of 0 and 1, a column a class",
            "Recode them.",
        )
    return np.ascontiguousarray(labels.astype(np.uint8))


def _as_images(images: Array) -> Array:
    """Pixels as uint8 (n, 3, height, width), features as they are or in float32."""
    if images.ndim == 4:
        first = images.transpose(0, 3, 1, 2) if images.shape[-1] == 3 else images
        return np.ascontiguousarray(first)
    small = images.dtype in (np.float16, np.float32)
    return images if small else images.astype(np.float32)


def _compact(texts: Array) -> Array:
    """Bags of small whole numbers as uint8, all else as float32."""
    small = texts.astype(np.uint8) if texts.size and 0 <= texts.min() <= texts.max() < 256 else None
    if small is not None and (small == texts).all():
        return small
    return texts.astype(np.float32)
