"""Long-running workers, and what their metrics say."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from measure import ROOT


class Worker:
    """`helenus worker` with all settings at their defaults, but for an address that shows its metrics."""

    def __init__(self, world):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        command = [world.program("helenus"), "--listen", self.address, "worker"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **world.environment}, stderr=subprocess.DEVNULL
        )

    def __enter__(self):
        deadline = time.monotonic() + 60
        while not self.is_ready():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.__exit__()
                sys.exit("a worker did not get ready")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def is_ready(self):
        try:
            return self.get("ready") is not None
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path):
        return urllib.request.urlopen(f"http://{self.address}/{path}", timeout=5).read().decode()

    def statements(self):
        """Statements on helenus's own tables since its start, by mode."""
        found = re.findall(r'^helenus_statements_total\{mode="(\w+)"\} (\S+)', self.get("metrics"), re.M)
        return {mode: float(count) for mode, count in found}
