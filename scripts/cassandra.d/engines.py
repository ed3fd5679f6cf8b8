"""What runs a release of Cassandra."""
import jars
from releases import TEMPLATES


class Docker(jars.Docker):
    def __init__(self, release):
        super().__init__(release.image, "java", "/opt/cassandra/lib", TEMPLATES)

    def start(self, node):
        self.up(node, f"node{node.number}", {f"node{other.number}": other for other in node.instance.nodes})


def engines(wanted, release):
    maven = jars.Maven("Cassandra", 70, release.pom, release.jars, release.jamm)
    return jars.prepared(wanted, Docker(release), maven)
