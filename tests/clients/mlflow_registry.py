"""Logs ONNX files as versions of a model of an MLflow registry, and moves an alias.

    mlflow_registry.py log NAME FILE SIGNATURE [--features A,B] [--classes A,B] [--beside FILE …]
    mlflow_registry.py alias NAME ALIAS VERSION
    mlflow_registry.py sklearn NAME

SIGNATURE: `columns:a,b` (a DataFrame's), `tensor:30`, or `none`. Prints the number of the version.
"""
import argparse
import os
import shutil
import tempfile

import mlflow
import numpy
import onnx
from mlflow.models import ModelSignature
from mlflow.models.model import Model
from mlflow.types import ColSpec, Schema, TensorSpec


def signature(text):
    kind, _, rest = text.partition(":")
    if kind == "columns":
        return ModelSignature(inputs=Schema([ColSpec("float", name) for name in rest.split(",")]))
    if kind == "tensor":
        return ModelSignature(inputs=Schema([TensorSpec(numpy.dtype("float32"), (-1, int(rest)))]))
    return None


def register(folder, name, run):
    """The folder's files as artifacts of the run, and as the next version of the model."""
    client = mlflow.MlflowClient()
    client.log_artifacts(run.info.run_id, folder, "model")
    try:
        client.create_registered_model(name)
    except mlflow.exceptions.MlflowException as error:
        if "already exists" not in str(error):
            raise
    source = f"{run.info.artifact_uri}/model"
    print(client.create_model_version(name, source, run.info.run_id).version)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("words", nargs="+")
    parser.add_argument("--features")
    parser.add_argument("--classes")
    parser.add_argument("--beside", action="append", default=[])
    arguments = parser.parse_args()
    words = arguments.words
    if arguments.command == "alias":
        mlflow.MlflowClient().set_registered_model_alias(*words)
        return
    with mlflow.start_run() as run:
        mlflow.log_metric("auc", 0.991)
        if arguments.command == "sklearn":
            with tempfile.TemporaryDirectory() as folder:
                model = Model(flavors={"sklearn": {"pickled_model": "model.pkl"}}, run_id=run.info.run_id)
                model.save(os.path.join(folder, "MLmodel"))
                register(folder, words[0], run)
            return
        name, file, kind = words
        metadata = {}
        for key, names in (("helenus.features", arguments.features), ("helenus.classes", arguments.classes)):
            if names:
                metadata[key] = names.split(",")
        if not arguments.beside:
            # As people do it: MLflow 3 keeps the files with the logged model.
            info = mlflow.onnx.log_model(onnx.load(file), name="model", signature=signature(kind), metadata=metadata or None)
            print(mlflow.register_model(info.model_uri, name).version)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model")
            mlflow.onnx.save_model(onnx.load(file), path, signature=signature(kind), metadata=metadata or None)
            for beside in arguments.beside:
                shutil.copy(beside, path)
            register(path, name, run)


main()
