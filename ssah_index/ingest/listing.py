"""Listing: the files below a folder, what they are good for, and what is passed over.

Links to folders are not followed, so that nothing is met twice and no way leads in a circle.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ssah_index.errors import SourceError
from ssah_index.ingest.files import file_fault
from ssah_index.ingest.natural import natural_key
from ssah_index.ingest.records import told
from ssah_index.ingest.tables import TABLE_SUFFIXES

IMAGE_SUFFIXES = frozenset(
    (
        ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
        ".jpf", ".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif",
        ".tiff", ".webp",
    )
)  # fmt: skip
HIDDEN = frozenset(
    ("__macosx", "@eadir", "#recycle", "$recycle.bin", "thumbs.db", "ehthumbs.db", "desktop.ini")
)
"""Names that systems leave behind, in lower case; so are all that begin with a dot."""
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
NAMED = 3
"""Folders passed over that are named."""
KINDS = 10
"""Kinds of files passed over that are counted one by one."""
_NOUNS = ("special file", "broken link", "linked folder", "unreadable folder")


@dataclass(slots=True)
class Listing:
    """The files of a folder by their use, in natural order, as paths below it with "/"."""

    folder: Path
    """The folder."""
    images: list[str] = field(default_factory=list)
    """Regular files, and links to them, that end as images do."""
    texts: list[str] = field(default_factory=list)
    """Those that end in .txt."""
    tables: list[str] = field(default_factory=list)
    """Tables that lie in the folder itself."""
    faults: dict[str, str] = field(default_factory=dict)
    """Why one of the images or texts cannot be opened: a FIFO, a broken link."""
    others: Counter[str] = field(default_factory=Counter)
    """How many other files there are by kind: a suffix, "without a suffix", "hidden", ..."""
    linked: list[str] = field(default_factory=list)
    """Links to folders."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that cannot be read, and why."""

    def files(self) -> int:
        """How many files there are, hidden ones included."""
        return len(self.images) + len(self.texts) + len(self.tables) + self.others.total()

    def pass_over(self, table: Path) -> None:
        """Count what a table leaves unused: texts beside images, and other tables."""
        for name in [*self.texts, *self.tables]:
            path = self.folder / name
            if name not in self.tables or not path.samefile(table):
                self.others[path.suffix.lower()] += 1
        own = table.resolve()
        below = own.is_relative_to(self.folder.resolve()) and own.parent != self.folder.resolve()
        if below and self.others[own.suffix.lower()]:
            self.others[own.suffix.lower()] -= 1

    def skipped(self) -> str:
        """What is passed over, for a person; "" for nothing."""
        hidden = self.others["hidden"]
        counts = Counter({kind: n for kind, n in self.others.items() if n and kind != "hidden"})
        parts = [_counted(kind, count) for kind, count in counts.most_common(KINDS)]
        rest = counts.total() - sum(count for _, count in counts.most_common(KINDS))
        parts += [f"{rest:,} others"] if rest else []
        parts += _folders("linked", self.linked) + _folders("unreadable", self.unreadable)
        parts += [f"{hidden:,} hidden"] if hidden else []
        return ", ".join(parts)


def _folders(kind: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = ", ..." if len(names) > NAMED else ""
    return [f"{_counted(f'{kind} folder', len(names))} ({', '.join(names[:NAMED])}{more})"]


def _counted(kind: str, count: int) -> str:
    plural = "s" if count > 1 and kind in _NOUNS else ""
    return f"{count:,} {kind}{plural}"


def list_folder(folder: Path) -> Listing:
    """List the files below a folder; none of them is opened.

    Raises
    ------
    SourceError
        If the folder itself cannot be read.
    """
    found = Listing(folder)
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(folder / below) as entries:
                for entry in entries:
                    _sort_in(found, entry, below + entry.name, waiting)
        except OSError as error:
            if not below:
                raise SourceError(
                    f"{folder} cannot be read ({error.strerror})", "a folder", "Check the path."
                ) from error
            found.unreadable.append(f"{told(below.rstrip('/'))}: {error.strerror}")
    for names in (found.images, found.texts, found.tables, found.linked, found.unreadable):
        names.sort(key=natural_key)
    return found


def _sort_in(found: Listing, entry: os.DirEntry[str], name: str, waiting: list[str]) -> None:
    """Put one entry where it belongs; asks the file system about links alone."""
    if entry.name.startswith(".") or entry.name.lower() in HIDDEN:
        found.others["hidden"] += 1
        return
    if entry.is_dir(follow_symlinks=False):
        waiting.append(f"{name}/")
        return
    regular = entry.is_file(follow_symlinks=False)
    fault = None if regular else file_fault(entry.path)
    if fault == "a folder, not a file":
        found.linked.append(told(name))
        return
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (a Path a file is slow)
    if suffix in IMAGE_SUFFIXES or suffix == ".txt":
        (found.texts if suffix == ".txt" else found.images).append(name)
        if fault is not None:
            found.faults[name] = fault
    elif suffix in TABLE_SUFFIXES and name == entry.name and fault is None:
        found.tables.append(name)
    elif fault is not None:
        found.others["special file" if "not a file" in fault else "broken link"] += 1
    else:
        found.others[_kind(entry.name, suffix)] += 1


def _kind(name: str, suffix: str) -> str:
    if not suffix:
        return "without a suffix"
    if suffix in PACKED:
        inner = os.path.splitext(name[: -len(suffix)])[1].lower()  # noqa: PTH122
        suffix = inner + suffix
    return told(suffix)
