"""Runs the executable with `--output json` and returns its answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import IO, Any, Callable, Optional, Sequence

from ._binary import environment, find_binary
from .errors import Interrupted, SystemFailure, from_answer

#: Receives each line that the executable writes to stderr.
Listener = Callable[[str], None]


@dataclass
class Command:
    """How the executable is called: its path, options that come first, and variables of the environment."""

    binary: str = field(default_factory=find_binary)
    options: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return {**environment(), **self.variables}

    def __call__(self, *arguments: str, listener: Optional[Listener] = None) -> dict[str, Any]:
        """Runs a command to its end and returns its JSON object.

        Ctrl-C asks the executable to stop, which keeps the work that it has done.
        """
        words = [self.binary, *self.options, "--output", "json", *arguments]
        try:
            process = subprocess.Popen(
                words, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                # A group of its own: Ctrl-C in a terminal would otherwise reach it twice, and the second one ends it at once.
                start_new_session=True,
            )
        except OSError as error:
            raise SystemFailure("binary.unusable", f"cannot run {self.binary}: {error.strerror}") from None
        said: list[str] = []
        reading = threading.Thread(target=_read, args=(process.stderr, said, listener), daemon=True)
        reading.start()
        out = _output(process)
        reading.join()
        return _answer(process.returncode, out, said)


def _output(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None
    interrupted = False
    while True:
        try:
            out = process.stdout.read()
            process.wait()
            break
        except KeyboardInterrupt:
            interrupted = True
            _signal(process, signal.SIGINT)
        except BaseException:
            _signal(process, signal.SIGKILL)
            process.wait()
            raise
    if interrupted:
        raise KeyboardInterrupt
    return out


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def _read(stream: Optional[IO[bytes]], said: list[str], listener: Optional[Listener]) -> None:
    assert stream is not None
    for raw in stream:
        line = raw.decode(errors="replace").rstrip("\n")
        if listener is not None:
            listener(line)
        if not line.startswith('{"progress"'):
            said.append(line)
            del said[:-50]


def _answer(code: int, out: bytes, said: Sequence[str]) -> dict[str, Any]:
    try:
        answer = json.loads(out)
    except ValueError:
        kind = Interrupted if code in (130, -signal.SIGINT, -signal.SIGTERM) else SystemFailure
        last = next((line for line in reversed(said) if line.strip()), "it wrote nothing")
        raise kind("binary.no_answer", f"helenus ended with exit code {code} and without an answer: {last}") from None
    if code != 0:
        raise from_answer(code, answer)
    assert isinstance(answer, dict)
    return answer


def to_stderr(line: str) -> None:
    """A listener that shows what the executable tells people."""
    if line and not line.startswith('{"progress"'):
        print(line, file=sys.stderr)
