"""The Frechet distance, on data whose means and covariances are exact."""

import numpy as np
import pytest

from minigan.metrics import frechet_distance


def with_moments(mean, covariance, n=50, seed=0):
    """n points whose mean and (n - 1) covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T  # now of covariance 1
    return x @ np.linalg.cholesky(covariance).T + mean


def test_distance_of_diagonal_gaussians():
    """|mu_a - mu_b|^2 + sum (sigma_a - sigma_b)^2, for commuting covariances."""
    a = with_moments([0.0, 1.0, 2.0], np.diag([1.0, 4.0, 9.0]))
    b = with_moments([3.0, 1.0, -2.0], np.diag([4.0, 4.0, 0.25]), n=80, seed=1)
    expected = (9 + 0 + 16) + (1 - 2) ** 2 + (2 - 2) ** 2 + (3 - 0.5) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_only_means_or_only_covariances():
    a = with_moments([0.0, 0.0], np.eye(2))
    assert frechet_distance(a, a + np.array([3.0, 4.0])) == pytest.approx(25, rel=1e-9)
    assert frechet_distance(a, 3 * a) == pytest.approx(2 * (3 - 1) ** 2, rel=1e-9)


def test_covariances_that_do_not_commute():
    """With roots by eigenvalues of the symmetric matrix A^(1/2) B A^(1/2), which has the same ones as A B."""
    A, B = np.array([[4.0, 1.5], [1.5, 1.0]]), np.array([[1.0, -0.7], [-0.7, 2.0]])
    values, vectors = np.linalg.eigh(A)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    expected = np.trace(A) + np.trace(B) - 2 * np.sum(np.sqrt(np.linalg.eigvalsh(root @ B @ root)))
    got = frechet_distance(with_moments([1.0, 2.0], A), with_moments([1.0, 2.0], B, seed=1))
    assert got == pytest.approx(expected, rel=1e-9)
    assert got > (np.sqrt(4) - 1) ** 2  # the diagonals alone would give less than half of it


@pytest.mark.parametrize("n", [40, 4])  # 4 points of 6 features: the covariance has no inverse
def test_equal_sets_are_at_distance_0(n):
    x = np.random.default_rng(0).standard_normal((n, 6))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-6)


def test_it_is_symmetric_and_of_plain_float():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, 4)), 1 + 2 * rng.standard_normal((20, 4))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, b) > 4
    assert type(frechet_distance(a, b)) is float


def test_float32_features_give_the_same_distance():
    a, b = with_moments([0.0, 1.0], np.diag([1.0, 4.0])), with_moments([5.0, 1.0], np.diag([9.0, 4.0]), seed=1)
    assert frechet_distance(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(25 + 4, rel=1e-5)


def test_a_turn_of_the_axes_changes_nothing():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, 4)), 1 + 2 * rng.standard_normal((20, 4)) @ rng.standard_normal((4, 4))
    turn, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-8)
