"""The exceptions of the engine.

Each says what happened, to what, and what to do about it::

    SelfsightError          exit code 1
    ├── ConfigError         a setting is unknown, out of range or contradicts another      exit code 2
    ├── DataError           a file or dataset cannot be read, or does not fit the method   exit code 2
    ├── MethodError         a method is unknown, broken or breaks its contract             exit code 2
    ├── RunError            a run folder is missing, damaged, newer or owned by another    exit code 2
    │   └── FeaturesMissing a question needs features that were not computed yet           exit code 2
    ├── EngineLost          the background engine does not answer                          exit code 1
    ├── ProtocolMismatch    window and engine speak different versions                     exit code 1
    ├── OutOfMemory         the device's or the computer's memory does not suffice         exit code 1
    ├── Diverged            loss or gradient is not finite, again and again                exit code 1
    └── DiskFull            a durable write found no space                                 exit code 1
"""

from __future__ import annotations

from typing import ClassVar

from engine.protocol.messages import Failure


class SelfsightError(Exception):
    """What went wrong (`message`, with the file, field, run or step), what to do about it (`hint`), and `details`."""

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        """Return message and hint."""
        return f"{self.message} {self.hint}".rstrip()

    def failure(self, traceback: str = "") -> Failure:
        """Return the record that crosses the wire and stands in run folders."""
        return Failure(kind=self.kind, message=self.message, hint=self.hint, traceback=traceback or self.details)


class ConfigError(SelfsightError):
    """A setting is unknown, out of range or contradicts another."""

    kind = "config"
    exit_code = 2


class DataError(SelfsightError):
    """A file or a dataset cannot be read, or does not fit the method."""

    kind = "data"
    exit_code = 2


class MethodError(SelfsightError):
    """A method is unknown, broken or breaks its contract."""

    kind = "method"
    exit_code = 2


class RunError(SelfsightError):
    """A run folder is missing, damaged, newer than this program or owned by another process."""

    kind = "run"
    exit_code = 2


class FeaturesMissing(RunError):
    """Features that a question needs have not been computed yet."""

    kind = "features-missing"


class EngineLost(SelfsightError):
    """The background engine does not answer."""

    kind = "engine-lost"


class ProtocolMismatch(SelfsightError):
    """Window and engine speak different versions of the protocol."""

    kind = "protocol"


class OutOfMemory(SelfsightError):
    """The device's or the computer's memory does not suffice."""

    kind = "out-of-memory"


class Diverged(SelfsightError):
    """Loss or gradient is not finite, again and again."""

    kind = "diverged"


class DiskFull(SelfsightError):
    """A durable write found no space."""

    kind = "disk-full"
