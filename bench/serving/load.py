"""Requests, and the tools that send them: wrk, and h2load where a request's status counts or for gRPC."""

import dataclasses
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Requests:
    """Requests of one kind, sent in turn. `paths` and `bodies` are equally long; without bodies: GET."""

    paths: list
    bodies: list = dataclasses.field(default_factory=list)
    headers: dict = dataclasses.field(default_factory=dict)

    @property
    def method(self):
        return "POST" if self.bodies else "GET"

    def ask(self, address, number=0):
        """The body of the answer to one of them."""
        body = self.bodies[number] if self.bodies else None
        url = f"http://{address}{self.paths[number]}"
        request = urllib.request.Request(url, body, self.headers, method=self.method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def plan(self):
        """As a Lua table; bytes are escaped, for bodies may be binary."""
        bodies = [quote(body) for body in self.bodies]
        headers = ", ".join(f"[{quote(name.encode())}] = {quote(value.encode())}" for name, value in self.headers.items())
        paths = ", ".join(quote(path.encode()) for path in self.paths)
        return f'return {{method = "{self.method}", headers = {{{headers}}}, paths = {{{paths}}}, bodies = {{{", ".join(bodies)}}}}}\n'


def quote(text):
    plain = lambda byte: 32 <= byte < 127 and byte not in b'"\\'
    return '"' + "".join(chr(byte) if plain(byte) else f"\\{byte:03d}" for byte in text) + '"'


class Wrk:
    """wrk, which sends requests for some seconds, each connection one after the other."""

    def __init__(self, requests, address, connections, seconds):
        self.plan = tempfile.NamedTemporaryFile("w", suffix=".lua")
        self.plan.write(requests.plan())
        self.plan.flush()
        flags = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        command = ["wrk", *flags, "--script", str(HERE / "requests.lua"), f"http://{address}", "--", self.plan.name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.plan.close()

    def end(self):
        """Waits until it ends; gives what requests.lua has printed."""
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            sys.exit(f"wrk: {output}")
        told = json.loads(output.strip().splitlines()[-1])
        if told["requests"] == 0:
            sys.exit("wrk: no request was answered")
        return {
            "requests": told["requests"],
            "rps": told["requests"] / told["micros"] * 1e6,
            "p50_ms": told["p50_us"] / 1e3,
            "p99_ms": told["p99_us"] / 1e3,
            "failed": told["refused"] + told["broken"],
        }


def wrk(requests, address, connections, seconds):
    with Wrk(requests, address, connections, seconds) as sending:
        return sending.end()


def h2load(requests, address, connections, count, http1=True):
    """Sends the first of the requests so many times; gives what they were answered. Over HTTP/2 a
    connection has one request in flight, as over HTTP/1.1. (By time instead of by count, h2load 1.52
    sometimes does not end.)"""
    with tempfile.TemporaryDirectory() as folder:
        body, log = pathlib.Path(folder) / "body", pathlib.Path(folder) / "log"
        body.write_bytes(requests.bodies[0])
        headers = [part for name, value in requests.headers.items() for part in ("-H", f"{name}: {value}")]
        flags = ["-t", 1, "-c", connections, "-m", 1, "-n", count, "-d", body, f"--log-file={log}", *headers]
        command = ["h2load", *(["--h1"] if http1 else []), *flags, f"http://{address}{requests.paths[0]}"]
        ended = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
        # Start, status, time until the answer's end; microseconds.
        answers = [tuple(map(int, line.split("\t")[:3])) for line in log.read_text().splitlines()]
    times = lambda wanted: sorted(micros for _, status, micros in answers if status == wanted)
    good, refused = times(200), len(times(429))
    if not good:
        sys.exit(f"h2load: no request was answered with 200: {ended.stdout}")
    took = max(start + micros for start, _, micros in answers) - min(start for start, _, _ in answers)
    return {
        "requests": len(answers),
        "rps": len(good) / took * 1e6,
        "p50_ms": percentile(good, 0.5) / 1e3,
        "p99_ms": percentile(good, 0.99) / 1e3,
        "refused": refused,
        # What was never answered is not in the log.
        "failed": count - len(good) - refused,
        "data_bytes": int(re.search(r"\((\d+)\) data", ended.stdout).group(1)),
    }


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
