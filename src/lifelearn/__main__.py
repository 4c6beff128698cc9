"""`python -m lifelearn` is `lifelearn`."""

from lifelearn.cli import main

main()
