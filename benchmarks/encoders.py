"""Encoders on the field's data sets: ``python -m benchmarks.encoders mirflickr``.

Rows are baselines, ablations and presets; each cell is a run of one row, width and seed.
Cells are kept in results/encoders-<data>.json as they are finished, and a cell that is there
is not run again, so the table can be filled in several sittings. Data: the folder SSAH_DATA,
or ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import RESULTS, describe
from encoders.baselines import BASELINES
from encoders.config import TrainSpec
from encoders.datasets import Dataset, load_mirflickr_npz
from encoders.pairs import TrainingSet
from encoders.ranking import map_of
from encoders.retrieval import Retrieval
from encoders.splits import Split, split_for
from encoders.train import fit
from ssah_index.codes import pack
from ssah_index.types import no_progress

MODERN: dict[str, Any] = {
    "hidden": 1024,
    "passes": 50,
    "learning_rate": 3e-3,
    "dropout": 0.3,
    "input_dropout": 0.2,
    "bank_rows": 1000,
    "pair_scale": 32.0,
    "quantisation_weight": 0.01,
    "contrast_weight": 0.3,
}
"""What suits features and twenty-four labels, as far as one seed's runs told."""

ROWS: dict[str, dict[str, Any]] = {
    "modern": MODERN,
    "modern, no LabNet": {**MODERN, "lab_net": False},
    "modern, no adversary": {**MODERN, "adversary_weight": 0.0},
    "paper": {"preset": "paper"},
    "paper, no multi-scale block": {"preset": "paper", "multi_scale": False},
    "paper, no adversary": {"preset": "paper", "adversary_weight": 0.0},
    "official": {"preset": "official"},
}
"""Trained rows, by their options; the baselines go by their own names."""

Arrays = dict[str, NDArray[Any]]


def main() -> None:
    """Run the cells asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=["mirflickr"])
    parser.add_argument("--rows", nargs="+", default=[*BASELINES, *ROWS])
    parser.add_argument("--bits", nargs="+", type=int, default=[16, 32, 64, 128])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    folder = Path(os.environ.get("SSAH_DATA", "../shared/data"))
    data = load_mirflickr_npz(folder / "mirflickr25k/mirflickr25k.npz")
    for row in chosen.rows:
        for bits in chosen.bits:
            for seed in chosen.seeds:
                run_cell(data, row, bits, seed)


def run_cell(data: Dataset, row: str, bits: int, seed: int) -> None:
    """Run one cell, unless it is there, and keep it."""
    path = RESULTS / "encoders-mirflickr.json"
    kept = json.loads(path.read_text()) if path.exists() else {"note": data.note, "cells": []}
    key = {"row": row, "bits": bits, "seed": seed}
    if any(key.items() <= cell.items() for cell in kept["cells"]):
        return
    split = split_for("mirflickr", len(data.labels), seed)
    begun = time.perf_counter()
    encode = train_row(data, split, row, bits, seed)
    cell = {**key, "train_s": round(time.perf_counter() - begun, 1), **score(data, split, encode)}
    # Another sitting may have finished cells meanwhile: read again before writing.
    kept = json.loads(path.read_text()) if path.exists() else kept
    kept["cells"].append(cell)
    kept["machine"] = describe("torch", "numpy")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(kept, indent=1) + "\n")
    temporary.replace(path)
    print(json.dumps(cell), flush=True)


def train_row(
    data: Dataset, split: Split, row: str, bits: int, seed: int
) -> Callable[[str], NDArray[Any]]:
    """Train a row on the training pairs; returns codes or activations by modality."""
    train = split.train
    if row in BASELINES:
        fitted = BASELINES[row].fit(
            data.images[train], data.texts[train], data.labels[train], bits, seed
        )
        arrays: Arrays = {"image": data.images, "text": data.texts}
        return lambda modality: fitted.encode(modality, arrays[modality])
    inputs = tensors(data, split)
    pairs = TrainingSet(
        images=inputs["image"][train],
        bags=inputs["text"][train],
        labels=torch.from_numpy(data.labels[train].astype(np.float32)),
    )
    spec = TrainSpec.of({**ROWS[row], "bits": bits, "seed": seed})
    trainer = fit(pairs, spec, report=lambda _: None, progress=no_progress).eval()
    nets = {"image": trainer.image_net, "text": trainer.text_net}

    def activations(modality: str) -> NDArray[Any]:
        with torch.inference_mode():
            parts = [nets[modality](part).code for part in inputs[modality].split(2048)]
        return torch.cat(parts).numpy()

    return activations


def tensors(data: Dataset, split: Split) -> dict[str, torch.Tensor]:
    """Features standardised by the training rows, and bags of unit length."""
    images = data.images.astype(np.float32)
    images = (images - images[split.train].mean(axis=0)) / images[split.train].std()
    texts = data.texts.astype(np.float32)
    texts /= np.maximum(np.sqrt(texts.sum(axis=1, keepdims=True)), 1)
    return {"image": torch.from_numpy(images), "text": torch.from_numpy(texts)}


def score(data: Dataset, split: Split, encode: Callable[[str], NDArray[Any]]) -> dict[str, float]:
    """MAP@all both ways on codes, and with the query's activations where there are any."""
    return dict(_scores(data.labels, split, {m: encode(m) for m in ("image", "text")}))


def _scores(labels: NDArray[Any], split: Split, outputs: Arrays) -> Iterator[tuple[str, float]]:
    codes = {m: a if a.dtype == np.uint8 else pack(a) for m, a in outputs.items()}
    for asked, found in (("image", "text"), ("text", "image")):
        for name, queries in (("", codes[asked]), ("_asymmetric", outputs[asked])):
            if name and queries.dtype == np.uint8:
                continue
            task = Retrieval(
                queries=queries[split.query],
                query_labels=labels[split.query],
                database=codes[found][split.retrieval],
                database_labels=labels[split.retrieval],
            )
            yield f"{asked}_to_{found}{name}", round(map_of(task), 4)


if __name__ == "__main__":
    main()
