"""Two ways to come by a server's jars and a Java to run them: Maven artifacts with a local JDK, or a container image."""
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from machine import Failure, locked, quiet, say

INSTALL_JDK = "apt install openjdk-17-jdk-headless"
INSTALL_MAVEN = "apt install maven"


class Maven:
    name = "maven"

    def __init__(self, server, megabytes, pom, jars, witness):
        """`witness`: a jar that is there once all are."""
        self.server, self.megabytes, self.pom, self.jars, self.witness = server, megabytes, pom, jars, witness

    def prepare(self):
        self.java = find_java()
        fingerprint = hashlib.sha256(self.pom.read_bytes()).hexdigest()
        stamp = self.jars / "pom.sha256"
        with locked(self.jars.parent / f".{self.jars.name}.lock"):
            if stamp.exists() and stamp.read_text() == fingerprint:
                return
            if not shutil.which("mvn"):
                raise Failure(f"Maven is missing (it fetches {self.server}'s jars): {INSTALL_MAVEN}")
            say(f"fetching {self.server}'s jars from Maven Central into .dev/{self.jars.name}, once (about {self.megabytes} MB)")
            half = self.jars.with_name(f"{self.jars.name}.part")
            shutil.rmtree(half, ignore_errors=True)
            done = subprocess.run(
                ["mvn", "-B", "-q", "-f", str(self.pom), "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={half}"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, "JAVA_HOME": str(Path(self.java).parent.parent)})
            if done.returncode or not (half / self.witness).exists():
                raise Failure(f"Maven could not fetch {self.server}'s jars:\n" + (done.stdout + done.stderr)[-2000:])
            (half / "pom.sha256").write_text(fingerprint)
            shutil.rmtree(self.jars, ignore_errors=True)
            half.rename(self.jars)

    def start(self, node):
        with open(node.output, "ab") as output:
            process = subprocess.Popen(node.command(self.java, self.jars), cwd=node.home, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        node.pid_file.write_text(f"{process.pid}\n")
        # The command line is empty for a moment after exec.
        while node.pid() is None and process.poll() is None:
            time.sleep(0.005)


class Docker:
    """The image lends Java and the jars; network and folders are the host's, so addresses and paths are the same as without."""
    name = "docker"

    def __init__(self, image, java, jars, templates):
        """`java`, `jars`: where the image has them."""
        self.image, self.java, self.jars, self.templates = image, java, jars, templates
        self.user = f"{os.getuid()}:{os.getgid()}"

    def prepare(self):
        if quiet(["docker", "version", "--format", "{{.Server.Version}}"], 10).returncode:
            raise Failure("no container engine answers (docker version)")
        if quiet(["docker", "compose", "version"], 10).returncode:
            raise Failure("the docker compose plugin is missing: apt install docker-compose-plugin")
        if quiet(["docker", "image", "inspect", self.image], 20).returncode:
            say(f"pulling {self.image}, once")
            pulled = quiet(["docker", "pull", "--quiet", self.image], 600)
            if pulled.returncode:
                raise Failure(f"{self.image} can't be pulled: {pulled.stderr.strip()[-300:]}")

    def compose(self, instance, *words, seconds=120):
        project = "helenus-" + hashlib.sha256(str(instance.home).encode()).hexdigest()[:8] + "-" + instance.name
        return quiet(["docker", "compose", "--project-name", project, "--file", str(instance.home / "compose.json"), *words], seconds)

    def up(self, node, service, nodes):
        """Starts `node`, which is named `service` among `nodes`, by name."""
        instance = node.instance
        # Compose reads JSON as YAML; a dollar would be a variable to it.
        services = {name: {
            "image": self.image, "network_mode": "host", "user": self.user, "working_dir": str(other.home),
            "entrypoint": [word.replace("$", "$$") for word in other.command(self.java, self.jars)],
            "command": [], "init": False, "stop_grace_period": "60s",
            "volumes": [f"{instance.home}:{instance.home}", f"{self.templates}:{self.templates}:ro"],
        } for name, other in nodes.items()}
        (instance.home / "compose.json").write_text(json.dumps({"services": services}, indent=1))
        started = self.compose(instance, "up", "--detach", "--no-deps", service)
        if started.returncode:
            raise Failure(f"docker compose up failed: {started.stderr.strip()[-500:]}")
        container = self.compose(instance, "ps", "--all", "--quiet", service).stdout.strip()
        pid = quiet(["docker", "inspect", "--format", "{{.State.Pid}}", container], 20).stdout.strip()
        node.pid_file.write_text(f"{pid}\n")
        deadline = time.monotonic() + 5
        while node.pid() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if node.pid() is None:
            logs = self.compose(instance, "logs", "--no-color", service).stdout
            raise Failure("the container ended at once, or its process is not visible on this host:\n" + logs[-1500:])

    def stopped(self, instance):
        if (instance.home / "compose.json").exists():
            self.compose(instance, "down")


def find_java():
    """A Java 17, which Cassandra 5.0 is made for and 4.1 runs on (jvm-4.1.options); newer ones refuse what they do."""
    homes = [os.environ.get("HELENUS_JAVA_HOME"), os.environ.get("JAVA_HOME")]
    if shutil.which("java"):
        homes.append(Path(os.path.realpath(shutil.which("java"))).parent.parent)
    homes += sorted(Path("/usr/lib/jvm").glob("*")) if Path("/usr/lib/jvm").is_dir() else []
    seen = []
    for home in filter(None, homes):
        java = Path(home) / "bin" / "java"
        if java.is_file():
            version = re.search(r'version "(\d+)', quiet([str(java), "-version"], 20).stderr)
            if version and version[1] == "17":
                return str(java)
            if version:
                seen.append(f"{version[1]} in {home}")
    found = f" (found only {', '.join(dict.fromkeys(seen))})" if seen else ""
    raise Failure(f"JDK 17 is missing, the Java that Cassandra and Kafka run on{found}: {INSTALL_JDK}")


def prepared(wanted, docker, maven):
    """Prepared engines, in the order to try them."""
    docker_says = "the container did not come up"
    if wanted in ("auto", "docker"):
        try:
            docker.prepare()
            yield docker
        except Failure as failure:
            if wanted == "docker":
                raise
            docker_says = str(failure)
    if wanted in ("auto", "maven"):
        try:
            maven.prepare()
        except Failure as failure:
            raise Failure(f"{failure}\n(or Docker with compose; here: {docker_says})" if wanted == "auto" else str(failure)) from None
        yield maven
