"""What this machine has to offer: ports, memory, processes, locks."""
import argparse
import contextlib
import fcntl
import os
import random
import re
import socket
import subprocess
import sys
from pathlib import Path


class Failure(Exception):
    """What the user reads instead of a traceback."""


def say(text):
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)


def is_free(address, port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(addresses, but_not=()):
    # Below the ephemeral range: an outgoing connection of anybody's can't take it before the server does.
    for port in random.sample(range(10_000, 32_000), 2_000):
        if port not in but_not and all(is_free(address, port) for address in addresses):
            return port
    raise Failure("no free port between 10000 and 32000")


def holder(port):
    """' by pid 4711 (java)', as far as this user may see it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                field = line.split()
                if field[3] == "0A" and int(field[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{field[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(fd) in inodes for fd in (process / "fd").iterdir()):
                return f" by pid {process.name} ({(process / 'comm').read_text().strip()})"
    return ""


def available_mb():
    free = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) // 1024
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        free = min(free, (limit - used) // 2**20)
    return free


def megabytes(size):
    match = re.fullmatch(r"(\d+)([mMgG])[bB]?", size)
    if not match:
        raise argparse.ArgumentTypeError(f"{size!r} is no size; write 512M or 2G")
    return int(match[1]) * (1024 if match[2] in "gG" else 1)


def is_over(pid):
    """True once its last thread is gone; until then it may hold ports and files though its command line is empty."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return True


def quiet(command, seconds):
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


@contextlib.contextmanager
def locked(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
