"""`connect()` and what it returns."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Optional, Sequence, Union

from . import _progress, predictions as _predictions
from ._binary import find_binary
from ._call import Command, to_stderr
from .errors import NotFound
from .results import Comparison, Drift, Evaluation, Explanation, Run, Verification, Version

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: A version by number or alias, or as `push` returned it.
AnyVersion = Union[int, str, Version]
#: An entity: the value of a key with one column, or all key columns by name.
Key = Union[str, int, Mapping[str, Any]]


def connect(
    *contact_points: str,
    keyspace: Optional[str] = None,
    config: Optional[Union[str, "os.PathLike[str]"]] = None,
    username: Optional[str] = None,
    password: Optional[str] = None,
    binary: Optional[str] = None,
    **settings: Any,
) -> "Helenus":
    """Returns a client with the same settings as the command line: `connect()`, or `connect("db1", keyspace="helenus")`.

    `settings` are those of docs/configuration.md with `_` for dots (`tls_ca="ca.pem"`). The settings are checked at once;
    Cassandra is first spoken to when something is asked.
    """
    given: dict[str, Any] = {
        "contact_points": ",".join(contact_points) or None, "keyspace": keyspace, "config": config and os.fspath(config),
        "username": username, "password": password, **settings,
    }
    variables = {f"HELENUS_{name.upper()}": _setting(value) for name, value in given.items() if value is not None}
    command = Command(binary or find_binary(), variables=variables)
    values = command("config")["result"]
    return Helenus(command, values)


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _version(version: AnyVersion) -> str:
    return str(version.version) if isinstance(version, Version) else str(version)


def _words(**options: Any) -> list[str]:
    """Options of a command: None and False are left out, True is a flag, a list repeats the option."""
    words: list[str] = []
    for name, value in options.items():
        option = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
            continue
        for item in value if isinstance(value, (list, tuple)) else [value]:
            words.append(f"{option}={item}")
    return words


def _versions(versions: Sequence[AnyVersion]) -> str:
    return ",".join(map(_version, versions))


class Helenus:
    """helenus in one keyspace. Each call runs the executable, so everything is as on the command line."""

    def __init__(self, command: Command, settings: Any) -> None:
        self._command = command
        self._settings = settings

    def __repr__(self) -> str:
        return f"helenus.connect({self.setting('contact_points')!r}, keyspace={self.setting('keyspace')!r})"

    def setting(self, name: str) -> Any:
        """Returns the value of a setting, as `helenus config` shows it."""
        return self._settings["settings"][name]["value"]

    def run(self, *arguments: str) -> Any:
        """Runs any command and returns its JSON result: `h.run("trigger", "list", "tumour")`."""
        return self._command(*arguments)["result"]

    def migrate(self, **options: Any) -> Any:
        """Creates the keyspace and its tables, or brings them up to date."""
        return self.run("migrate", *_words(**options))

    # Models

    @property
    def models(self) -> list[str]:
        """The names of all models."""
        return [model["name"] for model in self.run("model", "list")["models"]]

    def versions(self, model: str) -> list[dict[str, Any]]:
        """Returns a model's versions, newest first."""
        versions: list[dict[str, Any]] = self.run("model", "list", model)["versions"]
        return versions

    def version(self, model: str, version: Optional[AnyVersion] = None) -> Version:
        """Returns one version; without a number or alias the champion, or else the newest."""
        answer = self._command("model", "show", model, *([] if version is None else [_version(version)]))
        shown = answer["result"]
        found = (shown.get("admission") or {}).get("found")
        return Version(model, shown["version"], shown["state"], shown["registered"]["sha256"], answer["warnings"],
                       {**shown, "found": found})

    def push(
        self,
        model: str,
        pipeline: Any,
        X_holdout: Any = None,
        *,
        reference: Any = None,
        features: Optional[Sequence[str]] = None,
        classes: Optional[Sequence[Any]] = None,
        golden: Optional[Union[str, "os.PathLike[str]"]] = None,
        text: Optional[Mapping[str, str]] = None,
        rtol: Optional[float] = None,
        atol: Optional[float] = None,
        tags: Optional[Mapping[str, str]] = None,
        metrics: Optional[Mapping[str, float]] = None,
        note: Optional[str] = None,
        widths: Optional[Mapping[str, int]] = None,
        accept: Optional[str] = None,
        wait: Optional[int] = None,
    ) -> Version:
        """Registers a fitted pipeline, or an ONNX file, as the model's next version and has it admitted.

        `pipeline` is a fitted estimator or pipeline of scikit-learn, LightGBM, XGBoost or CatBoost, or the path of an ONNX
        file. `X_holdout` are rows that it was not trained on, 100 or more: the export is compared with the pipeline on
        all of them, and they become the golden rows. `reference` are training rows, which later runs are compared with
        (drift). `text` says which transformations the job applies to text features (`{"review": "lower"}`).

        Raises `ExportRefused` if the export does not predict what the pipeline predicts, and `NegativeAnswer` if
        admission would reject the model; nothing is registered then.
        """
        with tempfile.TemporaryDirectory(prefix="helenus-") as folder:
            if isinstance(pipeline, (str, os.PathLike)):
                file, facts = os.fspath(pipeline), _words(golden=golden and os.fspath(golden))
                if features is not None:
                    facts += ["--features", _file(folder, "features.txt", "".join(f"{name}\n" for name in features))]
            else:
                from .export import export

                made = export(pipeline, X_holdout, features=features, classes=classes, text=text, rtol=rtol, atol=atol)
                file, facts = made.write(folder)
                rtol, atol, classes = made.rtol, made.atol, None
            if classes is not None:
                facts.append("--classes=" + ",".join(map(str, classes)))
            facts += _words(rtol=rtol, atol=atol, accept=accept,
                            width=[f"{name}={width}" for name, width in (widths or {}).items()])
            # Nothing is registered that admission would reject.
            self._command("model", "check", file, *facts, listener=to_stderr)
            if reference is not None:
                from .export.reference import write_reference

                facts += ["--reference", write_reference(reference, folder)]
            answer = self._command(
                "model", "push", model, file, *facts,
                *_words(note=note, wait=wait, tag=[f"{key}={value}" for key, value in (tags or {}).items()],
                        metric=[f"{key}={value}" for key, value in (metrics or {}).items()]),
                listener=to_stderr,
            )
        result = answer["result"]
        return Version(model, result["version"], result["state"], result["sha256"], answer["warnings"], result)

    def pull(self, model: str, version: AnyVersion, path: Union[str, "os.PathLike[str]"]) -> Any:
        """Writes a version's ONNX file."""
        return self.run("model", "pull", model, _version(version), "-o", os.fspath(path))

    def promote(self, model: str, version: AnyVersion, *, alias: Optional[str] = None, why: Optional[str] = None,
                **options: Any) -> Any:
        """Points an alias, by default the champion, at a version; options as of `helenus model promote`."""
        return self.run("model", "promote", model, _version(version), *_words(alias=alias, why=why, **options))

    def rollback(self, model: str, *, alias: Optional[str] = None, why: Optional[str] = None, **options: Any) -> Any:
        """Points an alias back at the version before."""
        return self.run("model", "rollback", model, *_words(alias=alias, why=why, **options))

    # Jobs

    @property
    def jobs(self) -> "Jobs":
        """The jobs, by name: `h.jobs["tumour"].score()`."""
        return Jobs(self)

    def score(self, job: str, **options: Any) -> Run:
        """As `Job.score`."""
        return self.jobs[job].score(**options)

    def predictions(self, job: str, version: Optional[AnyVersion] = "champion", *, run: Optional[str] = None,
                    where: Optional[str] = None, top: Optional[int] = None, by: Optional[str] = None,
                    max_rate: Optional[int] = None) -> "pandas.DataFrame":
        """Returns stored predictions as a DataFrame: key, version, outputs, and of the lineage the model's sha256, run and time.

        `version` None: those of all versions. `where` is a condition (`"p_malignant > 0.9"`), `top` and `by` the largest values.
        """
        words = _predictions.options(None if version is None else _version(version), run, where, top, by, max_rate)
        return _predictions.read_pandas(self._command, job, words)

    def arrow(self, job: str, version: Optional[AnyVersion] = "champion", *, run: Optional[str] = None,
              where: Optional[str] = None, top: Optional[int] = None, by: Optional[str] = None,
              max_rate: Optional[int] = None) -> "pyarrow.Table":
        """Returns stored predictions as a pyarrow table; arguments as of `predictions`."""
        words = _predictions.options(None if version is None else _version(version), run, where, top, by, max_rate)
        return _predictions.read_arrow(self._command, job, words)

    def iter_batches(self, job: str, version: Optional[AnyVersion] = "champion", *, rows: int = 65_536,
                     run: Optional[str] = None, where: Optional[str] = None,
                     max_rate: Optional[int] = None) -> "Iterator[pyarrow.RecordBatch]":
        """Yields stored predictions in batches: for tables that do not fit in memory. They are on disk meanwhile."""
        words = _predictions.options(None if version is None else _version(version), run, where, None, None, max_rate)
        return _predictions.read_batches(self._command, job, words, rows)

    # Evidence

    def compare(self, job: str, *versions: AnyVersion, segment: Optional[str] = None, score: Optional[str] = None,
                top: Optional[int] = None, **options: Any) -> Comparison:
        """Compares the stored predictions of two to four versions, the baseline first."""
        answer = self._command("compare", job, "--versions", _versions(versions),
                               *_words(segment=segment, score=score, top=top, **options))
        return Comparison.of(answer["result"], answer["warnings"])

    def evaluate(self, job: str, *versions: AnyVersion, labels: str, positive: Optional[str] = None,
                 label_time: Optional[str] = None, threshold: Optional[Sequence[float]] = None,
                 segment: Optional[str] = None, **options: Any) -> Evaluation:
        """Holds predictions against labels (`labels="keyspace.table.column"`); options as of `helenus evaluate`."""
        thresholds = None if threshold is None else ",".join(map(str, threshold))
        answer = self._command(
            "evaluate", job, "--versions", _versions(versions), "--labels", labels,
            *_words(positive=positive, label_time=label_time, threshold=thresholds, segment=segment, **options))
        return Evaluation.of(answer["result"], answer["warnings"])

    def explain(self, job: str, key: Key, *, at: Optional[str] = None) -> Explanation:
        """Shows how the predictions of one entity were made."""
        answer = self._command("explain", job, *_words(at=at), "--", *_key(key))
        return Explanation.of(answer["result"], answer["warnings"])

    def drift(self, job: str, *, run: Optional[str] = None, scan: bool = False, **options: Any) -> Drift:
        """Shows whether features and outputs have drifted; `scan` reads the table now, without scoring."""
        answer = self._command("drift", job, *_words(run=run, scan=scan, **options))
        return Drift.of(answer["result"], answer["warnings"])

    def verify(self, job: str, **options: Any) -> Verification:
        """Scores rows again and compares them with what is stored; options as of `helenus verify`."""
        answer = self._command("verify", job, *_words(**options))
        return Verification.of(answer["result"], answer["warnings"])


def _key(key: Key) -> list[str]:
    if isinstance(key, Mapping):
        return [f"{name}={value}" for name, value in key.items()]
    return [str(key)]


def _file(folder: str, name: str, text: str) -> str:
    path = Path(folder, name)
    path.write_text(text, encoding="utf-8")
    return os.fspath(path)


class Jobs(Mapping[str, "Job"]):
    """All jobs by name."""

    def __init__(self, helenus: Helenus) -> None:
        self._helenus = helenus

    def _list(self) -> list[str]:
        return [job["job"] for job in self._helenus.run("job", "list")["jobs"]]

    def __getitem__(self, name: str) -> "Job":
        return Job(self._helenus, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._list())

    def __len__(self) -> int:
        return len(self._list())

    def __contains__(self, name: object) -> bool:
        return name in self._list()

    def __repr__(self) -> str:
        return f"Jobs({self._list()})"

    def create(self, manifest: Union[str, "os.PathLike[str]"], *, note: Optional[str] = None, wait: Optional[int] = None) -> "Job":
        """Adds a job, or a new revision of one: a manifest's path, or its text (TOML)."""
        options = _words(note=note, wait=wait)
        if isinstance(manifest, str) and "\n" in manifest:
            with tempfile.TemporaryDirectory(prefix="helenus-") as folder:
                result = self._helenus.run("job", "create", _file(folder, "job.toml", manifest), *options)
        else:
            result = self._helenus.run("job", "create", os.fspath(manifest), *options)
        return Job(self._helenus, result["job"])


class Job:
    """A job: which versions of which model score which table."""

    def __init__(self, helenus: Helenus, name: str) -> None:
        self._helenus = helenus
        self.name = name

    def __repr__(self) -> str:
        return f"Job({self.name!r})"

    @property
    def manifest(self) -> str:
        """The manifest of the newest revision (TOML)."""
        return str(self.show()["manifest"])

    def show(self) -> Any:
        """Returns the newest revision: state, problems, tables, manifest."""
        return self._helenus.run("job", "show", self.name)

    def score(self, *, scope: Optional[str] = None, versions: Sequence[AnyVersion] = (), keys: Any = None,
              note: Optional[str] = None, progress: Optional[bool] = None, max_rate: Optional[int] = None,
              wait: Optional[int] = None) -> Run:
        """Scores the pending rows (`scope="all"`: every row) and returns the run when it has ended.

        `keys` limits the run to a DataFrame's rows or a CSV file's: all primary key columns. `progress`: whether to show a
        bar; by default in terminals and notebooks. An interrupted call can be repeated: it continues.
        Raises `NegativeAnswer` if the run failed on its data.
        """
        with tempfile.TemporaryDirectory(prefix="helenus-") as folder:
            if keys is not None and not isinstance(keys, (str, os.PathLike)):
                keys = _file(folder, "keys.csv", keys.to_csv(index=False))
            words = _words(scope=scope, version=[int(_version(v)) for v in versions], keys=keys, note=note, max_rate=max_rate,
                           wait=wait)
            with _progress.bar(self.name, progress) as listener:
                answer = self._helenus._command("score", self.name, "--progress", *words, listener=listener)
        return Run.of(answer["result"], answer["warnings"])

    def runs(self, limit: int = 20) -> list[Run]:
        """Returns the newest runs."""
        try:
            return [Run.of(run) for run in self._helenus.run("run", "list", self.name, f"--limit={limit}")]
        except NotFound:
            return []

    def rejected(self, run: Optional[str] = None, limit: int = 100) -> list[dict[str, Any]]:
        """Returns rows that a run rejected, with their reasons."""
        rows: list[dict[str, Any]] = self._helenus.run(
            "run", "rejected", self.name, *([] if run is None else [run]), f"--limit={limit}")
        return rows

    def predictions(self, version: Optional[AnyVersion] = "champion", **options: Any) -> "pandas.DataFrame":
        """As `Helenus.predictions`."""
        return self._helenus.predictions(self.name, version, **options)

    def arrow(self, version: Optional[AnyVersion] = "champion", **options: Any) -> "pyarrow.Table":
        """As `Helenus.arrow`."""
        return self._helenus.arrow(self.name, version, **options)

    def iter_batches(self, version: Optional[AnyVersion] = "champion", **options: Any) -> "Iterator[pyarrow.RecordBatch]":
        """As `Helenus.iter_batches`."""
        return self._helenus.iter_batches(self.name, version, **options)

    def compare(self, *versions: AnyVersion, **options: Any) -> Comparison:
        """As `Helenus.compare`."""
        return self._helenus.compare(self.name, *versions, **options)

    def evaluate(self, *versions: AnyVersion, labels: str, **options: Any) -> Evaluation:
        """As `Helenus.evaluate`."""
        return self._helenus.evaluate(self.name, *versions, labels=labels, **options)

    def explain(self, key: Key, *, at: Optional[str] = None) -> Explanation:
        """As `Helenus.explain`."""
        return self._helenus.explain(self.name, key, at=at)

    def drift(self, **options: Any) -> Drift:
        """As `Helenus.drift`."""
        return self._helenus.drift(self.name, **options)

    def verify(self, **options: Any) -> Verification:
        """As `Helenus.verify`."""
        return self._helenus.verify(self.name, **options)
