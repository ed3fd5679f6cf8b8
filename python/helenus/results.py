"""What commands answer, as dataclasses. `raw` is the command's JSON result, with every field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

from ._tables import Shown, Table, number

Json = dict[str, Any]


def _total(counts: Optional[dict[str, int]]) -> int:
    return sum((counts or {}).values())


@dataclass(frozen=True)
class Version(Shown):
    """A registered version of a model. Wherever a version is asked for, this object will do."""

    model: str
    version: int
    state: str
    sha256: str
    warnings: list[str] = field(default_factory=list, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    def __int__(self) -> int:
        return self.version

    def _title(self) -> str:
        return f"{self.model} version {self.version}: {self.state} (sha256 {self.sha256[:12]}…)"

    def _tables(self) -> Sequence[Table]:
        found = self.raw.get("found") or {}
        outputs = [[o["name"], o["element"], o.get("dims"), o.get("classes")] for o in found.get("outputs", [])]
        return [Table(["output", "type", "width", "classes"], outputs)]

    def _notes(self) -> Sequence[str]:
        return self.warnings


@dataclass(frozen=True)
class Run(Shown):
    """A run of a job. Counts are over all of its versions."""

    job: str
    run_id: str
    state: str
    scope: str
    source_rows: int
    scored: int
    unchanged: int
    rejected: int
    seconds: Optional[float] = None
    reason: Optional[str] = None
    warnings: list[str] = field(default_factory=list, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, raw: Json, warnings: Sequence[str] = ()) -> "Run":
        return cls(
            job=raw["job"], run_id=raw["run_id"], state=raw["state"], scope=raw["scope"], source_rows=raw["source_rows"],
            scored=_total(raw["scored"]), unchanged=_total(raw["unchanged"]), rejected=_total(raw["rejected"]),
            seconds=raw.get("seconds"), reason=raw.get("reason"), warnings=list(warnings or raw.get("warnings") or ()), raw=raw,
        )

    def _title(self) -> str:
        seconds = f" in {self.seconds:.1f} s" if self.seconds else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"run {self.run_id} of {self.job}: {self.state}{seconds}{reason}"

    def _tables(self) -> Sequence[Table]:
        versions = sorted({*self.raw["scored"], *self.raw["unchanged"], *self.raw["rejected"]}, key=int)
        counts = [[int(v), *(self.raw[what].get(v, 0) for what in ("scored", "unchanged", "rejected"))] for v in versions]
        return [Table(["version", "scored", "unchanged", "rejected"], counts, f"{self.source_rows} source rows")]

    def _notes(self) -> Sequence[str]:
        return self.warnings


@dataclass(frozen=True)
class VersionDifference:
    """How a version's predictions differ from those of the baseline."""

    version: int
    compared: int
    stale: int
    missing: int
    rejected: int
    agreement: Optional[float]
    rank_correlation: Optional[float]
    mean_difference: Optional[float]
    largest_difference: Optional[float]
    label_changes: list[Json] = field(repr=False)
    most_different: list[Json] = field(repr=False)


@dataclass(frozen=True)
class Comparison(Shown):
    """Stored predictions of versions beside each other; the first version is the baseline."""

    job: str
    baseline: int
    source_rows: int
    against: list[VersionDifference]
    warnings: list[str] = field(default_factory=list, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, raw: Json, warnings: Sequence[str] = ()) -> "Comparison":
        def difference(of: Json) -> VersionDifference:
            sizes, ranks = of.get("differences") or {}, of.get("rank_correlation") or {}
            return VersionDifference(
                version=of["version"], compared=of["compared"], stale=of["stale"], missing=of["missing"],
                rejected=of["rejected"], agreement=number(of.get("agreement")),
                rank_correlation=number(ranks.get("value")), mean_difference=number(sizes.get("mean")),
                largest_difference=number(sizes.get("largest")), label_changes=of.get("label_changes") or [],
                most_different=of.get("most_different") or [],
            )

        return cls(raw["job"], raw["baseline"], raw["source_rows"], [difference(of) for of in raw["against"]],
                   list(warnings), raw)

    def _title(self) -> str:
        return f"{self.job}: version {self.baseline} against {', '.join(str(a.version) for a in self.against)}"

    def _tables(self) -> Sequence[Table]:
        rows = [[a.version, a.compared, a.agreement, a.rank_correlation, a.mean_difference, a.largest_difference,
                 a.stale, a.missing, a.rejected] for a in self.against]
        changes = [[a.version, c["from"], c["to"], c["rows"]] for a in self.against for c in a.label_changes]
        most = [[a.version, m["key"], m["difference"], m["labels"]] for a in self.against for m in a.most_different]
        return [
            Table(["version", "compared", "agreement", "rank correlation", "mean difference", "largest", "stale", "missing",
                   "rejected"], rows, f"{self.source_rows} source rows"),
            Table(["version", "label was", "label is", "rows"], changes, "changed labels"),
            Table(["version", "key", "difference", "labels"], most, "entities that differ most"),
        ]

    def _notes(self) -> Sequence[str]:
        return self.warnings


@dataclass(frozen=True)
class EvaluatedVersion:
    """A version's metrics on the rows that all versions share, with the bounds of their 95 % intervals."""

    version: int
    aliases: list[str]
    rows: int
    metrics: dict[str, float]
    low: dict[str, float] = field(repr=False)
    high: dict[str, float] = field(repr=False)
    differences: dict[str, float] = field(default_factory=dict, repr=False)
    p_values: dict[str, float] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Evaluation(Shown):
    """Predictions held against labels; the first version is the baseline."""

    job: str
    task: str
    headline: Optional[str]
    labelled: int
    evaluated: int
    leakage: str
    versions: list[EvaluatedVersion]
    warnings: list[str] = field(default_factory=list, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, raw: Json, warnings: Sequence[str] = ()) -> "Evaluation":
        def numbers(of: Optional[Json]) -> dict[str, float]:
            return {name: float(value) for name, value in (of or {}).items() if value is not None}

        versions = []
        for of in raw["versions"]:
            against = of.get("against") or {}
            versions.append(EvaluatedVersion(
                version=of["version"], aliases=of.get("aliases") or [], rows=of["rows"], metrics=numbers(of["metrics"]),
                low=numbers(of.get("low")), high=numbers(of.get("high")), differences=numbers(against.get("differences")),
                p_values=numbers(against.get("p_values")),
            ))
        headline = raw.get("headline")
        return cls(raw["job"], raw["task"], headline if isinstance(headline, str) else None, raw["labelled"],
                   raw["evaluated"], raw["leakage"], versions, list(warnings), raw)

    def _title(self) -> str:
        return f"{self.job}: {self.task}, {self.evaluated} of {self.labelled} labelled rows count"

    def _tables(self) -> Sequence[Table]:
        names = list(dict.fromkeys(name for version in self.versions for name in version.metrics))
        rows = []
        for name in names:
            row: list[Any] = [name]
            for v in self.versions:
                value, low, high = v.metrics.get(name), v.low.get(name), v.high.get(name)
                row += [value, f"{low:.4f} … {high:.4f}" if low is not None and high is not None else None]
            rows.append(row)
        header = ["metric"]
        for v in self.versions:
            header += [f"version {v.version}", "95 %"]
        return [Table(header, rows)]

    def _notes(self) -> Sequence[str]:
        return self.warnings


@dataclass(frozen=True)
class ExplainedVersion:
    """How one version came to its prediction: what it was fed, what is stored, what it gives now."""

    version: int
    aliases: list[str]
    verdict: Optional[str]
    fed: list[Json] = field(repr=False)
    stored: Optional[Json]
    recomputed: Optional[Json] = field(repr=False)
    lineage: Optional[Json] = field(repr=False)


@dataclass(frozen=True)
class Explanation(Shown):
    """How the predictions of one entity were made."""

    job: str
    key: Json
    versions: list[ExplainedVersion]
    warnings: list[str] = field(default_factory=list, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, raw: Json, warnings: Sequence[str] = ()) -> "Explanation":
        versions = []
        for version, of in raw["versions"].items():
            # With `at` there is only what was stored then.
            stored = of.get("stored") or ({"outputs": of.get("outputs"), "lineage": of.get("lineage")} if "outputs" in of else {})
            recomputed = of.get("recomputed") or {}
            versions.append(ExplainedVersion(
                version=int(version), aliases=of.get("aliases") or [], verdict=of.get("verdict"), fed=of.get("fed") or [],
                stored=stored.get("outputs"), recomputed=recomputed.get("outputs"), lineage=stored.get("lineage"),
            ))
        return cls(raw["job"], raw["key"], versions, list(warnings), raw)

    def _title(self) -> str:
        return f"{self.job}: {', '.join(f'{name} = {value}' for name, value in self.key.items())}"

    def _tables(self) -> Sequence[Table]:
        tables = []
        for v in self.versions:
            names = list(dict.fromkeys([*(v.stored or {}), *(v.recomputed or {})]))
            rows = [[name, (v.stored or {}).get(name), (v.recomputed or {}).get(name)] for name in names]
            aliases = f" ({', '.join(v.aliases)})" if v.aliases else ""
            verdict = f": {v.verdict}" if v.verdict else ""
            tables.append(Table(["output", "stored", "recomputed"], rows, f"version {v.version}{aliases}{verdict}"))
            fed = [[f.get("feature"), f.get("column"), f.get("stored"), f.get("value")] for f in v.fed]
            tables.append(Table(["feature", "column", "stored", "fed"], fed))
        return tables

    def _notes(self) -> Sequence[str]:
        return self.warnings


@dataclass(frozen=True)
class DriftedFeature:
    """A feature or an output beside the reference or the run before."""

    version: int
    feature: str
    segment: Optional[str]
    against: str
    verdict: str
    cause: Optional[str]
    psi: Optional[float]
    p: Optional[float]
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Drift(Shown):
    """Whether features and outputs still look as they did."""

    job: str
    run_id: Optional[str]
    drifted: int
    features: list[DriftedFeature]
    warnings: list[str] = field(default_factory=list, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, raw: Json, warnings: Sequence[str] = ()) -> "Drift":
        features = [
            DriftedFeature(f["version"], f["feature"], f.get("segment"), f["against"], f["verdict"], f.get("cause"),
                           number(f.get("psi")), number(f.get("p")), f)
            for f in raw["features"]
        ]
        return cls(raw["job"], raw.get("run"), raw["drifted"], features, list(warnings), raw)

    def _title(self) -> str:
        return f"{self.job}: {self.drifted} of {len(self.features)} comparisons show drift"

    def _tables(self) -> Sequence[Table]:
        rows = [[f.version, f.feature, f.segment, f.against, f.verdict, f.psi, f.p] for f in self.features]
        return [Table(["version", "feature", "segment", "against", "verdict", "psi", "p"], rows)]

    def _notes(self) -> Sequence[str]:
        return self.warnings


@dataclass(frozen=True)
class Verification(Shown):
    """Stored predictions beside predictions made again."""

    job: str
    source_rows: int
    versions: dict[int, Json]
    differences: list[Json] = field(repr=False)
    warnings: list[str] = field(default_factory=list, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, raw: Json, warnings: Sequence[str] = ()) -> "Verification":
        return cls(raw["job"], raw["source_rows"], {int(v): of for v, of in raw["versions"].items()}, raw["differences"],
                   list(warnings), raw)

    def _title(self) -> str:
        return f"{self.job}: {self.source_rows} source rows verified, {len(self.differences)} differences"

    def _tables(self) -> Sequence[Table]:
        names = ("seen", "matching", "stale", "differing", "rejected")
        return [Table(["version", *names], [[v, *(of.get(name) for name in names)] for v, of in self.versions.items()])]

    def _notes(self) -> Sequence[str]:
        return self.warnings
