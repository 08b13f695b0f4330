"""ssah-index train: pairs of images and texts in, an encoder folder out."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import click

from ssah_index.cli.console import progress, say
from ssah_index.cli.source import read_source, source_options
from ssah_index.errors import EncoderError
from ssah_index.ingest import SourceSpec
from ssah_index.plugins import encoder_kind
from ssah_index.store.files import writing
from ssah_index.types import Item


@click.command("train")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("encoder", type=click.Path(path_type=Path))
@source_options
@click.option("--bits", default=64, show_default=True, help="Code width, a multiple of 8.")
@click.option("--passes", type=int, help="Passes over the data; 0 leaves it untrained.")
@click.option("--seed", default=0, show_default=True, help="Seed of every random choice.")
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of the pairs held out to choose the best pass by; default: none.",
)
@click.option(
    "--image-trunk",
    help="What images go through: pixels (default), efficientnet-lite0, efficientnet-lite2, "
    "cnn-f:PATH, vgg-19:PATH, timm:NAME or open_clip:NAME/WEIGHTS.",
)
@click.option("--fine-tune", is_flag=True, help="Train the named trunk too.")
@click.option("--text-encoder", help="What texts go through: bag (default) or minilm.")
@click.option("--log", type=click.Path(path_type=Path), help="CSV file with a row a pass.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    source: Path,
    encoder: Path,
    spec: SourceSpec,
    bits: int,
    passes: int | None,
    seed: int,
    validation: float | None,
    log: Path | None,
    image_trunk: str | None,
    fine_tune: bool,
    text_encoder: str | None,
    quiet: bool,
) -> None:
    """Train an encoder on SOURCE and write it to the folder ENCODER.

    SOURCE is a folder of images with texts beside them: a .txt file of the same stem, or
    one table (.jsonl, .csv, .tsv, .parquet) with the columns path, text and labels. Where no row
    has labels, the words that stand in many texts serve as labels. A run that was interrupted
    goes on from ENCODER.checkpoint, which lies beside ENCODER until it is finished.
    """
    if encoder.exists():
        raise EncoderError(
            f"there is something at {encoder} already",
            "a path that is free",
            "Choose another path, or remove what is there.",
        )
    reader = read_source(source, spec, quiet)
    items = [row for row in reader.read(0, len(reader)) if isinstance(row, Item)]
    chosen = {
        "bits": bits,
        "seed": seed,
        "passes": passes,
        "validation_share": validation,
        "image_trunk": image_trunk,
        "fine_tune": fine_tune,
        "text_encoder": text_encoder,
    }
    options = {name: value for name, value in chosen.items() if value is not None}
    with progress(quiet) as show:
        trained = encoder_kind("ssah").train(
            items,
            options=options,
            report=(lambda _: None) if quiet else say,
            progress=show,
            resume=encoder.with_name(f"{encoder.name}.checkpoint"),
            log=log,
        )
    with writing(encoder):
        temporary = encoder.with_name(f".{encoder.name}.{uuid.uuid4().hex[:8]}.new")
        try:
            temporary.mkdir(parents=True)
            trained.save(temporary)
            temporary.rename(encoder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if not quiet:
        say(f"encoder {trained.fingerprint} of {trained.bits} bits is in {encoder}")
