"""Exercise wasserstein (challenge, lesson batch_norm_and_the_dcgan): a critic with slope 1.

What      In the Wasserstein game (Arjovsky et al., 2017) the discriminator is a critic: it gives scores, as high
          as it can for reals and as low as it can for fakes. Its score may rise by 1 per unit of distance at
          most, so a penalty (Gulrajani et al., 2017) pulls its slope to 1 at points between reals and fakes:
              mean over n of  (norm of d critic(x_n) / d x_n  -  1)^2.
Start     The slope at x_n is the gradient of the n-th score. The scores do not depend on each other's images,
          so one gradient of their sum gives all slopes at once. The norm is taken for each sample alone, over
          all its numbers: the root of the sum of squares over all axes but the first. (Over the batch axis it
          is the most repeated bug of all.) The penalty is itself differentiated with respect to the critic's
          weights, so the slope must be recorded.
Shapes    real, fake (N, ...), slope like them, norm (N,), penalty (). Critic scores (N, 1); the loss takes
          scores of any shape, and is the mean over all.
Example   A critic that sums 4 numbers has the slope (1, 1, 1, 1), of norm 2, everywhere: the penalty is 1.
Use       grad(scores.sum(), between, create_graph=True) gives a tuple with one recorded slope. reshape(slope,
          (n, -1)) makes a row of each sample; sqrt(x + 1e-12), since the root has no slope at exactly 0;
          mean and sum(x, axis=1).

Check it with `minigan exercise check wasserstein`; stuck? `minigan exercise hint wasserstein`.
"""

from collections.abc import Callable

import numpy as np

from minigan import Tensor, grad
from minigan.ops import mean, reshape, sqrt, sum


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's loss of the scores (N, 1) of reals and fakes, to be made small."""
    raise NotImplementedError("not written yet")


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: np.random.Generator
) -> Tensor:
    """mean of (norm of the critic's slope - 1)^2 at random points between reals and fakes."""
    n = real.shape[0]
    t = Tensor(rng.random((n, *[1] * (real.ndim - 1))), dtype=real.dtype)  # one place between 0 and 1 for each pair
    between = Tensor((t * real + (1 - t) * fake).data, requires_grad=True)
    raise NotImplementedError("not written yet")
