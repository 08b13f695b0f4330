"""Which pairs are queries, the database, and training; kept in a file with their hash."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ssah_index.errors import SourceError, SpecError

Rows = NDArray[np.int64]
PARTS = ("query", "retrieval", "train", "validation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How many pairs a data set's split takes; all that are not queries are retrieved."""

    query: int
    """Pairs that ask."""
    train: int
    """Pairs of the retrieval set that are trained on."""
    fixed: bool = False
    """True if the data set comes with its own split: training pairs first, then queries."""


PROTOCOLS = {
    "mirflickr": Protocol(query=2000, train=10000),
    "nuswide": Protocol(query=2100, train=10500),
    "coco": Protocol(query=5000, train=10000),
    "wikipedia": Protocol(query=693, train=2173, fixed=True),
}
"""Source: SSAH (Li et al., CVPR 2018), Table 1; Wikipedia: Rasiwasia et al., ACM MM 2010."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Row numbers into a data set. Queries are in no other part; train lies in retrieval."""

    query: Rows
    """Rows that ask."""
    retrieval: Rows
    """Rows that are searched, in database order; holds train and validation too, as the
    field has it."""
    train: Rows
    """Rows that are trained on."""
    validation: Rows
    """Rows to choose a model by; never trained on. May be empty."""
    seed: int
    """Of the permutation; -1 for a split that came with the data."""

    def __post_init__(self) -> None:
        faults = []
        for name in PARTS:
            rows = getattr(self, name)
            if rows.dtype != np.int64 or rows.ndim != 1 or len(np.unique(rows)) != len(rows):
                faults.append(f"{name} is {rows.dtype} {rows.shape}, or repeats a row")
        within = (("train", self.retrieval, "retrieval"), ("validation", self.retrieval, "it"))
        faults += [
            f"{name} is not inside {outer}"
            for name, rows, outer in within
            if not np.isin(getattr(self, name), rows).all()
        ]
        pairs = (("query", "retrieval"), ("train", "validation"))
        faults += [
            f"{one} and {other} share rows"
            for one, other in pairs
            if np.isin(getattr(self, one), getattr(self, other)).any()
        ]
        if faults:
            raise SpecError("; ".join(faults), "int64 rows in their parts", "Make a new split.")

    @cached_property
    def hash(self) -> str:
        """xxh3-64 of the four arrays, each after its length, little-endian; 16 hex digits."""
        digest = xxhash.xxh3_64()
        for name in PARTS:
            rows = getattr(self, name).astype("<i8")
            digest.update(len(rows).to_bytes(8, "little"))
            digest.update(rows.tobytes())
        return digest.hexdigest()

    def seen(self) -> NDArray[np.bool_]:
        """Bool (retrieval,): database rows that training or model choice has seen."""
        return np.isin(self.retrieval, np.concatenate([self.train, self.validation]))

    def save(self, path: Path) -> None:
        """Write JSON."""
        content: dict[str, Any] = {"hash": self.hash, "seed": self.seed}
        content |= {name: getattr(self, name).tolist() for name in PARTS}
        path.write_text(json.dumps(content), "utf-8")

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read what `save` wrote.

        Raises
        ------
        SourceError
            If the file is missing, no split, or not the one that was saved.
        """
        try:
            content = json.loads(path.read_text("utf-8"))
            arrays = {name: np.array(content[name], np.int64) for name in PARTS}
            split = cls(**arrays, seed=int(content["seed"]))
            stated = content["hash"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{path} holds no split ({error})", "what Split.save wrote", "Make it again."
            ) from error
        if split.hash != stated:
            raise SourceError(
                f"the rows in {path} have hash {split.hash}, the file states {stated}",
                "the rows as they were saved",
                "Restore the file, or make the split again from its seed.",
            )
        return split


def make_split(n: int, query: int, train: int, seed: int, validation: int = 0) -> Split:
    """Split n pairs by one random permutation: queries first, the rest is retrieved.

    The first ``train`` rows of the retrieval set are trained on. Validation rows follow
    them; where too few are left, they are the last of train and no longer trained on.

    Parameters
    ----------
    n, query, train, validation : int
        Pairs in all and of each part.
    seed : int

    Raises
    ------
    SpecError
        If the sizes do not fit.

    Notes
    -----
    Source: SSAH's released code for the order of parts; seed, hash and validation are ours.
    NumPy may change its permutation in a later release: keep the split, not the seed alone.
    """
    if min(query, train) < 1 or validation < 0 or query + train > n or validation >= train:
        raise SpecError(
            f"{query} queries, {train} for training and {validation} for validation of {n} pairs",
            "queries and training that fit, and less for validation than for training",
            "Take a smaller part.",
        )
    order = np.random.default_rng(seed).permutation(n).astype(np.int64)
    retrieval = order[query:]
    unseen = n - query - train >= validation
    kept = train if unseen else train - validation
    return Split(
        query=order[:query],
        retrieval=retrieval,
        train=retrieval[:kept],
        validation=retrieval[kept : kept + validation],
        seed=seed,
    )


def wikipedia_split(validation: int = 0) -> Split:
    """The data set's own split, for `datasets.load_wikipedia`: 2,173 pairs, then 693 queries.

    Everything retrieved is trained on, so validation rows are the last of train.
    """
    sizes = PROTOCOLS["wikipedia"]
    retrieval = np.arange(sizes.train, dtype=np.int64)
    kept = sizes.train - validation
    return Split(
        query=np.arange(sizes.train, sizes.train + sizes.query, dtype=np.int64),
        retrieval=retrieval,
        train=retrieval[:kept],
        validation=retrieval[kept:],
        seed=-1,
    )


def split_for(name: str, n: int, seed: int, validation: int = 0) -> Split:
    """The split of a data set's protocol.

    Parameters
    ----------
    name : str
        A key of `PROTOCOLS`.
    n : int
        Pairs of the data set.
    seed : int
        Ignored for a data set with a split of its own.
    validation : int
    """
    if name not in PROTOCOLS:
        raise SpecError(
            f"no protocol for {name!r}", f"one of {', '.join(PROTOCOLS)}", "Use make_split()."
        )
    sizes = PROTOCOLS[name]
    if not sizes.fixed:
        return make_split(n, sizes.query, sizes.train, seed, validation)
    if n != sizes.query + sizes.train or not 0 <= validation < sizes.train:
        raise SpecError(
            f"{n} pairs of {name} and {validation} for validation",
            f"{sizes.query + sizes.train} pairs and less than {sizes.train}",
            "Use the whole data set, or make_split().",
        )
    return wikipedia_split(validation)
