"""Processes measured from outside, and pairs of them taken in turn."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
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
    """An instance of scripts/cassandra, of this benchmark alone."""

    def __init__(self, name, *flags):
        self.name = name
        script = str(ROOT / "scripts" / "cassandra")
        up = subprocess.run(
            [script, "up", "--name", name, "--port", "0", *flags], check=True, stdout=subprocess.PIPE, text=True
        )
        self.contact = up.stdout.split()[-1].split(",")[0]
        self.home = ROOT / ".dev" / "cassandra" / name

    def pids(self):
        return [int(file.read_text()) for file in sorted(self.home.glob("node*.pid"))]

    def cpu_seconds(self):
        return sum(cpu_seconds(pid) for pid in self.pids())

    def wipe(self):
        subprocess.run([str(ROOT / "scripts" / "cassandra"), "wipe", "--name", self.name], check=True)


def run(command, cassandra, environment=None):
    """Runs to the end. Gives what it printed last as JSON, wall and CPU seconds, peak memory, bytes."""
    server, wire, began = cassandra.cpu_seconds(), loopback_bytes(), time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **(environment or {})}
    )
    peak = 0.0
    # Not ru_maxrss: that begins with the size of this process.
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        if "VmHWM" in status:
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]) / 1024)
        time.sleep(0.02)
    seconds = time.monotonic() - began
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    answer = json.loads(output or b"{}")
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(map(str, command))}: {json.dumps(answer.get('error'))}")
    return {
        "answer": answer.get("result", answer),
        "seconds": round(seconds, 3),
        "client_cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "server_cpu_s": round(cassandra.cpu_seconds() - server, 2),
        "peak_mib": round(peak, 1),
        "wire_mib": round((loopback_bytes() - wire) / 2**20, 1),
    }


def summary(values):
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 4),
        "least": round(ordered[0], 4),
        "most": round(ordered[-1], 4),
        "all": [round(value, 4) for value in values],
    }


def in_turn(contenders, rounds, before=None):
    """Takes each contender once a round, the first of one round last in the next, so that all meet
    the same moods of the machine. `contenders` are functions by name; gives their figures by name."""
    names = list(contenders)
    figures = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            if before:
                before(name)
            figures[name].append(contenders[name]())
            print(f"    {name}: {figures[name][-1]['seconds']} s", file=sys.stderr)
    return figures


def ratios(figures, of, against, field="seconds"):
    """`against`'s figure through `of`'s of the same round: of seconds, how fast `of` is by comparison."""
    pairs = zip(figures[of], figures[against])
    return summary([other[field] / one[field] for one, other in pairs])
