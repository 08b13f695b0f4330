"""What lies in a folder, and what is passed over."""

import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from ssah_index.errors import SourceError
from ssah_index.ingest import listing, open_reader
from ssah_index.ingest.listing import IMAGE_SUFFIXES, list_folder
from tests.ingest.sources import ODD, jsonl, photos, read, told


def test_every_suffix_of_images_is_one_that_pillow_opens():
    Image.init()
    known = Image.registered_extensions()
    assert {suffix for suffix in IMAGE_SUFFIXES if known.get(suffix) not in Image.OPEN} == set()


def test_usual_suffixes_are_taken_in_any_case(tmp_path):
    photos(tmp_path, "a.jfif", "b.JPE", "c.jp2", "d.Jpg", "e.TIFF", "f.avif")
    assert len(read(tmp_path)[0]) == 6


def test_what_is_passed_over_is_counted_by_kind(tmp_path):
    photos(
        tmp_path, "a.jpg", "1.heic", "2.heic", "s/3.HEIC", "b.svg", "plain", "s/plain",
        "t/b.tsv", "x.json", "y.jsonl.gz", "._a.jpg", ".DS_Store", "__MACOSX/._a.jpg", "Thumbs.db",
        "@eaDir/a.jpg", ".ipynb_checkpoints/a.jpg",
    )  # fmt: skip
    photos(tmp_path / "else", "b.jpg")
    (tmp_path / "more").symlink_to(tmp_path / "else")
    (tmp_path / "circle").symlink_to(tmp_path)
    items, failures = read(tmp_path)
    assert ([item.id for item in items], failures) == (["a.jpg", "else/b.jpg"], [])
    line = "skipped: 3 .heic, 2 without a suffix, 1 .svg, 1 .json, 1 .jsonl.gz, 1 .tsv, "
    parts = told(tmp_path).splitlines()[-1].removeprefix("skipped: ").split(", ")
    assert set(line.removeprefix("skipped: ").strip(", ").split(", ")) < set(parts)
    assert parts[:2] == ["3 .heic", "2 without a suffix"]
    assert ", ".join(parts[-3:]) == "2 linked folders (circle, more), 6 hidden"


def test_three_heic_and_a_linked_folder(tmp_path):
    photos(tmp_path, "a.jpg", "1.heic", "2.heic", "3.heic")
    (tmp_path / "more").symlink_to(photos(tmp_path.with_name("else"), "b.jpg"))
    assert "skipped: 3 .heic, 1 linked folder (more)" in told(tmp_path)


def test_names_that_would_not_show_are_written_out(tmp_path):
    photos(tmp_path, "a.jpg", "b.\x1b[31m", "c.\n", os.fsdecode(b"d.\xff"), "e." + "x" * 200)
    line = told(tmp_path).splitlines()[-1]
    for word in ("1 '.\\x1b[31m'", "1 '.\\n'", "1 .\\xff", "121 more"):
        assert word in line


def test_many_kinds_are_added_up(tmp_path):
    photos(tmp_path, "a.jpg", *(f"{number}.k{number}" for number in range(14)))
    assert told(tmp_path).endswith("4 others")


def test_hidden_images_of_a_hidden_source_are_taken(tmp_path):
    photos(tmp_path / ".photos", "a.jpg", ".b.jpg")
    assert [item.id for item in read(tmp_path / ".photos")[0]] == ["a.jpg"]


def test_folders_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    photos(tmp_path, "a.jpg", "secret/b.jpg", os.fsdecode(b"s\xff/c.jpg"))
    scandir = os.scandir

    def refuse(path):
        if Path(path).name.startswith("s"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    line = "2 unreadable folders (s\\xff: Permission denied, secret: Permission denied)"
    assert line in told(tmp_path)
    with pytest.raises(SourceError, match=r"cannot be read \(Permission denied\)"):
        list_folder(tmp_path / "secret")


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["odd.jpg", "a.txt", "odd.jsonl", "odd"])
def test_what_is_no_file_is_never_opened(tmp_path, kind, name, monkeypatch):
    photos(tmp_path, "a.jpg", "b.jpg")
    monkeypatch.chdir(tmp_path)
    ODD[kind](tmp_path / name)
    items, failures = read(tmp_path)
    assert [item.id for item in items] == ["a.jpg", "b.jpg"]
    if kind == "a folder" or name in ("odd.jsonl", "odd"):
        assert failures == []
    else:
        (failure,) = failures
        assert failure.id == name.replace(".txt", ".jpg")
        assert failure.modality == ("text" if name == "a.txt" else "image")
        assert failure.reason.startswith(kind)
    if name == "odd" and kind != "a folder":
        word = "broken link" if kind.startswith("no") else "special file"
        assert f"skipped: 1 {word}" in told(tmp_path)


def test_links_to_files_are_followed(tmp_path):
    photos(tmp_path.with_name("away"), "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path.with_name("away") / "a.jpg")
    (tmp_path.with_name("away") / "a.txt").write_text("linked")
    (tmp_path / "b.txt").symlink_to(tmp_path.with_name("away") / "a.txt")
    assert [(item.id, item.text) for item in read(tmp_path)[0]] == [("b.jpg", "linked")]


def test_names_and_contents_that_are_no_unicode_cost_one_row(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg", os.fsdecode(b"\xff.jpg"), "c.jpg")
    (tmp_path / os.fsdecode(b"\xfe.txt")).write_text("a name")
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("beside")
    (tmp_path / "a.txt").write_bytes("ä".encode("latin-1"))
    (tmp_path / "b.txt").write_bytes("ä".encode("utf-16"))
    (tmp_path / "c.txt").write_bytes("\ufeffä".encode())
    items, failures = read(tmp_path)
    assert [(item.id, item.text) for item in items] == [
        ("a.jpg", None), ("b.jpg", None), ("c.jpg", "ä"),
    ]  # fmt: skip
    assert [(failure.id, failure.modality) for failure in failures] == [
        ("a.jpg", "text"), ("b.jpg", "text"), ("\\xff.jpg", ""), ("\\xfe.txt", "text"),
    ]  # fmt: skip
    for failure in failures:
        f"{failure.id}{failure.source}{failure.reason}".encode()


def test_a_text_beside_an_image_may_be_composed_otherwise(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    photos(tmp_path, f"{decomposed}.jpg")
    (tmp_path / f"{composed}.txt").write_text("accent")
    assert [item.text for item in read(tmp_path)[0]] == ["accent"]
    (tmp_path / f"{decomposed}.txt").write_text("the very name")
    items, (failure,) = read(tmp_path)
    assert [item.text for item in items] == ["the very name"]
    assert failure.reason == "no image of the same stem"


def test_two_texts_beside_an_image_are_one_too_many(tmp_path):
    photos(tmp_path, "a.jpg")
    for name in ("a.txt", "a.TXT"):
        (tmp_path / name).write_text(name)
    items, (failure,) = read(tmp_path)
    assert [item.text for item in items] == [None]
    assert failure.reason == "2 texts lie beside it: 'a.TXT', 'a.txt'"


def test_a_folder_of_many_levels_is_listed_or_named(tmp_path):
    photos(tmp_path, "/".join(["d"] * 300) + "/a.jpg")
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(20):  # deeper than a path may be long
            os.mkdir("x" * 250, dir_fd=here)
            below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    assert len(read(tmp_path)[0]) == 1
    assert "1 unreadable folder" in told(tmp_path)


def test_an_empty_folder_says_what_it_holds(tmp_path):
    photos(tmp_path, "a.heic", ".b.jpg")
    with pytest.raises(SourceError, match=r"no images among its 2 files \(skipped: 1 .heic, 1 hid"):
        open_reader(tmp_path)


def test_what_a_table_leaves_unused_is_counted(tmp_path):
    photos(tmp_path, "a.jpg", "meta/pairs.jsonl", "other.csv", "a.txt")
    jsonl(tmp_path / "meta/pairs.jsonl", {"path": "a.jpg", "text": "a"})
    assert told(tmp_path, "meta/pairs.jsonl").endswith("skipped: 1 .txt, 1 .csv")
    (tmp_path / "other.csv").write_text("path,text\na.jpg,b\n")
    assert told(tmp_path).endswith("skipped: 1 .jsonl, 1 .txt")
