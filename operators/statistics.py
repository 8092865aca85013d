"""Count, sum, mean, variance, least and greatest of values, one at a time and merged.

Squared deviations follow Youngs and Cramer ("Some results relevant to choice of sum and sum-of-product algorithms",
Technometrics 13, 1971): one pass, without the cancellation of a sum of squares, and with no mean to keep beside the
sum. Merging is by Chan, Golub and LeVeque ("Algorithms for computing the sample variance", The American Statistician
37, 1983), who also show that it is as accurate as Welford's updating.
"""

from __future__ import annotations

from schemas.state import Summary


def empty() -> Summary:
    return Summary(0, 0.0, 0.0, 0.0, 0.0)


def add(summary: Summary, value: float) -> None:
    """Add one value."""
    before = summary.count
    summary.count = count = before + 1
    summary.sum = total = summary.sum + value
    if before:
        deviation = count * value - total
        summary.squares += deviation * deviation / (count * before)
        if value < summary.min:
            summary.min = value
        elif value > summary.max:
            summary.max = value
    else:
        summary.min = summary.max = value


def merge(summary: Summary, other: Summary) -> None:
    """Add all the values of another summary."""
    if not other.count:
        return
    count = summary.count
    if count:
        deviation = summary.sum / count - other.sum / other.count
        summary.squares += other.squares + deviation * deviation * count * other.count / (count + other.count)
        summary.min = min(summary.min, other.min)
        summary.max = max(summary.max, other.max)
    else:
        summary.squares = other.squares
        summary.min = other.min
        summary.max = other.max
    summary.count = count + other.count
    summary.sum += other.sum


def mean(summary: Summary) -> float:
    return summary.sum / summary.count


def variance(summary: Summary) -> float:
    """The population's variance, in the square of the values' unit."""
    return summary.squares / summary.count
