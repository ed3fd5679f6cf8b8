"""The parts of the benchmark: functions from a World to figures, each kept as a file of its own."""

from parts import adoption, allocations, big_model, ceiling, console, control, documents, drift, end_to_end, iterations, latency, pending, polite, profile, serving, sizes, spark, stream, workers

# In the order of a whole run: what the ceiling finds, all after it use. The number is of nodes.
PARTS = {
    "ceiling_columns": (lambda world: ceiling.grid(world, "columns"), 1),
    "ceiling_vector": (lambda world: ceiling.grid(world, "vector"), 1),
    "end_to_end_columns": (lambda world: end_to_end.against_ceiling(world, "columns", ["lr", "lgbm", "mlp"]), 1),
    "end_to_end_vector": (lambda world: end_to_end.against_ceiling(world, "vector", ["lr", "lgbm", "mlp"]), 1),
    "end_to_end_mixed": (lambda world: end_to_end.against_ceiling(world, "mixed", ["mixed"]), 1),
    "read_write_only": (end_to_end.read_write_only, 1),
    "versions_columns": (lambda world: end_to_end.versions(world, "columns"), 1),
    "versions_vector": (lambda world: end_to_end.versions(world, "vector"), 1),
    "pending_columns": (lambda world: pending.changed(world, "columns"), 1),
    "pending_vector": (lambda world: pending.changed(world, "vector"), 1),
    "pending_versions": (pending.versions_kept, 1),
    "iterations": (iterations.compare_and_evaluate, 1),
    "control": (control.overhead, 1),
    "drift": (drift.profiles, 1),
    "workers": (workers.one_run, 1),
    "allocations": (allocations.each_row, 1),
    "profile": (profile.client, 1),
    "memory": (sizes.memory, 1),
    "big_model": (big_model.memory, 1),
    "latency": (latency.requests, 1),
    "polite": (polite.foreground, 1),
    "serving": (serving.against_peers, 1),
    "console": (console.pages, 1),
    "stream": (stream.topic_to_topic, 1),
    "documents": (documents.beside_python, 1),
    "spark": (spark.beside_the_connector, 1),
    "adoption": (adoption.figures, 1),
    "three_nodes": (lambda world: end_to_end.against_ceiling(world, "vector", ["lr"]), 3),
}
