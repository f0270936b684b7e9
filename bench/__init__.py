"""Benchmarks: one module a question, each with its goal, its peer and its figure. `make bench` runs them all.

Ratios are taken of two things that were measured in turn, in one run; nothing is compared with an earlier run. The
figures of the last full run are in docs/benchmarks.md. Read line.py and scene.py first, then cost.py as an example.
"""
