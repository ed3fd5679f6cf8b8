"""What runs a broker, and formats its storage."""
import jars
from broker import TEMPLATES
from machine import quiet

JARS = TEMPLATES.parent.parent / ".dev" / "kafka-jars"


class Maven(jars.Maven):
    def __init__(self):
        super().__init__("Kafka", 55, TEMPLATES / "pom.xml", JARS, "log4j-slf4j-impl-2.25.3.jar")

    def format(self, broker):
        return quiet(broker.format_command(self.java, self.jars), 60)


class Docker(jars.Docker):
    def __init__(self):
        super().__init__("apache/kafka:4.4.0", "/opt/java/openjdk/bin/java", "/opt/kafka/libs", TEMPLATES)

    def format(self, broker):
        java, *words = broker.format_command(self.java, self.jars)
        return quiet(["docker", "run", "--rm", "--network", "none", "--user", self.user, "--entrypoint", java,
                      "--volume", f"{broker.home}:{broker.home}", "--volume", f"{TEMPLATES}:{TEMPLATES}:ro", self.image, *words], 120)

    def start(self, broker):
        self.up(broker, "broker", {"broker": broker})


def engines(wanted):
    return jars.prepared(wanted, Docker(), Maven())
