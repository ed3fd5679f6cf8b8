"""Prints the entities on which two versions disagree, with the truth beside them.

CQL has no joins, so this reads what cqlsh's COPY TO wrote: predictions (id, version, label,
probability of class malignant) and truths (id, label).
"""

import csv
import sys


def main(predictions_file, truth_file):
    with open(truth_file) as file:
        truth = {int(key): label for key, label in csv.reader(file)}
    predictions = {}
    with open(predictions_file) as file:
        for key, version, label, probability in csv.reader(file):
            predictions.setdefault(int(key), {})[int(version)] = (label, float(probability))
    wrong = {1: 0, 2: 0}
    rows = []
    for key, versions in sorted(predictions.items()):
        for version, (label, _) in versions.items():
            wrong[version] += label != truth[key]
        if len({label for label, _ in versions.values()}) > 1:
            rows.append((key, versions[1], versions[2], truth[key]))
    print(f"\n  {'id':>5}  {'version 1':<20} {'version 2':<20} truth")
    for key, one, two, true in rows[:8]:
        first, second = (f"{label} {100 * score:5.1f} %" for label, score in (one, two))
        print(f"  {key:>5}  {first:<20} {second:<20} {true}")
    print(f"  … {len(rows)} of {len(predictions)} in all (% is the probability of class malignant)")
    print(f"  wrong against the truth: version 1 on {wrong[1]}, version 2 on {wrong[2]}")


main(*sys.argv[1:])
