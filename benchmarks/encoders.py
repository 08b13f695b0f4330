"""Encoders on three data sets: ``python -m benchmarks.encoders mirflickr|wikipedia|icons``.

Rows are baselines, ablations and presets; a cell is a run of one row, width and seed. Cells
are kept in results/encoders-<data>.json as they are finished, and one that was run with
today's options is not run again, so a table can be filled in several sittings and by several
processes. Set OMP_NUM_THREADS to what --threads says: NumPy reads it when it starts.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.cells import is_done, keep
from benchmarks.encoder_data import LOADERS, Pairs
from benchmarks.encoder_rows import DEFAULTS, options_of, row_names, train_row
from benchmarks.machine import RESULTS, describe, head
from encoders.ranking import expected_precisions, has_collapsed, map_of, mean_over_queries
from encoders.retrieval import Retrieval
from encoders.splits import Split
from ssah_index.codes import pack
from ssah_index.types import MODALITIES, Modality, other_modality

WIDTHS = {"mirflickr": [16, 32, 64, 128], "wikipedia": [16, 32, 64, 128], "icons": [64]}


def main() -> None:
    """Run the cells asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=LOADERS)
    parser.add_argument("--rows", nargs="+")
    parser.add_argument("--bits", nargs="+", type=int)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    known = row_names(chosen.data)
    if unknown := set(chosen.rows or ()).difference(known):
        parser.error(f"{chosen.data} has no rows {sorted(unknown)}, only {known}")
    torch.set_num_threads(chosen.threads)
    pairs = LOADERS[chosen.data]()
    path = RESULTS / f"encoders-{chosen.data}.json"
    for row in chosen.rows or known:
        for bits in chosen.bits or WIDTHS[chosen.data]:
            for seed in chosen.seeds:
                options = options_of(chosen.data, row, bits, seed)
                if not is_done(path, row, bits, seed, options, DEFAULTS):
                    cell = run_cell(pairs, row, bits, seed, options)
                    keep(path, cell, note=pairs.note, machine=describe("torch", "numpy"))
                    print(json.dumps({**cell, "options": len(options)}), flush=True)


def run_cell(
    pairs: Pairs, row: str, bits: int, seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Train and score one cell."""
    split, commit = pairs.split(seed), head()
    begun = time.perf_counter()
    encode = train_row(pairs, split, row, bits, seed, options)
    train_s = time.perf_counter() - begun
    return {
        "row": row,
        "bits": bits,
        "seed": seed,
        "train_s": round(train_s, 1),
        "threads": torch.get_num_threads(),
        "commit": commit,
        "options": dict(options),
        **score(pairs.labels, split, {modality: encode(modality) for modality in MODALITIES}),
    }


def score(
    labels: NDArray[Any], split: Split, outputs: Mapping[Modality, NDArray[Any]]
) -> dict[str, float | bool]:
    """MAP over the whole ranking in all four directions, prevalence, and whether codes collapsed.

    Parameters
    ----------
    labels : 0/1 (n, c)
    split : Split
    outputs : by modality, packed codes uint8 (n, bits / 8) or activations float (n, bits)

    Returns
    -------
    dict
        ``image_to_text`` and so on, ties in database order. Across modalities also with
        ``_unseen``, without the database rows that were trained on (if others are left);
        ``_expected``, the mean over all orders of ties; ``_asymmetric``, the query's
        activations against stored bits (if there are activations).
    """
    codes = {m: out if out.dtype == np.uint8 else pack(out) for m, out in outputs.items()}

    def task(queries: NDArray[Any], found: Modality) -> Retrieval:
        return Retrieval(
            queries=queries[split.query],
            query_labels=labels[split.query],
            database=codes[found][split.retrieval],
            database_labels=labels[split.retrieval],
        )

    figures: dict[str, float] = {}
    for asked in MODALITIES:
        found = other_modality(asked)
        figures |= _across(f"{asked}_to_{found}", task(codes[asked], found), split.seen())
        if outputs[asked].dtype != np.uint8:
            figures[f"{asked}_to_{found}_asymmetric"] = map_of(task(outputs[asked], found))
    within = {f"{m}_to_{m}": map_of(task(codes[m], m)) for m in MODALITIES}
    figures |= within
    collapsed = any(has_collapsed(value, figures["prevalence"]) for value in within.values())
    return {**{name: round(value, 4) for name, value in figures.items()}, "collapsed": collapsed}


def _across(name: str, task: Retrieval, seen: NDArray[np.bool_]) -> Iterator[tuple[str, float]]:
    yield name, map_of(task)
    if not seen.all():
        yield f"{name}_unseen", map_of(task.unseen(seen))
    total, relevant = task.counts()
    yield f"{name}_expected", mean_over_queries(expected_precisions(total, relevant))
    yield "prevalence", float(relevant.sum() / total.sum())


if __name__ == "__main__":
    main()
