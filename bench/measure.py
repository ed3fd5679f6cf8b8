"""Processes measured from outside, and contenders taken in turn."""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def loopback_bytes():
    """Everything that went over the loopback interface: requests and answers with their headers."""
    for line in pathlib.Path("/proc/net/dev").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            return int(rest.split()[0])
    return 0


class Cassandra:
    """An instance of scripts/cassandra; one that is up already is taken as it is."""

    def __init__(self, name, *flags):
        self.name = name
        self.home = ROOT / ".dev" / "cassandra" / name
        up = subprocess.run(
            [str(ROOT / "scripts" / "cassandra"), "up", "--name", name, "--port", "0", *flags],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.contacts = up.stdout.split()[-1].split(",")
        self.contact = self.contacts[0]

    def pids(self):
        return [int(file.read_text()) for file in sorted(self.home.glob("node*.pid"))]

    def cpu_seconds(self):
        return sum(cpu_seconds(pid) for pid in self.pids())

    def logged(self, text):
        """Lines of all nodes' logs that contain it."""
        logs = self.home.glob("node*/log/system.log")
        return sum(text in line for log in logs for line in log.read_text(errors="replace").splitlines())

    def pauses_ms(self):
        """Of all garbage collections that stopped a node, since its start."""
        logs = self.home.glob("node*/log/gc.log")
        ends = re.compile(r"\bPause\b.* ([0-9.]+)ms$", re.M)
        return [float(pause) for log in logs for pause in ends.findall(log.read_text(errors="replace"))]


def wipe(name):
    subprocess.run([str(ROOT / "scripts" / "cassandra"), "wipe", "--name", name], check=True)


class Process:
    """A command that runs; its output is one JSON object."""

    def __init__(self, command, environment):
        self.command = [str(part) for part in command]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        self.peak = 0.0

    def is_over(self):
        """Looks at its memory, too. Not ru_maxrss: that begins with the size of the parent."""
        if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        if "VmHWM" in status:
            self.peak = max(self.peak, int(status.split("VmHWM:")[1].split()[0]) / 1024)
        return False

    def end(self):
        """What it answered, and its CPU seconds; a failure ends the benchmark."""
        output = self.process.stdout.read()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            self.errors.seek(0)
            sys.exit(f"{' '.join(self.command)}: {output.decode()}\n{self.errors.read().decode()}")
        answer = json.loads(output or b"{}")
        return answer.get("result", answer), usage.ru_utime + usage.ru_stime


def run_together(commands, cassandra, environment=None):
    """Runs all to their ends, started at once. Gives what each printed, wall and CPU seconds, the
    sum of their peak memory, bytes over the loopback interface."""
    server, wire, began = cassandra.cpu_seconds(), loopback_bytes(), time.monotonic()
    processes = [Process(command, environment) for command in commands]
    try:
        # All are looked at each time, for their memory.
        while not all([process.is_over() for process in processes]):
            time.sleep(0.02)
    except BaseException:
        for process in processes:
            process.process.kill()
        raise
    seconds = time.monotonic() - began
    server, wire = cassandra.cpu_seconds() - server, loopback_bytes() - wire
    ends = [process.end() for process in processes]
    return {
        "answers": [answer for answer, _ in ends],
        "seconds": round(seconds, 3),
        "client_cpu_s": round(sum(cpu for _, cpu in ends), 3),
        "server_cpu_s": round(server, 2),
        "peak_mib": round(sum(process.peak for process in processes), 1),
        "wire_mib": round(wire / 2**20, 1),
    }


def run(command, cassandra, environment=None):
    """One command, as [`run_together`]."""
    figures = run_together([command], cassandra, environment)
    return {"answer": figures.pop("answers")[0], **figures}


def summary(values, digits=4):
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), digits),
        "least": round(ordered[0], digits),
        "most": round(ordered[-1], digits),
        "all": [round(value, digits) for value in values],
    }


def in_turn(contenders, rounds, dropped=1):
    """Takes each contender once a round, the first of one round last in the next, so that all meet
    the same moods of the machine; the first `dropped` rounds warm up and are forgotten. `contenders`
    are functions by name; gives their figures by name."""
    names = list(contenders)
    figures = {name: [] for name in names}
    for number in range(-dropped, rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            measured = contenders[name]()
            print(f"    {name}: {measured['seconds']} s{' (dropped)' if number < 0 else ''}", file=sys.stderr)
            if number >= 0:
                figures[name].append(measured)
    return figures


def ratios(figures, of, against, field="seconds"):
    """`against`'s figure through `of`'s of the same round: of seconds, how fast `of` is by comparison."""
    pairs = zip(figures[of], figures[against])
    return summary([other[field] / one[field] for one, other in pairs])


def told(measured, rows):
    """One contender's figures, in the units of the page."""
    median = lambda field: statistics.median(one[field] for one in measured)
    million = rows / 1e6
    return {
        "seconds": summary([one["seconds"] for one in measured]),
        "rows_per_s": round(rows / median("seconds")),
        "client_cpu_s_per_million": round(median("client_cpu_s") / million, 2),
        "server_cpu_s_per_million": round(median("server_cpu_s") / million, 2),
        "peak_mib": max(one["peak_mib"] for one in measured),
        "wire_mib": median("wire_mib"),
    }
