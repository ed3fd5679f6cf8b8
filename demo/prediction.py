"""Asks a server for a prediction and prints the parts that the demo speaks of.

prediction.py URL; with --ready the exit code says whether the server is.
"""

import json
import sys
import urllib.request


def show(prediction):
    lineage = prediction["lineage"]
    outputs = prediction["outputs"] or {"rejected": prediction["rejected"]}
    shown = (f"{name} {value:.6f}" if isinstance(value, float) else f"{name} {value}" for name, value in outputs.items())
    print(f"version {prediction['version']} ({', '.join(prediction['aliases'])}), from: {prediction['from']}")
    print(f"  {', '.join(shown)}")
    print(f"  input_hash {lineage['input_hash']}, scored at {lineage['scored_at']}")


if sys.argv[1] == "--ready":
    try:
        urllib.request.urlopen(sys.argv[2], timeout=5)
    except OSError:
        sys.exit(1)
else:
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        show(json.load(answer)["predictions"][0])
