"""One node of an instance: its folder, configuration, command line and process."""
import contextlib
import os
import re
import string
from pathlib import Path

from releases import RELEASES, TEMPLATES


class Node:
    def __init__(self, instance, number):
        self.instance = instance
        self.number = number
        self.home = instance.home / f"node{number}"
        self.pid_file = instance.home / f"node{number}.pid"
        self.config = self.home / "cassandra.yaml"
        self.log = self.home / "log" / "system.log"
        self.output = self.home / "log" / "output.log"

    @property
    def address(self):
        head, last = self.instance.settings["address"].rsplit(".", 1)
        return f"{head}.{int(last) + self.number - 1}"

    @property
    def release(self):
        return RELEASES[self.instance.settings["release"]]

    def pid(self):
        """The node's process id, or None; never that of a stranger who was given the same number since."""
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if f"-Dcassandra.config=file://{self.config}".encode() in command else None

    def signal(self, number):
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def is_new(self):
        return not any((self.home / "data").glob("system/local-*"))

    def configure(self):
        settings = self.instance.settings
        for folder in ("data", "commitlog", "hints", "saved_caches", "cdc_raw", "log", "tmp"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        release = self.release
        parts = ["cassandra.yaml", *release.yaml, *(["cassandra-fast.yaml"] if settings["fast"] else release.yaml_unless_fast)]
        template = "".join((TEMPLATES / part).read_text() for part in parts)
        # Periodic sync, Cassandra's default, loses about the last 0.1 s of acknowledged writes when the process is killed.
        survives_kill = settings["fast"] and not settings["unsafe"]
        # New nodes find each other soonest through one seed; known ones must not depend on that one's being there.
        seeds = self.instance.nodes[: 1 if self.is_new() else None]
        step = 2**64 // settings["nodes"]
        self.config.write_text(string.Template(template).substitute(
            cluster=f"helenus-{self.instance.name}",
            token=(self.number - 1) * step - 2**63 + step // 2,
            seeds=",".join(f'{node.address}:{settings["storage_port"]}' for node in seeds),
            address=self.address, port=settings["port"], storage_port=settings["storage_port"], home=self.home,
            commitlog="commitlog_sync: batch" if survives_kill else "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms",
            authenticator="PasswordAuthenticator" if settings["auth"] else "AllowAllAuthenticator",
            authorizer="CassandraAuthorizer" if settings["auth"] else "AllowAllAuthorizer",
        ))
        self.output.write_text("")
        self.log.unlink(missing_ok=True)

    def command(self, java, jars):
        settings = self.instance.settings
        release = self.release
        lines = [line for file in ("jvm.options", *release.jvm_options) for line in (TEMPLATES / file).read_text().splitlines()]
        options = [line for line in lines if line[:1] == "-"]
        options += [f'-Xms{min(256, settings["heap_mb"])}m', f'-Xmx{settings["heap_mb"]}m']
        if settings["fast"]:
            options += ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
            # Half of a table's 500 kB of heap are management beans and histograms that nobody reads in a test.
            options += ["-Dorg.apache.cassandra.disable_mbean_registration=true", "-Dcassandra.dehr_stripe_count=1"]
            options += ["-Dcassandra.memtable.shard.count=1"]
            # Without fsync a crash of the machine loses data; a kill of the process does not.
            options += ["-Dcassandra.skip_sync=true"]
        else:
            options += ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=300"]
        if settings["unsafe"]:
            options += ["-Dcassandra.unsafesystem=true"]
        if settings["nodes"] == 1:
            options += ["-Dcassandra.ring_delay_ms=1", "-Dcassandra.load_ring_state=false"]
        options += [
            f"-Xlog:gc:file={self.home}/log/gc.log:uptime:filecount=2,filesize=10m",
            f"-javaagent:{jars}/{release.jamm}",
            f"-Djava.io.tmpdir={self.home}/tmp",
            f"-Dlogback.configurationFile=file://{TEMPLATES}/logback.xml",
            f"-Dcassandra.logdir={self.home}/log",
            f"-Dcassandra.storagedir={self.home}",
            f"-Dcassandra.config=file://{self.config}",
        ]
        return [java, *options, "-cp", f"{jars}/*", "org.apache.cassandra.service.CassandraDaemon"]

    def sees_all_others(self):
        said = re.findall(r"InetAddress /([\d.]+):\d+ is now (UP|DOWN)", self.log.read_text(errors="replace"))
        others = [node.address for node in self.instance.nodes if node.number != self.number]
        return all(dict(said).get(other) == "UP" for other in others)

    def why_it_died(self):
        text = "".join(p.read_text(errors="replace") for p in (self.log, self.output) if p.exists())
        # Without management beans every garbage collection prints a null pointer's trace: harmless, and never the reason.
        text = re.sub(r'java\.lang\.NullPointerException[^\n]*"gcState" is null\n(\s+at [^\n]*\n)*', "", text)
        lines = [line for line in text.splitlines() if line.strip()]
        causes = [line for line in lines if re.match(r"ERROR|Caused by|.*(BindException|OutOfMemoryError|ConfigurationException)", line)]
        return "\n".join(["  " + line for line in lines[-25:]] + ["  likely cause: " + line.strip() for line in causes[-1:]])
