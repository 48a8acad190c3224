"""Exercise 17 (core, lesson 7): teach the discriminator, once.

What      One training step of the discriminator: it sees real images and as many fakes, and learns to tell
          them apart. The generator must come out exactly as it went in.
Start         1. draw noise    2. make fakes    3. score the reals    4. score the fakes    5. the loss
              6. forget old gradients    7. backward    8. update
Shapes    real (N, ...), noise (N, noise_dim), fakes like real, logits (N, 1), loss ().
Example   An untrained discriminator gives logits near 0, so the loss of `non_saturating` begins near 2 ln 2 = 1.39.
Use       draw_noise(n, noise_dim, rng, labels) gives the noise. `with generator.frozen():` around making the
          fakes: batch norm's running statistics then stay as they are. fake.detach() cuts the fakes off from
          what made them, so that no gradient reaches the generator. (frozen() sees to that too; the detach
          says it where it matters.) score(discriminator, images, labels) gives the logits.
          game.discriminator(real_logits, fake_logits) gives the loss: the reals come first.
          optimizer.zero_grad(), loss.backward(), optimizer.step().

Check it with `minigan exercise check discriminator_step`; stuck? `minigan exercise hint discriminator_step`.
"""

from functools import partial
from typing import Any

import numpy as np

from minigan import Tensor, losses, no_grad
from minigan.nn import Module
from minigan.optim import Optimizer
from minigan.train import draw_noise, score


def discriminator_step(
    generator: Module,
    discriminator: Module,
    optimizer: Optimizer,
    game: Any,
    real: Tensor,
    noise_dim: int,
    rng: np.random.Generator,
    labels: Tensor | None = None,
    penalty: float = 0.0,
) -> dict[str, Tensor]:
    """One step of the discriminator; returns its loss and its mean beliefs in reals and in fakes."""
    raise NotImplementedError("not written yet")  # steps 1 to 5 here; name them fake, real_logits, fake_logits and loss
    if penalty:  # of Wasserstein games, see the last exercise
        critic = partial(score, discriminator, labels=labels)
        loss = loss + penalty * losses.gradient_penalty(critic, real, fake.detach(), rng)
    # steps 6 to 8 here
    with no_grad():
        return {"d_loss": loss, "d_real": real_logits.sigmoid().mean(), "d_fake": fake_logits.sigmoid().mean()}
