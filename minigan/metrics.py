"""How good are the samples?"""

import numpy as np


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The Frechet distance between two sets of features, (N, F) and (M, F), seen as Gaussians (Heusel et al., 2017).

    |mu_a - mu_b|^2 + tr(A + B - 2 (A B)^(1/2)) with the covariances A and B. The eigenvalues of A B are real and
    not negative, and the trace of the root is the sum of their roots. 0 means equal means and covariances.
    Raises ValueError for shapes that do not fit or numbers that are not finite.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features must be (N, F) and (M, F) with N and M of 2 or more, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("some features are not finite numbers")
    A, B = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (a, b))
    roots = np.sqrt(np.maximum(np.linalg.eigvals(A @ B).real, 0))
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(A) + np.trace(B) - 2 * np.sum(roots))
