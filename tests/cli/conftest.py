"""One small trained store that the tests of the commands share and leave as it is."""

import json
import shutil

import pytest

from ssah_index.cli.main import main
from ssah_index.plugins import encoder_kind
from ssah_index.types import no_progress
from tests.commands import run_cli


@pytest.fixture(scope="session")
def folder(world, tmp_path_factory):
    """A folder of 120 images with a table, one of them cut short and one without text."""
    folder = tmp_path_factory.mktemp("cli") / "pairs"
    folder.mkdir()
    lines = []
    for item in world[:120]:
        shutil.copy(item.image, folder / item.id)
        record = {"path": item.id, "text": item.text, "labels": item.labels}
        lines.append(json.dumps(record))
    (folder / "cut.png").write_bytes(world[0].image.read_bytes()[:200])
    lines.append(json.dumps({"path": "cut.png", "text": ""}))
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def encoder(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder")
    trained = encoder_kind("ssah").train(
        world[:120],
        options={"bits": 32, "passes": 8, "batch_rows": 32, "image_size": 32},
        report=lambda _: None,
        progress=no_progress,
    )
    trained.save(path)
    return path


@pytest.fixture(scope="session")
def store(folder, encoder):
    path = folder.parent / "pairs.ssah"
    told = run_cli("build", folder, path, "--encoder", encoder, expect=3)
    assert told.stdout == ""
    assert "240 rows written" in told.stderr
    assert "2 rows failed" in told.stderr
    return path


@pytest.fixture
def call(capsys):
    """Run a command in this process, which has torch loaded, and check its exit code."""

    def run(*words, expect=0):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        told = capsys.readouterr()
        assert ended.value.code == expect, told.err
        return told

    return run
