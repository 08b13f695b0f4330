"""ssah-index train: pairs of images and texts in, an encoder folder out."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ssah_index.cli.console import progress, say
from ssah_index.cli.source import read_source, source_options, split_rows
from ssah_index.errors import EncoderError, SpecError
from ssah_index.ingest import SourceSpec
from ssah_index.plugins import encoder_kind
from ssah_index.store.files import make_folder, sync, sync_tree, writing
from ssah_index.types import CheckingKind, Encoder, Failure, ReportingEncoder

INTERRUPTED = 130


@click.command("train")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("encoder", type=click.Path(path_type=Path))
@source_options
@click.option("--bits", type=int, help="Code width, a multiple of 8; default: 64.")
@click.option("--passes", type=int, help="Passes over the data; 0 leaves it untrained.")
@click.option(
    "--batch-rows", type=int, help="Pairs a step; default: 256, or all if there are fewer."
)
@click.option("--learning-rate", type=float, help="Peak rate; lower it if training diverges.")
@click.option("--seed", type=int, help="Seed of every random choice; default: 0.")
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of the pairs held out to choose the best pass by; default: none.",
)
@click.option("--preset", help="Objective and defaults: modern (default), paper or official.")
@click.option(
    "--image-trunk",
    help="What images go through: pixels (default), efficientnet-lite0, efficientnet-lite2, "
    "cnn-f:PATH, vgg-19:PATH, timm:NAME or open_clip:NAME/WEIGHTS.",
)
@click.option("--fine-tune", is_flag=True, help="Train the named trunk too.")
@click.option("--text-encoder", help="What texts go through: bag (default) or minilm.")
@click.option(
    "--min-word-texts", type=int, help="Texts a word must stand in to be known; default: 1."
)
@click.option("--max-words", type=int, help="Most words that are known; default: 8192.")
@click.option(
    "--min-label-texts",
    type=int,
    help="Without labels: texts a word must stand in to serve as one; default: 30.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE",
    help="Any other field of TrainSpec, such as dropout=0.2; can be given several times.",
)  # fmt: skip
@click.option("--log", type=click.Path(path_type=Path), help="CSV file with a row a pass.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    source: Path,
    encoder: Path,
    spec: SourceSpec,
    validation: float | None,
    settings: tuple[str, ...],
    log: Path | None,
    quiet: bool,
    fine_tune: bool,
    **chosen: int | float | str | None,
) -> int:
    """Train an encoder on SOURCE and write it to the folder ENCODER.

    SOURCE is a folder of images with texts beside them: a .txt file of the same stem, or
    one table (.jsonl, .csv, .tsv, .parquet) with the columns path, text and labels. Where no row
    has labels, the words that stand in many texts, but not in most, serve as labels. A run
    that was interrupted goes on from ENCODER.checkpoint, which lies beside ENCODER until it
    is finished. Exits with 3 if rows of SOURCE could not be read, or if the codes tell the
    pairs apart no better than chance (they have collapsed).
    """
    chosen |= {"validation_share": validation, "fine_tune": fine_tune or None}
    options = _options({name: v for name, v in chosen.items() if v is not None}, settings)
    encoder = Path(os.path.abspath(encoder))  # noqa: PTH100 (resolve would follow a link)
    checkpoint = encoder.with_name(f"{encoder.name}.checkpoint")
    kind = encoder_kind("ssah")
    _require_free(encoder)
    if isinstance(kind, CheckingKind):
        kind.check(options, resume=checkpoint, log=log)
    items, failures = split_rows(read_source(source, spec, quiet))
    if failures and not quiet:
        say(_told(failures, len(items)))
    try:
        with progress(quiet) as show, writing(checkpoint):
            trained = kind.train(
                items,
                options=options,
                report=(lambda _: None) if quiet else say,
                progress=show,
                resume=checkpoint,
                log=log,
            )
    except KeyboardInterrupt as interrupt:
        say(f"Interrupted: {_kept(interrupt, checkpoint)}.")
        raise click.exceptions.Exit(INTERRUPTED) from None
    _save(trained, encoder)
    checkpoint.unlink(missing_ok=True)
    if not quiet:
        say(f"encoder {trained.fingerprint} of {trained.bits} bits is in {encoder}")
    return _outcome(trained, len(failures))


def _options(chosen: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """What is given by options of its own and by --set, together."""
    options = dict(chosen)
    for setting in settings:
        name, equals, value = setting.partition("=")
        name = name.strip().replace("-", "_")
        if not (name and equals):
            raise SpecError(f"--set {setting!r}", "NAME=VALUE", "Write as in --set dropout=0.2.")
        if name in options:
            raise SpecError(f"{name} is given twice", "one value", "Leave out all but one.")
        options[name] = _value(value.strip())
    return options


def _value(text: str) -> bool | int | float | str:
    """What a value is by its looks; the kind of encoder says whether it may be that."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text


def _require_free(encoder: Path) -> None:
    """Refuse a path that is taken or cannot be written; makes missing folders above it."""
    if os.path.lexists(encoder):
        raise EncoderError(
            f"there is something at {encoder} already",
            "a path that is free",
            "Choose another path, or remove what is there.",
        )
    with writing(encoder):
        make_folder(encoder.parent)
        probe = _beside(encoder)
        probe.mkdir()
        probe.rmdir()


def _beside(encoder: Path) -> Path:
    return encoder.with_name(f".{encoder.name}.{uuid.uuid4().hex[:8]}.new")


def _told(failures: Sequence[Failure], items: int) -> str:
    first = failures[0]
    return (
        f"{len(failures):,} of {items + len(failures):,} rows cannot be read and are left out; "
        f"the first: {first.source}: {first.reason}"
    )


def _kept(interrupt: KeyboardInterrupt, checkpoint: Path) -> str:
    """What is left of an interrupted training, and how to go on."""
    notes = getattr(interrupt, "__notes__", None)
    if notes:
        return "; ".join(notes)
    if checkpoint.exists():
        return f"what was trained before is in {checkpoint}; run the same command again to go on"
    return "nothing was trained yet; run the same command again to begin anew"


def _save(trained: Encoder, encoder: Path) -> None:
    """Put the encoder to its path in one step, on the disk before its checkpoint goes."""
    temporary = _beside(encoder)
    with writing(encoder):
        try:
            temporary.mkdir()
            trained.save(temporary)
            sync_tree(temporary)
            temporary.rename(encoder)
            sync([encoder.parent])
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _outcome(trained: Encoder, failed: int) -> int:
    """Say what a script must know of a training that is done; returns its exit code."""
    report = trained.report if isinstance(trained, ReportingEncoder) else None
    failed += report.failed if report else 0
    if failed:
        say(f"{failed:,} rows failed")
    if report and report.collapsed:
        say(report.collapsed)
    return 3 if failed or (report and report.collapsed) else 0
