"""Exercise 18 (core, lesson 7): teach the generator, once.

What      One training step of the generator: it makes fresh fakes, sees how the discriminator scores them,
          and learns to be believed. The discriminator must come out exactly as it went in, but the gradient
          has to pass through it.
Start         1. draw noise    2. make fakes    3. score them    4. the loss
              5. forget old gradients    6. backward    7. update
          Which of these must not be cut off from the graph, unlike in exercise 17?
Shapes    noise (batch_size, noise_dim), fakes (batch_size, ...), logits (batch_size, 1), loss ().
Example   An untrained discriminator gives logits near 0, so the loss of `non_saturating` begins near ln 2 = 0.69.
Use       draw_noise(n, noise_dim, rng, labels) gives the noise. `with discriminator.frozen():` around
          scoring: gradients flow through it, but none are computed for its weights. score(discriminator,
          images, labels) gives the logits; game.generator(fake_logits) the loss. optimizer.zero_grad(),
          loss.backward(), optimizer.step().

Check it with `minigan exercise check generator_step`; stuck? `minigan exercise hint generator_step`.
"""

from typing import Any

import numpy as np

from minigan import Tensor
from minigan.nn import Module
from minigan.optim import Optimizer
from minigan.train import draw_noise, score


def generator_step(
    generator: Module,
    discriminator: Module,
    optimizer: Optimizer,
    game: Any,
    batch_size: int,
    noise_dim: int,
    rng: np.random.Generator,
    labels: Tensor | None = None,
) -> dict[str, Tensor]:
    """One step of the generator; returns {"g_loss": its loss}."""
    raise NotImplementedError("not written yet")
