"""Server processes: started, awaited, measured from outside, stopped with all that they have started."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from measure import ROOT, cpu_seconds


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def tree(root):
    """A process and its descendants."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended meanwhile.
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def over_tree(root, figure):
    """The sum of a figure over a process and its descendants, without those that end meanwhile."""
    total = 0
    for pid in tree(root):
        try:
            total += figure(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def rss_mib(root):
    """Resident size of a process and its descendants."""

    def kib(pid):
        # A process that has ended and was not awaited yet has none.
        _, _, size = pathlib.Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")
        return int(size.split()[0]) if size else 0

    return round(over_tree(root, kib) / 1024, 1)


class Server:
    """A server that runs inside `with`; `ready` is a path that is answered with 200 once it can serve."""

    def __init__(self, command, address, ready, environment=None):
        self.command = [str(part) for part in command]
        self.address, self.ready, self.environment = address, ready, environment or {}

    def __enter__(self):
        # A session of its own, so that all of its processes can be stopped.
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL,
            stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True,
        )
        deadline = time.monotonic() + 120
        try:
            while not self.is_ready():
                if time.monotonic() > deadline or self.process.poll() is not None:
                    sys.exit(f"{' '.join(self.command)} did not get ready: {self.said()}")
                time.sleep(0.1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            pass
        # What outlived it; MLServer sometimes waits for its own tasks for ever.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.output.close()

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}{self.ready}", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def said(self):
        """The end of its output."""
        self.output.seek(0)
        return self.output.read().decode(errors="replace")[-2000:]

    def cpu_seconds(self):
        return over_tree(self.process.pid, cpu_seconds)

    def rss_mib(self):
        return rss_mib(self.process.pid)
