"""Two ways to come by Kafka's jars and a Java to run them: Maven artifacts with a local JDK, or a container image."""
import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import engines as cassandra
from broker import TEMPLATES
from machine import Failure, locked, quiet, say

JARS = TEMPLATES.parent.parent / ".dev" / "kafka-jars"
IMAGE = "apache/kafka:4.4.0"
IMAGE_JARS = "/opt/kafka/libs"
IMAGE_JAVA = "/opt/java/openjdk/bin/java"
BINDING = "log4j-slf4j-impl-2.25.3.jar"
INSTALL_MAVEN = "apt install maven"


class Maven:
    name = "maven"

    def prepare(self):
        self.java = cassandra.find_java()
        pom = TEMPLATES / "pom.xml"
        fingerprint = hashlib.sha256(pom.read_bytes()).hexdigest()
        stamp = JARS / "pom.sha256"
        with locked(JARS.parent / ".kafka-jars.lock"):
            if stamp.exists() and stamp.read_text() == fingerprint:
                return
            if not shutil.which("mvn"):
                raise Failure(f"Maven is missing (it fetches Kafka's jars): {INSTALL_MAVEN}")
            say("fetching Kafka's jars from Maven Central into .dev/kafka-jars, once (about 55 MB)")
            half = JARS.with_name("kafka-jars.part")
            shutil.rmtree(half, ignore_errors=True)
            done = subprocess.run(
                ["mvn", "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={half}"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, "JAVA_HOME": str(Path(self.java).parent.parent)})
            if done.returncode or not (half / BINDING).exists():
                raise Failure("Maven could not fetch Kafka's jars:\n" + (done.stdout + done.stderr)[-2000:])
            (half / "pom.sha256").write_text(fingerprint)
            shutil.rmtree(JARS, ignore_errors=True)
            half.rename(JARS)

    def format(self, broker):
        return quiet(broker.format_command(self.java, JARS), 60)

    def start(self, broker):
        with open(broker.output, "ab") as output:
            process = subprocess.Popen(broker.command(self.java, JARS), cwd=broker.home, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        broker.pid_file.write_text(f"{process.pid}\n")
        # The command line is empty for a moment after exec.
        while broker.pid() is None and process.poll() is None:
            time.sleep(0.005)


class Docker:
    """The image lends Java and the jars; network and folders are the host's, so addresses and paths are the same as without."""
    name = "docker"

    def prepare(self):
        if quiet(["docker", "version", "--format", "{{.Server.Version}}"], 10).returncode:
            raise Failure("no container engine answers (docker version)")
        if quiet(["docker", "compose", "version"], 10).returncode:
            raise Failure("the docker compose plugin is missing: apt install docker-compose-plugin")
        if quiet(["docker", "image", "inspect", IMAGE], 20).returncode:
            say(f"pulling {IMAGE}, once")
            pulled = quiet(["docker", "pull", "--quiet", IMAGE], 600)
            if pulled.returncode:
                raise Failure(f"{IMAGE} can't be pulled: {pulled.stderr.strip()[-300:]}")

    def format(self, broker):
        java, *words = broker.format_command(IMAGE_JAVA, IMAGE_JARS)
        return quiet(["docker", "run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}", "--entrypoint", java,
                      "--volume", f"{broker.home}:{broker.home}", "--volume", f"{TEMPLATES}:{TEMPLATES}:ro", IMAGE, *words], 120)

    def compose(self, instance, *words, seconds=120):
        project = "helenus-" + hashlib.sha256(str(instance.home).encode()).hexdigest()[:8] + "-" + instance.name
        return quiet(["docker", "compose", "--project-name", project, "--file", str(instance.home / "compose.json"), *words], seconds)

    def start(self, broker):
        instance = broker.instance
        # Compose reads JSON as YAML; a dollar would be a variable to it.
        services = {"broker": {
            "image": IMAGE, "network_mode": "host", "user": f"{os.getuid()}:{os.getgid()}", "working_dir": str(broker.home),
            "entrypoint": [word.replace("$", "$$") for word in broker.command(IMAGE_JAVA, IMAGE_JARS)],
            "command": [], "init": False, "stop_grace_period": "60s",
            "volumes": [f"{broker.home}:{broker.home}", f"{TEMPLATES}:{TEMPLATES}:ro"],
        }}
        (broker.home / "compose.json").write_text(json.dumps({"services": services}, indent=1))
        started = self.compose(instance, "up", "--detach")
        if started.returncode:
            raise Failure(f"docker compose up failed: {started.stderr.strip()[-500:]}")
        container = self.compose(instance, "ps", "--all", "--quiet", "broker").stdout.strip()
        pid = quiet(["docker", "inspect", "--format", "{{.State.Pid}}", container], 20).stdout.strip()
        broker.pid_file.write_text(f"{pid}\n")
        deadline = time.monotonic() + 5
        while broker.pid() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if broker.pid() is None:
            logs = self.compose(instance, "logs", "--no-color", "broker").stdout
            raise Failure("the container ended at once, or its process is not visible on this host:\n" + logs[-1500:])

    def stopped(self, instance):
        if (instance.home / "compose.json").exists():
            self.compose(instance, "down")


def engines(wanted):
    """Prepared engines, in the order to try them."""
    docker_says = "the container did not come up"
    if wanted in ("auto", "docker"):
        try:
            engine = Docker()
            engine.prepare()
            yield engine
        except Failure as failure:
            if wanted == "docker":
                raise
            docker_says = str(failure)
    if wanted in ("auto", "maven"):
        try:
            engine = Maven()
            engine.prepare()
        except Failure as failure:
            raise Failure(f"{failure}\n(or Docker with compose; here: {docker_says})" if wanted == "auto" else str(failure)) from None
        yield engine
