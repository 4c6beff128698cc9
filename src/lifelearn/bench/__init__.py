"""The benches: the figures in docs/measurements.md come from here."""
