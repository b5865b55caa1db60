"""Means of Monte Carlo series with errors and autocorrelation times: the Gamma method of hep-lat/0306017."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy
from numpy.typing import ArrayLike, NDArray

SHORTEST = 8  # fewer numbers carry no autocorrelation: their error is the naive one
CONSTANT = 1e-13  # relative spread that is rounding only


@final
@dataclass(frozen=True)
class Estimate:
    """A mean with its error; tau_int is the integrated autocorrelation time (1/2 for independent numbers)."""

    value: float
    error: float
    tau_int: float = 0.5
    tau_int_error: float = math.nan

    def __str__(self) -> str:
        return in_brackets(self.value, self.error)


@final
@dataclass(frozen=True)
class Autocorrelation:
    """The first rho(t) = Gamma(t)/Gamma(0), their errors, and the window where the sum of tau_int stops."""

    rho: NDArray[numpy.float64]
    error: NDArray[numpy.float64]
    window: int


NOTHING = Estimate(math.nan, math.nan, math.nan, math.nan)


def gamma(series: ArrayLike) -> Estimate:
    """The mean of the series with error and tau_int by the Gamma method; the naive error for a handful of numbers."""
    numbers = numpy.asarray(series, dtype=numpy.float64)
    if numbers.size == 0:
        return NOTHING
    if not _has_autocorrelation(numbers):
        spread = float(numbers.std(ddof=1)) if numbers.size > 1 and not _is_constant(numbers) else 0.0
        error = spread / math.sqrt(numbers.size) if numbers.size > 1 else math.nan
        return Estimate(float(numbers.mean()), error)
    mean = _analysed(numbers)
    tau, tau_error = mean.e_tauint["chain"], mean.e_dtauint["chain"]
    return Estimate(float(mean.value), float(mean.dvalue), float(tau), float(tau_error))


def autocorrelation(series: ArrayLike) -> Autocorrelation:
    """The normalised autocorrelation function of the series well beyond its window; empty without enough numbers."""
    numbers = numpy.asarray(series, dtype=numpy.float64)
    if not _has_autocorrelation(numbers):
        return Autocorrelation(numpy.empty(0), numpy.empty(0), 0)
    mean = _analysed(numbers)
    rho, window = numpy.asarray(mean.e_rho["chain"]), int(mean.e_windowsize["chain"])
    n_shown = min(rho.size, SHORTEST + 3 * window)
    return Autocorrelation(rho[:n_shown], _error_of_rho(rho, n_shown, numbers.size), window)


def acceptance(accepted: Sequence[bool]) -> Estimate:
    """The fraction of accepted proposals. The error is never below the binomial one of (k + 1)/(n + 2)."""
    estimate, n = gamma(numpy.asarray(accepted, dtype=numpy.float64)), len(accepted)
    if n == 0:
        return estimate
    smoothed = (sum(map(bool, accepted)) + 1) / (n + 2)
    least = math.sqrt(smoothed * (1 - smoothed) / n)
    error = least if math.isnan(estimate.error) else max(least, estimate.error)
    return Estimate(estimate.value, error, estimate.tau_int, estimate.tau_int_error)


def exp_minus_dH(dH: ArrayLike) -> Estimate:
    """<exp(-dH)>, which is 1 for an equilibrated chain with a reversible, volume-preserving proposal."""
    with numpy.errstate(over="ignore"):
        return gamma(numpy.minimum(numpy.exp(-numpy.asarray(dH, dtype=numpy.float64)), numpy.finfo(numpy.float64).max))


def twice_negative(dH: ArrayLike) -> Estimate:
    """2 P(dH < 0), which equals the mean acceptance in equilibrium."""
    estimate = acceptance(list(numpy.asarray(dH, dtype=numpy.float64) < 0))
    return Estimate(2 * estimate.value, 2 * estimate.error, estimate.tau_int, estimate.tau_int_error)


def gaussian_acceptance(dH: ArrayLike) -> Estimate:
    """erfc(sqrt(<dH>)/2), the acceptance if dH were Gaussian. With its error; 1 when <dH> is not positive."""
    mean = gamma(dH)
    if math.isnan(mean.value):
        return NOTHING
    x = max(mean.value, 0.0)
    # d/dx erfc(sqrt(x)/2) = -exp(-x/4) / (2 sqrt(pi x)); an error as large as x is put in as a finite difference
    value = math.erfc(math.sqrt(x) / 2)
    above = math.erfc(math.sqrt(x + mean.error) / 2)
    below = math.erfc(math.sqrt(max(x - mean.error, 0.0)) / 2)
    return Estimate(value, (below - above) / 2, mean.tau_int, mean.tau_int_error)


def in_brackets(value: float, error: float) -> str:
    """The value with two digits of its error in brackets: 0.70254(25), 12.3(1.4)."""
    if math.isnan(value):
        return "–"
    if math.isnan(error) or math.isinf(error) or error <= 0:
        return f"{value:.6g}"
    digits = 1 - math.floor(math.log10(error))
    if round(error, digits) >= 10 ** (2 - digits):  # 0.0996 is 0.10 with two digits
        digits -= 1
    if digits <= 0:
        return f"{value:.0f}({error:.0f})"
    if error >= 0.995:
        return f"{value:.{digits}f}({error:.{digits}f})"
    return f"{value:.{digits}f}({round(error * 10**digits)})"


def _analysed(numbers: NDArray[numpy.float64]) -> pyerrors.Obs:  # type: ignore[name-defined]  # noqa: F821
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what pyerrors imports
        import pyerrors

    mean = pyerrors.Obs([numbers], ["chain"])
    mean.gamma_method()
    return mean


def _error_of_rho(rho: NDArray[numpy.float64], n_shown: int, n: int) -> NDArray[numpy.float64]:
    """The errors of the first rho(t): var = sum_{k>0} (rho(k+t) + rho(k-t) - 2 rho(k) rho(t))^2 / n.

    hep-lat/0409106 eq. E.11.
    """
    size = rho.size
    even = numpy.concatenate([rho[:0:-1], rho, numpy.zeros(size)])  # rho(-k) = rho(k), zero where it is not known
    k = numpy.arange(1, size)
    terms = [even[size - 1 + k + t] + even[size - 1 + k - t] - 2 * rho[k] * rho[t] for t in range(n_shown)]
    return numpy.sqrt(numpy.square(terms).sum(axis=1) / n)


def _is_constant(numbers: NDArray[numpy.float64]) -> bool:
    return bool(numpy.ptp(numbers) <= CONSTANT * numpy.abs(numbers).max())


def _has_autocorrelation(numbers: NDArray[numpy.float64]) -> bool:
    return numbers.size >= SHORTEST and bool(numpy.isfinite(numbers).all()) and not _is_constant(numbers)
