"""The GAN losses, from logits.

A logit is the discriminator's raw output; its belief that an image is real is D = sigmoid(logit). Losses are
written with softplus(x) = ln(1 + e^x), which is exact where the logarithm of a probability is not (at +-100):

    -ln D = softplus(-logit)        -ln(1 - D) = softplus(logit)        d softplus(x) / dx = sigmoid(x)

Each game has two losses to minimise, of logits of shape (N, 1): `discriminator(real, fake)` and `generator(fake)`.
"""

from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np

from minigan.errors import CutError, ShapeError
from minigan.nn.module import samples_apart
from minigan.ops import mean, relu, reshape, sigmoid, softplus, sqrt, sum
from minigan.table import swappable
from minigan.tensor import Tensor, grad, has_graph, op, record


@op
def bce_with_logits(logits: Tensor, target: Any) -> Tensor:
    """Mean binary cross-entropy, -t ln D - (1 - t) ln(1 - D), for a target t in [0, 1].

    target  one number for all logits, or an array or tensor of them: of the logits' shape, or one for each sample, (N,)

    With x the logit this is t softplus(-x) + (1 - t) softplus(x), and softplus(-x) = softplus(x) - x, so it is
    softplus(x) - t x = max(x, 0) - t x + ln(1 + e^-|x|), where nothing overflows or cancels. Its gradient is
    (D - t) / N: how wrong the belief is. N is how many logits there are.
    """
    x, t = logits.data, _targets(target, logits)
    value = np.mean(np.maximum(x, 0) - t * x + np.log1p(np.exp(-np.abs(x))))

    def to_logits(g: Tensor, y: Tensor) -> Tensor:
        wrong = sigmoid(logits) * (1 - t) - sigmoid(-logits) * t  # D - t; for t = 0 and 1 no digits cancel
        return wrong * (g * (1 / logits.size))

    return record(value, (logits, to_logits))


def _targets(target: Any, logits: Tensor) -> Any:
    """The target as a float, or as an array that broadcasts to the logits; raises ValueError unless it can be one."""
    if has_graph(target):
        raise CutError("no gradient flows into the targets: give it target.detach()")
    t = float(target) if isinstance(target, Number) else Tensor(target, dtype=logits.dtype).data
    if isinstance(t, float):
        right = 0 <= t <= 1
    else:
        right = bool(((t >= 0) & (t <= 1)).all())
        if t.shape == logits.shape[:1]:  # one for each sample
            t = t.reshape(-1, *[1] * (logits.ndim - 1))
        elif t.shape not in ((), logits.shape):
            raise ShapeError(f"targets {t.shape} must have the logits' shape {logits.shape}, or {logits.shape[:1]}")
    if not right:
        raise ValueError(f"the target must lie between 0 and 1, not {target}")
    return t


class minimax:  # noqa: N801
    """The original, saturating game (Goodfellow et al., 2014): D makes V large, and G makes it small.

    V = mean ln D(real) + mean ln(1 - D(fake))
    """

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """-V. Gradient: (D - 1 + label_smoothing) / N at a real logit, D / N at a fake one.

        `label_smoothing` of 0.1 makes the reals' target 0.9, so that a too certain D is pulled back. It is
        one-sided: a target above 0 for fakes would reward G for staying where it is (Salimans et al., 2016).
        """
        return bce_with_logits(real, 1 - label_smoothing) + bce_with_logits(fake, 0.0)

    @staticmethod
    @swappable
    def generator(fake: Tensor) -> Tensor:
        """Mean ln(1 - D(fake)). Gradient: -D / N, which vanishes where D is sure of a fake: it saturates."""
        return -mean(softplus(fake))


class non_saturating:  # noqa: N801
    """The same discriminator, but G maximises mean ln D(fake) (Goodfellow et al., 2014, section 3)."""

    discriminator = minimax.discriminator

    @staticmethod
    @swappable
    def generator(fake: Tensor) -> Tensor:
        """-mean ln D(fake). Gradient: (D - 1) / N, which is largest where D is sure of a fake."""
        return bce_with_logits(fake, 1.0)


class least_squares:  # noqa: N801
    """Regression of the logits to 1 for reals and 0 for fakes, with halved squares (LSGAN, Mao et al., 2017)."""

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """mean (real - 1)^2 / 2 + mean fake^2 / 2. Gradient: (real - 1) / N and fake / N."""
        return 0.5 * mean((real - 1) ** 2) + 0.5 * mean(fake**2)

    @staticmethod
    def generator(fake: Tensor) -> Tensor:
        """mean (fake - 1)^2 / 2. Gradient: (fake - 1) / N."""
        return 0.5 * mean((fake - 1) ** 2)


class hinge:  # noqa: N801
    """D wants logits above 1 for reals and below -1 for fakes, and no more (Lim and Ye, 2017)."""

    @staticmethod
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """mean max(0, 1 - real) + mean max(0, 1 + fake). Gradient: -1/N where real < 1, 1/N where fake > -1."""
        return mean(relu(1 - real)) + mean(relu(1 + fake))

    @staticmethod
    def generator(fake: Tensor) -> Tensor:
        """-mean fake. Gradient: -1/N everywhere."""
        return -mean(fake)


class wasserstein:  # noqa: N801
    """The critic's scores estimate the earth mover's distance (Arjovsky et al., 2017).

    That is so for a critic whose slope is 1 at most: keep it there with `gradient_penalty` or `optim.clip_weights`.
    """

    @staticmethod
    @swappable
    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        """mean fake - mean real. Gradient: -1/N at a real score, 1/N at a fake one."""
        return mean(fake) - mean(real)

    generator = hinge.generator  # -mean of the scores, the same


@swappable
def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: np.random.Generator
) -> Tensor:
    """mean_n (|d critic(x_n) / d x_n| - 1)^2 at random points x_n between a real and a fake (Gulrajani et al., 2017).

    real, fake  (N, ...). The norm is taken per sample, over all axes but the first: as each score depends on its own
    sample only, the gradient of the *sum* of the scores holds each sample's slope in its own row. Batch norm would mix
    them, and raises ValueError. The penalty is itself differentiated with respect to the critic's weights, so its
    gradient is recorded: `create_graph=True`.
    """
    n = real.shape[0]
    t = Tensor(rng.random((n, *[1] * (real.ndim - 1))), dtype=real.dtype)
    between = Tensor((t * real + (1 - t) * fake).data, requires_grad=True)
    with samples_apart():
        scores = critic(between)
    (slope,) = grad(scores.sum(), between, create_graph=True)  # (N, ...)
    squares = reshape(slope, (n, -1)) ** 2
    norm = sqrt(sum(squares, axis=1) + 1e-12)  # (N,); the square root has no slope at exactly 0
    return mean((norm - 1) ** 2)


# The games that a GAN's setting can name. (A Wasserstein critic has to be bounded too: see gans/wgan.py.)
GAMES = {game.__name__: game for game in (non_saturating, minimax, least_squares, hinge)}


def find_game(name: str) -> type:
    """The game of this name; raises ValueError if there is none."""
    if name not in GAMES:
        raise ValueError(f"there is no loss {name!r}: choose one of {', '.join(GAMES)}")
    return GAMES[name]
