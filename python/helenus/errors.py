"""Errors as exceptions: each has the code, the place and the advice that the command line prints."""

from __future__ import annotations

from typing import Any, Optional, Sequence


class HelenusError(Exception):
    """A command that failed.

    `code` is stable (`model.external_data`); `message`, `where` and `help` are for people; `others` lists further
    problems of the same input; `result` and `warnings` are what the command answered nevertheless.
    """

    exit_code = 3

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: Optional[str] = None,
        help: Optional[str] = None,
        others: Sequence[dict[str, Any]] = (),
        result: Any = None,
        warnings: Sequence[str] = (),
    ) -> None:
        self.code = code
        self.message = message
        self.where = where
        self.help = help
        self.others = list(others)
        self.result = result
        self.warnings = list(warnings)
        super().__init__(code, message)

    def __str__(self) -> str:
        lines = [_line(self.code, self.message, self.where, self.help)]
        lines += [_line(o.get("code", ""), o.get("message", ""), o.get("where"), o.get("help")) for o in self.others]
        return "\n".join(lines)


def _line(code: str, message: str, where: Optional[str], help: Optional[str]) -> str:
    place = f"{where}: " if where else ""
    advice = f"\n  help: {help}" if help else ""
    return f"{place}{message} [{code}]{advice}"


class NegativeAnswer(HelenusError):
    """The answer is negative: a model is rejected, `verify` differs, a run failed on its data (exit code 1)."""

    exit_code = 1


class InvalidInput(HelenusError):
    """Arguments, settings, a manifest or a file are wrong (exit code 2)."""

    exit_code = 2


class ExportRefused(InvalidInput):
    """The ONNX export of a fitted pipeline would not predict what the pipeline predicts. Nothing was registered."""

    #: The other ways of exporting that were tried, and why each can't be taken.
    attempts: Sequence[dict[str, Any]] = ()

    def __str__(self) -> str:
        tried = [f"  also tried: {_line(a['code'], a['message'], a['where'], None)}" for a in self.attempts]
        return "\n".join([super().__str__(), *tried])


class SystemFailure(HelenusError):
    """Cassandra, ONNX Runtime's library or a permission is missing (exit code 3)."""

    exit_code = 3


class Conflict(HelenusError):
    """Another run is open, or an alias has moved (exit code 4)."""

    exit_code = 4


class NotFound(HelenusError):
    """The model, version, job or run does not exist (exit code 5)."""

    exit_code = 5


class Interrupted(HelenusError):
    """Interrupted; the same call continues the work (exit code 130)."""

    exit_code = 130


def from_answer(exit_code: int, answer: dict[str, Any]) -> HelenusError:
    """Returns the exception for a command's JSON answer."""
    error = answer.get("error") or {}
    kinds: dict[int, type[HelenusError]] = {
        kind.exit_code: kind for kind in (NegativeAnswer, InvalidInput, SystemFailure, Conflict, NotFound, Interrupted)
    }
    return kinds.get(exit_code, SystemFailure)(
        error.get("code", "unknown"),
        error.get("message", f"helenus ended with exit code {exit_code}"),
        where=error.get("where"),
        help=error.get("help"),
        others=error.get("others", ()),
        result=answer.get("result"),
        warnings=answer.get("warnings", ()),
    )
