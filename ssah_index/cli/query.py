"""ssah-index query: texts, images or codes in, ordered hits out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import click

from ssah_index.cli.answers import Answerer, Plan
from ssah_index.cli.console import is_terminal, say
from ssah_index.cli.queries import Kind
from ssah_index.cli.streams import batches_of_lines, has_lines
from ssah_index.codes import check_k_and_radius
from ssah_index.errors import QueryError
from ssah_index.search import open_store
from ssah_index.types import MODALITIES, BitOrder, Modality


@click.command("query")
@click.argument("store")
@click.option("--text", "texts", multiple=True, help="A text to search by; may be repeated.")
@click.option("--image", "images", multiple=True, help="An image file to search by.")
@click.option("--code", "codes", multiple=True, help="A code to search by, in hexadecimal.")
@click.option(
    "--bitorder", type=click.Choice(["little", "big"]), default="little", show_default=True,
    help="Bit order of the bytes of codes; np.packbits packs \"big\" unless told otherwise.",
)  # fmt: skip
@click.option(
    "--lines", type=click.Choice(["text", "image", "code"]), default="text", show_default=True,
    help="What a line of standard input is, when no query is given above.",
)  # fmt: skip
@click.option("-k", type=int, help="Hits a query.  [default: 10]")
@click.option("--radius", type=int, help="Greatest distance in bits, inclusive.")
@click.option(
    "--find", type=click.Choice(["other", "image", "text", "any"]), default="other",
    show_default=True, help="What to find; other: images for a text and texts for an image.",
)  # fmt: skip
@click.option(
    "--format", "format_", type=click.Choice(["jsonl", "table", "ids"]),
    help="Output.  [default: table on a terminal, jsonl on a pipe]",
)  # fmt: skip
@click.option(
    "-0", "--null", is_flag=True, help="With --format ids: end each id with NUL, not a newline."
)
@click.option("--threads", type=int, help="Most cores to use.  [default: all]")
@click.option("--exit-status", is_flag=True, help="Exit with 1 if some query has no hit.")
def command(
    store: str,
    texts: Sequence[str],
    images: Sequence[str],
    codes: Sequence[str],
    bitorder: str,
    lines: str,
    k: int | None,
    radius: int | None,
    find: str,
    format_: str | None,
    null: bool,
    threads: int | None,
    exit_status: bool,
) -> int:
    """Find the items of STORE nearest to each query, by Hamming distance.

    Queries are --text, --image and --code, or else the lines of standard input. Hits come
    in the order of distance, then of insertion; a query that fails gives one record with
    its error, and exit code 3. Lines are UTF-8 and end with LF or CRLF, a byte order mark
    before the first is skipped; images may have any name.

    In JSONL, NaN and infinite numbers are null, dates and decimals are text, and bytes are
    hexadecimal text. What an encoder leaves out of a query is in the "warnings" of its hits;
    a column of that name of yours is then "warnings_".

    \b
    ssah-index query icons.ssah --text "arrow left"
    cat words.txt | ssah-index query icons.ssah -k 3 | jq .id
    """
    if k is None and radius is None:
        k = 10
    check_k_and_radius(k, radius)
    format_ = format_ or ("table" if is_terminal() else "jsonl")
    if null and format_ != "ids":
        raise QueryError(f"-0 is given for {format_}", "--format ids", "Add it, or leave out -0.")
    searcher = open_store(store)
    if find in MODALITIES and not searcher.snapshot.count(find):
        raise QueryError(
            f"{store} holds no {find}s", "something to find", "Leave out --find, or use --find any."
        )
    plan = Plan(
        k=k,
        radius=radius,
        find=None if find in ("any", "other") else cast(Modality, find),
        threads=threads,
        format=format_,
        null=null,
        bitorder=cast(BitOrder, bitorder),
    )
    answerer = Answerer(searcher, plan, cross=find == "other")
    given: list[tuple[Kind, Sequence[str]]] = [("text", texts), ("image", images), ("code", codes)]
    if any(values for _, values in given):
        for kind, values in given:
            answerer.answer(kind, values)
    elif not has_lines():
        raise QueryError(
            "there is no query",
            "--text, --image, --code, or lines on standard input",
            'Try: ssah-index query STORE --text "arrow left"',
        )
    else:
        for batch in batches_of_lines():
            answerer.answer(cast(Kind, lines), batch)
    if answerer.failed:
        say(f"{answerer.failed} of {answerer.asked} queries failed")
        return 3
    return 1 if exit_status and answerer.empty else 0
