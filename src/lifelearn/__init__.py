"""A model that learns from its users' corrections."""

import os

# Threads of a matrix product wait for one another by spinning, which takes the core from the one that they wait for
# where another program runs too. Soon asleep, they answer some thirty times as fast then, and nearly as fast
# otherwise (docs/LOG.md). GNU's OpenMP reads this when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
