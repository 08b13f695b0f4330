"""The error tree, grouped by what the caller would do next.

SsahError
├── InputError (ValueError)            change the input
│   ├── CodeError                      codes of the wrong width, type or shape
│   ├── QueryError                     a query, k or radius that cannot be answered
│   │   └── TooManyHitsError           a search finds more than its limit
│   ├── ItemError                      one image or text that cannot be encoded
│   ├── SourceError                    an input folder or table that cannot be read
│   ├── RowsError                      a table of rows that a store cannot take
│   │   └── DuplicateIdError           ids that are there already, or twice
│   └── SpecError                      a specification with faulty fields
├── StoreError (OSError)               look at the store
│   ├── StoreMissingError              there is none
│   ├── StoreExistsError               there is one already, with other content
│   ├── StoreReplacedError             another one lies where the one that was opened lay
│   ├── FormatError                    written in another format version
│   ├── CorruptError                   files missing, cut or altered
│   ├── ConflictError                  another writer won too often
│   └── WriteFailedError               disk full, read-only or not permitted
├── StoppedError                       ask again, with more time
│   ├── DeadlineError (TimeoutError)   the time given was not enough
│   └── CancelledError                 somebody called Stop.cancel
├── EncoderError (ValueError)          choose another encoder
│   └── CollapseError (RuntimeError)   train again with other options
└── MissingExtraError (ImportError)    install an optional part

Relies on nothing, so that every layer may import it.
"""

from __future__ import annotations


class SsahError(Exception):
    """Base of all our errors; its message has three parts.

    Parameters
    ----------
    fault : str
        What is wrong, with its values.
    expected : str
        What would have been right.
    remedy : str
        What to do now.
    """

    def __init__(self, fault: str, expected: str, remedy: str) -> None:
        super().__init__(f"{fault}; expected {expected}. {remedy}")
        self.fault = fault
        self.expected = expected
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[SsahError], tuple[str, str, str]]:
        # BaseException would rebuild from the one joined message.
        return type(self), (self.fault, self.expected, self.remedy)

    def __str__(self) -> str:
        # OSError and ImportError bring a __str__ of their own.
        return f"{self.fault}; expected {self.expected}. {self.remedy}"


class InputError(SsahError, ValueError):
    """The caller's data is at fault."""


class CodeError(InputError):
    """Codes of the wrong width, dtype or shape."""


class QueryError(InputError):
    """A query, k or radius that cannot be answered."""


class TooManyHitsError(QueryError):
    """A search finds more hits than its limit; none of them is returned."""


class ItemError(InputError):
    """One image or text that cannot be encoded; in a build it goes to the ledger."""


class SourceError(InputError):
    """An input folder or table that cannot be read."""


class RowsError(InputError):
    """A table of rows that a store cannot take: a column is missing, null or of another type."""


class DuplicateIdError(RowsError):
    """Ids that are in the store already, or twice among the new ones; nothing was added."""


class SpecError(InputError):
    """A specification with faulty fields; all of them are named."""


class StoreError(SsahError, OSError):
    """The store on disk is at fault."""


class StoreMissingError(StoreError, FileNotFoundError):
    """There is no store at this path."""


class StoreExistsError(StoreError, FileExistsError):
    """There is a store already, with other content."""


class StoreReplacedError(StoreError):
    """The store that was opened was removed, and another made in its place; open it again."""


class FormatError(StoreError):
    """The store is written in a format version this release does not read."""


class CorruptError(StoreError):
    """A file of the store is missing, cut short or altered."""


class ConflictError(StoreError):
    """Other writers took every generation this one tried to publish."""


class WriteFailedError(StoreError):
    """The disk is full, read-only, or writing is not permitted."""


class StoppedError(SsahError):
    """A search ended before it had its answer."""


class DeadlineError(StoppedError, TimeoutError):
    """The time given to a `Stop` is over."""


class CancelledError(StoppedError):
    """`Stop.cancel` was called."""


class EncoderError(SsahError, ValueError):
    """The encoder is unknown, damaged, or not the one the store was built with."""


class CollapseError(EncoderError, RuntimeError):
    """Training has made codes that say nothing of the items, and cannot recover."""


class MissingExtraError(SsahError, ImportError):
    """An optional part is not installed."""
