"""Spark drivers seen from outside: a process with the JVMs, executors and Python workers that it starts."""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from measure import ROOT, TICKS


def tree(root):
    """The process and its descendants, as (pid, fields of /proc/PID/stat from the state on)."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
    children = {}
    for pid, fields in found.items():
        children.setdefault(int(fields[1]), []).append(pid)
    waiting, members = [root], []
    while waiting:
        pid = waiting.pop()
        if pid in found:
            members.append((pid, found[pid]))
            waiting += children.get(pid, [])
    return members


def cpu_seconds(root):
    """User and system time of the tree, of those of its processes that have ended, too."""
    return sum(sum(map(int, fields[11:15])) for _, fields in tree(root)) / TICKS


def resident_mib(root):
    """The sum of the resident sizes; what processes share counts for each of them."""
    return sum(int(fields[21]) for _, fields in tree(root)) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Driver:
    """A program of this folder at work; `first` and `warm` are done when [`Driver.go`] says so."""

    def __init__(self, python, program, *arguments, environment):
        command = [str(python), str(ROOT / "bench" / "spark" / program), *map(str, arguments)]
        self.log = ROOT / "target" / "bench" / f"spark-{program.removesuffix('.py')}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
                                            env={**os.environ, "PYSPARK_PYTHON": str(python), **environment})
        self.peak_mib = 0.0
        self.watching = threading.Thread(target=self._watch, daemon=True)
        self.watching.start()
        try:
            self._answer()
        except BaseException:
            self._kill()
            raise
        self.startup = {"seconds": time.monotonic() - began, "cpu_s": cpu_seconds(self.process.pid)}

    def _watch(self):
        while self.process.poll() is None:
            self.peak_mib = max(self.peak_mib, resident_mib(self.process.pid))
            time.sleep(0.25)

    def _answer(self):
        for line in self.process.stdout:
            if line.startswith('{"stage"'):
                return json.loads(line)
        self.process.wait()
        sys.exit(f"{' '.join(self.process.args)} ended with {self.process.returncode}; see {self.log}:\n{self.log.read_text(errors='replace')[-3000:]}")

    def go(self, cassandra):
        """Lets it do the work once; gives its answer and what it took."""
        server, cpu, began = cassandra.cpu_seconds(), cpu_seconds(self.process.pid), time.monotonic()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self._answer()
        return answer, {
            "seconds": round(time.monotonic() - began, 3),
            "client_cpu_s": round(cpu_seconds(self.process.pid) - cpu, 2),
            "server_cpu_s": round(cassandra.cpu_seconds() - server, 2),
        }

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.process.stdin.write("\n")
            self.process.stdin.close()
            self.process.wait(120)
        else:
            self._kill()

    def _kill(self):
        # Spark's JVM ends when its driver has.
        self.process.kill()
        self.process.wait()
