"""How good are the samples?"""

import numpy as np


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The Frechet distance between two sets of features, (N, F) and (M, F), seen as Gaussians (Heusel et al., 2017).

    |mu_a - mu_b|^2 + tr(A + B - 2 (A B)^(1/2)) with the covariances A and B. The eigenvalues of A B are real and
    not negative, and the trace of the root is the sum of their roots. 0 means equal means and covariances.
    """
    A, B = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(A @ B).real, 0))
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(A) + np.trace(B) - 2 * np.sum(roots))
