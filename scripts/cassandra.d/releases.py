"""The releases of Cassandra that can be started, and what differs between them."""
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parent
STATE = TEMPLATES.parent.parent / ".dev"


@dataclass(frozen=True)
class Release:
    number: str
    image: str
    # Names the jars for Maven, and where they are kept.
    pom: Path
    jars: Path
    # The agent that measures objects; each release works with its own version only.
    jamm: str
    # Beside cassandra.yaml and jvm.options, which all releases read.
    yaml: tuple
    yaml_unless_fast: tuple
    jvm_options: tuple


RELEASES = {release.number: release for release in (
    Release("5.0", "cassandra:5.0", TEMPLATES / "pom.xml", STATE / "cassandra-jars", "jamm-0.4.0.jar",
            ("cassandra-5.0.yaml",), ("cassandra-latest.yaml",), ()),
    Release("4.1", "cassandra:4.1", TEMPLATES / "pom-4.1.xml", STATE / "cassandra-jars-4.1", "jamm-0.3.2.jar",
            (), (), ("jvm-4.1.options",)),
)}
DEFAULT = "5.0"
