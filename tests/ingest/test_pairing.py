"""Tables of paths and texts beside a folder of images."""

import os
import unicodedata

import pytest

from ssah_index.errors import SourceError
from ssah_index.ingest import build, open_reader
from ssah_index.store import Store
from tests.conftest import HashEncoder
from tests.ingest.sources import ODD, jsonl, photos, read, told

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


def pair(path, **more):
    return {"path": str(path), "text": f"text of {path}"[:50], **more}


def test_a_tables_rows_are_the_items_and_the_rest_is_counted(tmp_path):
    photos(tmp_path, *(f"{number}.jpg" for number in range(40)))
    table = jsonl(tmp_path / "pairs.jsonl", *(pair(f"{number}.jpg") for number in range(3)))
    line = "37 images are not in pairs.jsonl and are left out; --unlisted takes them in"
    for named in (None, "pairs.jsonl", str(table)):
        assert len(read(tmp_path, named)[0]) == 3
        assert line in told(tmp_path, named)
        assert len(read(tmp_path, named, unlisted=True)[0]) == 40
        assert "left out" not in told(tmp_path, named, unlisted=True)
    jsonl(table, *(pair(f"{number}.jpg") for number in range(39)))
    assert "1 image is not in pairs.jsonl and is left out; --unlisted takes it in" in told(tmp_path)


def test_tables_for_training_store_and_queries_share_a_folder(tmp_path):
    photos(tmp_path, *(f"{number}.jpg" for number in range(6)))
    for at, name in enumerate(("train", "store", "queries")):
        jsonl(tmp_path / f"{name}.jsonl", pair(f"{2 * at}.jpg"), pair(f"{2 * at + 1}.jpg"))
    build(open_reader(tmp_path, "store.jsonl"), tmp_path / "s.ssah", HashEncoder())
    snapshot = Store.open(tmp_path / "s.ssah").snapshot()
    assert snapshot.count("image") == snapshot.count("text") == 2
    assert snapshot.has(["2.jpg", "3.jpg"], "image").all()


@pytest.mark.parametrize("unlisted", [False, True])
def test_absolute_paths_name_the_files_of_a_relative_source(tmp_path, monkeypatch, unlisted):
    photos(tmp_path / "photos", "a.jpg", "sub/b.jpg", "sub/c.jpg", "d.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    jsonl(
        tmp_path / "t.jsonl",
        pair(tmp_path / "photos/a.jpg"),
        pair(tmp_path / "photos/sub/../sub/b.jpg"),
        pair("./sub//c.jpg"),
        pair(tmp_path / "link/d.jpg"),
    )
    for source in ("photos", "link", "photos/sub/.."):
        items, failures = read(source, "t.jsonl", unlisted=unlisted)
        assert failures == []
        assert len(items) == 4
        assert all(item.text for item in items)


@pytest.mark.parametrize("form", ["relative", "absolute"])
@pytest.mark.parametrize(("written", "on_disk"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_accents_are_compared_composed(tmp_path, written, on_disk, form):
    folder = photos(tmp_path / f"dir{on_disk}", f"{on_disk}/{on_disk}.jpg")
    path = f"{written}/{written}.jpg"
    path = path if form == "relative" else str(folder / path)
    jsonl(tmp_path / "t.jsonl", pair(path))
    (item,), failures = read(folder, str(tmp_path / "t.jsonl"), unlisted=True)
    assert failures == []
    assert (item.id, item.image) == (path, folder / on_disk / f"{on_disk}.jpg")


def test_the_very_file_comes_before_one_that_is_written_otherwise(tmp_path):
    names = [f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg", "a", r"s\b.jpg", "data:a.jpg"]
    photos(tmp_path, *names, "a.jpg", "s/b.jpg")
    jsonl(tmp_path / "t.jsonl", *map(pair, names))
    assert [item.image.name for item in read(tmp_path)[0]] == names


def test_a_path_without_suffix_means_the_one_image_of_its_stem(tmp_path):
    photos(tmp_path, "1.jpg", "2.jpg", "2.png", "v1.5.jpg", "s/3.jpeg", "4.jpg.png", "5.heic")
    jsonl(tmp_path / "t.jsonl", *map(pair, ("1", "2", "v1.5", "s/3", "4.jpg", r"s\3", "5")))
    items, failures = read(tmp_path)
    named = {item.id: item.image and item.image.name for item in items}
    assert named == {
        "1": "1.jpg", "2": None, "v1.5": "v1.5.jpg", "s/3": "3.jpeg", "4.jpg": None,
        r"s\3": "3.jpeg", "5": None,
    }  # fmt: skip
    assert [failure.reason for failure in failures] == [
        "'2' means 2 images: '2.jpg', '2.png'", "no such file: '4.jpg'", "no such file: '5'",
    ]  # fmt: skip


def test_another_case_is_another_file_and_told(tmp_path):
    photos(tmp_path, "a.jpg")
    jsonl(tmp_path / "t.jsonl", pair("A.JPG"))
    _, (failure,) = read(tmp_path)
    words = "no such file: 'A.JPG'; 'a.jpg' differs by upper and lower case"
    assert failure.reason == words


def test_a_table_may_name_files_that_a_listing_passes_over(tmp_path):
    photos(tmp_path / "in", ".hidden/a.jpg", "b.heic", "c")
    photos(tmp_path / "out", "d.jpg")
    jsonl(tmp_path / "t.jsonl", *map(pair, (".hidden/a.jpg", "b.heic", "c", "../out/d.jpg")))
    items, failures = read(tmp_path / "in", str(tmp_path / "t.jsonl"))
    assert (len(items), failures) == (4, [])


FAULTS = {
    "x" * 5000: "no such file (File name too long): 'xxx",
    "d/" * 2500 + "a.jpg": "no such file (File name too long)",
    "nul\0.jpg": "no such file (embedded null byte): 'nul\\x00.jpg'",
    "/" + "d/" * 2500 + "a.jpg": "no such file (File name too long)",
    "a\u0316\u0300" * 100_000: "no such file (File name too long)",
    "data:image/png;base64," + "A" * 100_000: "no file but a URL: 'data:image/png",
    "https://example.org/a.jpg": "no file but a URL: 'https://example.org/a.jpg'; download it",
    "s3://bucket/a.jpg": "no file but a URL",
    "absent.jpg": "no such file: 'absent.jpg'",
    "a.jpg/b.jpg": "no such file (Not a directory)",
    ".": "a folder, not a file",
    "/": "a folder, not a file",
    "..": "a folder, not a file",
    "~": "no such file",
    "*.jpg": "no such file",
    "/dev/null": "a device, not a file",
    "/proc/self/mem/x": "no such file",
}


@pytest.mark.parametrize("path", FAULTS)
def test_a_path_that_is_no_files_costs_its_image(tmp_path, path):
    photos(tmp_path, "a.jpg")
    jsonl(tmp_path / "t.jsonl", pair("a.jpg"), {"path": path, "text": "kept"}, {"path": path})
    items, failures = read(tmp_path)
    assert [(item.text, item.image is None) for item in items] == [
        ("text of a.jpg", False), ("kept", True),
    ]  # fmt: skip
    assert [failure.modality for failure in failures] == ["image", "image"]
    for failure in failures:
        assert failure.reason.startswith(FAULTS[path])
        assert len(failure.reason + failure.id + failure.source) < 1000


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_never_opened(tmp_path, kind, monkeypatch):
    photos(tmp_path, "a.jpg")
    monkeypatch.chdir(tmp_path)
    ODD[kind](tmp_path / "odd.jpg")
    jsonl(tmp_path / "t.jsonl", pair("odd.jpg"), pair("a.jpg"))
    report = build(open_reader(tmp_path), tmp_path / "s.ssah", HashEncoder())
    assert (report.written, report.failed) == (3, 1)
    (failure,) = Store.open(tmp_path / "s.ssah").snapshot().failures()
    assert (failure.modality, failure.id) == ("image", "odd.jpg")
    assert failure.reason.startswith(kind)
    assert len(read(tmp_path, unlisted=True)[1]) == 1
    assert "left out" not in told(tmp_path)


def test_missing_images_and_missing_texts_are_counted(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    jsonl(tmp_path / "t.jsonl", pair("a.jpg"), {"path": "b.jpg"}, pair("x.jpg"), pair("y.jpg"))
    lines = told(tmp_path).splitlines()
    assert lines[:2] == [
        "2 images, 3 texts, 0 labelled, 0 labels, 2 cannot be read",
        "1 image without a text, 2 texts without an image",
    ]
    (tmp_path / "t.jsonl").unlink()
    for name in ("a", "alone"):
        (tmp_path / f"{name}.txt").write_text("text")
    assert told(tmp_path).splitlines() == [
        "3 images, 1 text, 0 labelled, 0 labels, 1 cannot be read",
        "2 images without a text, 1 text without an image",
    ]


def test_one_image_may_have_several_rows_with_ids_of_their_own(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    jsonl(tmp_path / "t.jsonl", pair("a.jpg", id=1), pair("a.jpg", id=2), pair("a.jpg", id=2))
    items, (failure,) = read(tmp_path)
    assert [item.id for item in items] == ["1", "2"]
    assert failure.reason == "id '2' is taken by a.jpg"


def test_a_table_without_an_image_in_the_folder_is_read(tmp_path):
    photos(tmp_path / "away", "a.jpg")
    folder = photos(tmp_path / "in", "notes.md")
    jsonl(folder / "t.jsonl", pair(tmp_path / "away/a.jpg"))
    assert len(read(folder)[0]) == 1
    (folder / "t.jsonl").write_text("")
    with pytest.raises(SourceError, match=r"t\.jsonl has no lines"):
        open_reader(folder)


def test_a_table_that_is_not_about_the_images_may_be_moved_away(tmp_path):
    photos(tmp_path, "a.jpg")
    (tmp_path / "camera.tsv").write_text("model\tlens\nX\tY\n")
    with pytest.raises(SourceError, match=r"no column 'path' but 'lens', 'model'.*move the table"):
        open_reader(tmp_path)


def test_a_table_of_that_name_in_both_places_is_refused(tmp_path, monkeypatch):
    folder = photos(tmp_path / "in", "a.jpg")
    monkeypatch.chdir(tmp_path)
    jsonl(folder / "t.jsonl", pair("a.jpg"))
    assert len(read("in", "t.jsonl")[0]) == 1
    jsonl(tmp_path / "t.jsonl", pair("a.jpg"))
    with pytest.raises(SourceError, match=r"t\.jsonl is there twice.*whole path"):
        open_reader("in", "t.jsonl")
    assert len(read("in", str(folder / "t.jsonl"))[0]) == 1
    monkeypatch.chdir(folder)
    assert len(read(".", "t.jsonl")[0]) == 1


def refuse(path, **_):
    raise PermissionError(13, "Permission denied", str(path))


def test_options_of_folders_are_refused_beside_a_table(tmp_path, monkeypatch):
    table = jsonl(tmp_path / "t.jsonl", {"text": "a"})
    with pytest.raises(SourceError, match="--unlisted beside"):
        open_reader(table, unlisted=True)
    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(SourceError, match=r"t\.jsonl: it cannot be read \(Permission denied\)"):
        open_reader(table)
    monkeypatch.undo()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe: a FIFO, not a file"):
        open_reader(tmp_path / "pipe")
