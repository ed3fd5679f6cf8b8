"""The broker of an instance: its folder, configuration, command lines and process."""
import contextlib
import os
import re
import string
from pathlib import Path

import secure

TEMPLATES = Path(__file__).resolve().parent


class Broker:
    def __init__(self, instance):
        self.instance = instance
        self.home = instance.home
        self.pid_file = self.home / "broker.pid"
        self.config = self.home / "server.properties"
        self.data = self.home / "data"
        self.log = self.home / "log" / "broker.log"
        self.output = self.home / "log" / "output.log"
        self.secrets = self.home / "secure"

    def pid(self):
        """The broker's process id, or None; never that of a stranger who was given the same number since."""
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self.config).encode() in command else None

    def signal(self, number):
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def is_formatted(self):
        return (self.data / "meta.properties").exists() and bool(list(self.data.glob("bootstrap.checkpoint")))

    def configure(self):
        settings = self.instance.settings
        for folder in (self.data, self.home / "log", self.home / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        text = string.Template((TEMPLATES / "server.properties").read_text()).substitute(
            port=settings["port"], controller_port=settings["controller_port"], data=self.data,
            secure_listener=f',SASL_SSL://127.0.0.1:{settings["secure_port"]}' if settings["secure"] else "",
            controller_listener=f',CONTROLLER://127.0.0.1:{settings["controller_port"]}')
        if settings["fast"]:
            text += (TEMPLATES / "server-fast.properties").read_text()
        if settings["secure"]:
            secure.make_certificates(self.secrets)
            text += secure.listener(self.secrets)
        self.config.touch(mode=0o600)
        self.config.write_text(text)
        self.output.write_text("")
        self.log.unlink(missing_ok=True)

    def options(self, java, jars, heap_mb, logging):
        return [java, "-Xms64m", f"-Xmx{heap_mb}m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", f"-Djava.io.tmpdir={self.home}/tmp",
                f"-Dlog4j2.configurationFile=file:{TEMPLATES}/log4j2.properties", f"-Dkafka.logs.dir={logging}", "-cp", f"{jars}/*"]

    def command(self, java, jars):
        settings = self.instance.settings
        options = self.options(java, jars, settings["heap_mb"], self.home / "log")
        if not settings["fast"]:
            options.remove("-XX:TieredStopAtLevel=1")
        options[1:1] = ["-XX:+UseSerialGC"] if settings["fast"] else ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50"]
        return [*options, "kafka.Kafka", str(self.config)]

    def format_command(self, java, jars):
        words = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", self.instance.settings["cluster_id"], "-c", str(self.config)]
        if self.instance.settings["secure"]:
            words += ["--add-scram", secure.scram(self.secrets)]
        # Another folder for its log: two processes would take turns in renaming one file.
        return [*self.options(java, jars, 128, self.home / "tmp"), *words]

    def why_it_died(self):
        text = "".join(path.read_text(errors="replace") for path in (self.log, self.output) if path.exists())
        lines = [line for line in text.splitlines() if line.strip()]
        causes = [line for line in lines if re.search(r"\b(ERROR|FATAL)\b|^Caused by|Exception:", line)]
        return "\n".join(["  " + line for line in lines[-15:]] + ["  likely cause: " + line.strip() for line in causes[-1:]])
