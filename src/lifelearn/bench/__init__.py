"""The benches: the figures in the README come from here."""
