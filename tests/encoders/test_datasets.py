import json
from dataclasses import replace

import numpy as np
import pytest

from encoders.datasets import Dataset, load_dataset, load_mirflickr_npz, load_wikipedia
from encoders.matfiles import optional, read_arrays
from encoders.splits import PROTOCOLS, Split, make_split, split_for
from ssah_index.errors import MissingExtraError, SourceError, SpecError
from tests.encoders.data_sets import DATA, MIRFLICKR, WIKIPEDIA, needs

N = 12


def arrays(classes=24, n=N):
    random = np.random.default_rng(0)
    labels = (random.random((n, classes)) < 0.1).astype(np.float64)
    labels[np.arange(n), np.arange(n) % classes] = 1
    return {
        "IAll": random.integers(0, 255, (n, 3, 4, 5), dtype=np.uint8),
        "YAll": (random.random((n, 30)) < 0.2).astype(np.float64),
        "LAll": labels,
    }


def write_mat5(path, content):
    pytest.importorskip("scipy").io.savemat(path, content)
    return path


def write_h5(path, content, matlab=False):
    with pytest.importorskip("h5py").File(path, "w") as file:
        for name, array in content.items():
            node = file.create_dataset(name, data=array.T if matlab else array)
            if matlab:
                node.attrs["MATLAB_class"] = np.bytes_("double")
        file.create_group("param")
    return path


def as_matlab(content):
    """The layout of the field's .mat: pixels (height, width, 3, n)."""
    return content | {"IAll": content["IAll"].transpose(2, 3, 1, 0)}


def check(data, content):
    np.testing.assert_array_equal(data.images, content["IAll"])
    np.testing.assert_array_equal(data.texts, content["YAll"])
    np.testing.assert_array_equal(data.labels, content["LAll"])
    assert (data.images.dtype, data.texts.dtype, data.labels.dtype) == (np.uint8,) * 3
    assert len(data) == N
    assert data.note == "12 pairs, none of the field's sizes"


def test_mat_files_of_version_5_one_array_each(tmp_path):
    content = arrays()
    files = [
        write_mat5(tmp_path / f"{name}.mat", {name: array})
        for name, array in as_matlab(content).items()
    ]
    check(load_dataset("mirflickr", files), content)


def test_mat_files_of_version_7_3(tmp_path):
    content = arrays()
    path = write_h5(tmp_path / "FLICKR-25K.mat", as_matlab(content), matlab=True)
    check(load_dataset("mirflickr", [path]), content)


def test_matlab_puts_its_own_block_before_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    content = arrays(21)
    path = tmp_path / "nus.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in content.items():
            file[name] = array
    check(load_dataset("nuswide", [path]), content)


def test_hdf5_and_npz_with_other_names_and_turned_axes(tmp_path):
    content = arrays(80)
    turned = {"images": content["IAll"], "tags": content["YAll"].T, "lab": content["LAll"].T}
    check(load_dataset("coco", [write_h5(tmp_path / "coco.h5", turned)]), content)
    np.savez(tmp_path / "coco.npz", bag=content["YAll"], L=content["LAll"], I=content["IAll"])
    data = load_dataset("coco", [tmp_path / "coco.npz"], keys={"texts": "bag"})
    check(data, content)


def test_features_and_topics_become_float32(tmp_path):
    content = arrays()
    content |= {"IAll": np.ones((N, 7)), "YAll": content["YAll"] / 3}
    data = load_dataset("mirflickr", [write_mat5(tmp_path / "f.mat", content)])
    assert (data.images.dtype, data.texts.dtype) == (np.float32, np.float32)


def save_npz(path, **change):
    np.savez(path, **(arrays() | change))
    return [path]


def test_missing_arrays_are_named_with_what_is_there(tmp_path):
    path = write_mat5(tmp_path / "some.mat", {"YAll": np.ones((3, 2)), "other": np.ones(3)})
    with pytest.raises(
        SourceError, match=r"no images \(IAll.*no labels \(LAll.*some.mat \(YAll, o"
    ):
        load_dataset("mirflickr", [path])


def test_what_does_not_match_is_refused_with_its_numbers(tmp_path):
    path = tmp_path / "x.npz"
    bare = arrays()["LAll"]
    bare[[2, 5, 7]] = 0
    faults = [
        ({"IAll": np.ones((9, 4))}, "9 images, 12 texts, 12 labels"),
        ({"YAll": np.ones((9, 30))}, r"labels of shape \(12, 24\) and texts of shape \(9, 30\)"),
        ({"IAll": np.ones((N, 4, 4))}, r"images are float32 \(12, 4, 4\)"),
        ({"LAll": np.ones((N, 23))}, "23 classes"),
        ({"LAll": 2 * arrays()["LAll"]}, "neither 0 nor 1"),
        ({"LAll": bare}, "3 of 12 label rows are all zeros"),
    ]
    for change, message in faults:
        with pytest.raises(SourceError, match=message):
            load_dataset("mirflickr", save_npz(path, **change))
    data = load_dataset("mirflickr", save_npz(path, LAll=bare), drop_unlabelled=True)
    assert len(data) == len(data.images) == len(data.texts) == 9
    with pytest.raises(SourceError, match="no data set named 'flickr'"):
        load_dataset("flickr", [path])


@pytest.mark.parametrize("suffix", ["mat", "h5", "npz"])
def test_files_that_cannot_be_read_are_named(tmp_path, suffix):
    pytest.importorskip("scipy")
    pytest.importorskip("h5py")
    path = tmp_path / f"cut.{suffix}"
    for content in (b"", b"\x89HDF\r\n\x1a\n and no more", b"MATLAB 5.0 MAT-file" + bytes(90)):
        path.write_bytes(content)
        with pytest.raises(SourceError, match="cut"):
            read_arrays([path], {"labels": ("LAll",)})
    with pytest.raises(SourceError, match="cannot be read"):
        read_arrays([tmp_path / "absent.mat"], {})


def test_a_reader_that_is_not_installed_is_named():
    with pytest.raises(MissingExtraError, match="nosuchreader is not installed"):
        optional("nosuchreader.io")


def test_a_cut_mat_file_is_refused(tmp_path):
    path = write_mat5(tmp_path / "cut.mat", arrays())
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SourceError, match="cannot be read"):
        load_dataset("mirflickr", [path])


def test_the_shared_npz_layout(tmp_path):
    content = arrays()
    np.savez(
        tmp_path / "m.npz",
        image_pca512=np.ones((N, 512), np.float16),
        tags=np.packbits(content["YAll"].astype(bool), axis=1),
        n_tags=30,
        labels=content["LAll"].astype(np.uint8),
        label_names=np.array([f"l{i}" for i in range(24)]),
    )
    data = load_mirflickr_npz(tmp_path / "m.npz")
    np.testing.assert_array_equal(data.texts, content["YAll"])
    assert data.note == "reconstructed alignment"
    assert data.label_names[:2] == ("l0", "l1")


def wikipedia_parts(train=20, test=10):
    parts = {}
    for part, n in (("tr", train), ("te", test)):
        parts[f"I_{part}"] = np.full((n, 128), float(n))
        parts[f"T_{part}"] = np.full((n, 10), 0.1)
        parts[f"L_{part}"] = np.arange(n)[:, None] % 10 + 1
    return parts


def test_wikipedia_lies_training_first(tmp_path):
    data = load_wikipedia([write_mat5(tmp_path / "w.mat", wikipedia_parts())])
    assert (data.images[:20] == 20).all()
    assert (data.images[20:] == 10).all()
    assert data.labels[3].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    uneven = wikipedia_parts() | {"T_te": np.ones((9, 10))}
    with pytest.raises(SourceError, match="10 images, 9 texts and 10 labels of part te"):
        load_wikipedia([write_mat5(tmp_path / "u.mat", uneven)])
    zero = wikipedia_parts() | {"L_te": np.zeros((10, 1))}
    with pytest.raises(SourceError, match="from 0"):
        load_wikipedia([write_mat5(tmp_path / "z.mat", zero)])


def test_a_data_set_reports_all_its_faults_together():
    parts = {"images": np.ones((3, 2)), "texts": np.ones((2, 2)), "labels": np.eye(3)}
    with pytest.raises(SourceError, match="3 images, 2 texts, 3 labels; labels are float64"):
        Dataset(name="own", label_names=("a", "b", "c"), **parts)


@pytest.mark.parametrize("validation", [0, 50, 200])
def test_a_split_has_the_sizes_and_keeps_its_parts_apart(validation):
    split = make_split(1000, 100, 800, 3, validation)
    assert sorted([*split.query, *split.retrieval]) == list(range(1000))
    assert np.isin(split.train, split.retrieval).all()
    assert len(split.validation) == validation
    assert len(split.train) == (800 if validation <= 100 else 800 - validation)
    assert not np.intersect1d(split.validation, split.train).size
    assert not np.intersect1d(split.validation, split.query).size
    assert split.seen().sum() == len(split.train) + validation
    np.testing.assert_array_equal(split.retrieval[split.seen()][: len(split.train)], split.train)


def test_the_seed_decides_the_split():
    assert make_split(99, 9, 30, 1).hash == make_split(99, 9, 30, 1).hash
    assert make_split(99, 9, 30, 1).hash != make_split(99, 9, 30, 2).hash
    assert make_split(99, 9, 30, 1).hash != make_split(99, 9, 30, 1, 5).hash


def test_a_seed_gives_the_same_split_for_ever():
    split = make_split(12, 3, 5, 0, 2)
    assert split.query.tolist() == [9, 2, 7]
    assert split.hash == "133748a378d174e5"


def test_a_split_survives_saving_and_refuses_changes(tmp_path):
    path = tmp_path / "split.json"
    split = make_split(99, 9, 30, 1, 5)
    split.save(path)
    loaded = Split.load(path)
    assert (loaded.hash, loaded.seed) == (split.hash, 1)
    np.testing.assert_array_equal(loaded.validation, split.validation)
    content = json.loads(path.read_text())
    content["query"].reverse()
    path.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="the file states"):
        Split.load(path)
    for text in ("", "[]", "{}", '{"query": ["a"]}'):
        path.write_text(text)
        with pytest.raises(SourceError, match="holds no split"):
            Split.load(path)
    with pytest.raises(SourceError, match="holds no split"):
        Split.load(tmp_path / "absent.json")


def test_impossible_splits_are_refused():
    for sizes in ((10, 5, 6, 0), (10, 0, 5, 0), (10, 2, 0, 0), (10, 2, 3, -1), (10, 2, 8, 8)):
        n, query, train, validation = sizes
        with pytest.raises(SpecError, match=f"of {n} pairs"):
            make_split(n, query, train, 0, validation)
    split = make_split(99, 9, 30, 1)
    with pytest.raises(SpecError, match="query and retrieval share rows"):
        replace(split, query=split.train)
    with pytest.raises(SpecError, match="train is not inside retrieval"):
        replace(split, train=split.query)
    with pytest.raises(SpecError, match="train is float64"):
        replace(split, train=split.train.astype(float))


def test_protocols_have_the_papers_sizes():
    for name, n, retrieval in (
        ("mirflickr", 20015, 18015),
        ("nuswide", 190421, 188321),
        ("nuswide", 195834, 193734),
        ("coco", 85000, 80000),
        ("coco", 122218, 117218),
        ("wikipedia", 2866, 2173),
    ):
        split = split_for(name, n, 0)
        sizes = PROTOCOLS[name]
        assert len(split.query) == sizes.query
        assert len(split.train) == sizes.train
        assert len(split.retrieval) == retrieval
    fixed = split_for("wikipedia", 2866, 0, 173)
    assert (fixed.seed, fixed.query[0], len(fixed.train)) == (-1, 2173, 2000)
    with pytest.raises(SpecError, match="no protocol for 'own'"):
        split_for("own", 10, 0)
    with pytest.raises(SpecError, match="30 pairs of wikipedia"):
        split_for("wikipedia", 30, 0)


@pytest.mark.data
@needs(MIRFLICKR)
def test_the_two_forms_of_mirflickr_agree():
    pytest.importorskip("scipy")
    data = load_mirflickr_npz(MIRFLICKR)
    folder = DATA / "mirflickr25k"
    files = [folder / "mirflickr25k-yall.mat", folder / "mirflickr25k-lall.mat", MIRFLICKR]
    field = load_dataset("mirflickr", files)
    assert (len(data), data.texts.shape[1], data.labels.shape[1]) == (20015, 1386, 24)
    for name in ("images", "texts", "labels"):
        assert (getattr(data, name) == getattr(field, name)).all()
    assert field.note == "the field's 20,015 pairs"
    split = split_for("mirflickr", len(data), 0)
    query, rest = data.labels[split.query], data.labels[split.retrieval]
    prevalence = (query.astype(np.float32) @ rest.T.astype(np.float32) > 0).mean()
    assert prevalence == pytest.approx(0.55, abs=0.02)


@pytest.mark.data
@needs(WIKIPEDIA)
def test_wikipedia_has_its_sizes():
    pytest.importorskip("scipy")
    data = load_wikipedia([WIKIPEDIA])
    assert (len(data), data.images.shape[1], data.texts.shape[1]) == (2866, 128, 10)
    assert len(split_for("wikipedia", len(data), 0).query) == 693
    with pytest.raises(SourceError, match=r"no L_tr \(L_tr\)"):
        load_wikipedia([WIKIPEDIA.with_name("raw_features.mat")])
