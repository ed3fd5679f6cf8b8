"""Reads rows `id,length…` from stdin and writes them with each length in another unit and from another zero."""

import csv
import sys

out = csv.writer(sys.stdout, lineterminator="\n")
for row, *lengths in csv.reader(sys.stdin):
    out.writerow([row, *(f"{float(length) * 1.8 + 32:.5f}" if length else "" for length in lengths)])
