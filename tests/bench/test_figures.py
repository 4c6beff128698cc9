"""Figures at points where they are known."""

from __future__ import annotations

import pytest

from lifelearn.bench.figures import NOTHING, clustered, mean, median, share, wilson


def test_wilsons_interval_is_the_published_one() -> None:
    """Brown, Cai and DasGupta's example of few successes: 0 of 10 and 5 of 10."""
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)


def test_a_share_shows_its_counts() -> None:
    figure = share([True, True, False, True])
    assert (figure.value, figure.n, figure.of) == (0.75, 3, 4)
    assert figure.low is not None
    assert figure.high is not None
    assert 0 < figure.low < 0.75 < figure.high < 1


def test_questions_of_one_row_do_not_narrow_the_interval() -> None:
    rows = [[True] * 4, [False] * 4, [True] * 4]
    together, apart = clustered(rows), share([outcome for row in rows for outcome in row])
    assert (together.value, together.n, together.of) == (apart.value, apart.n, apart.of)
    assert together.low is not None
    assert apart.low is not None
    assert together.low < apart.low


@pytest.mark.parametrize("empty", [share([]), clustered([[], []]), mean([]), median([])])
def test_nothing_measured_is_no_figure(empty: object) -> None:
    assert empty == NOTHING


def test_means_and_medians_repeat_themselves() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 100.0]
    assert mean(values) == mean(values)
    assert mean(values).value == 22
    figure = median(values)
    assert figure.value == 3
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low <= 3 <= figure.high
    assert median([5.0]).low == median([5.0]).high == 5
