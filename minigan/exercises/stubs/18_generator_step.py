"""Exercise generator_step (core, lesson one_training_step): teach the generator, once.

What      One training step of the generator G: it makes fresh fakes, sees how the discriminator D scores them, and
          learns to be believed. D must come out exactly as it went in, but the gradient has to pass through it.
Start     The noise is there already, that is stage G 1. Four stages are left:
              G 2. fakes, which G makes of the noise
              G 3. scores: D's logits of the fakes
              G 4. the loss, one number
              G 5. walk back through D and G, and move G's weights.
          Which of these must not be cut off from the graph, unlike in `discriminator_step`?
Shapes    noise (n, noise_dim), fakes (n, ...), logits (n, 1), loss ().
Example   An untrained D gives logits near 0, so the loss of `non_saturating` begins near ln 2 = 0.69.
Use       `with D.frozen():` around scoring: gradients flow through D, but none are computed for its weights, and
          batch norm's running statistics stay as they are. game.generator(fake_logits) is the loss. G 5 is
          optimizer.zero_grad(), loss.backward(), optimizer.step(), or all three at once: minimise(loss,
          optimizer). Return the loss cut off from the graph: loss.detach(), or what minimise returns.

Check it with `minigan exercise check generator_step`; stuck? `minigan exercise hint generator_step`.
"""

from typing import Any

from minigan import Tensor
from minigan.gan import minimise
from minigan.nn import Module
from minigan.optim import Optimizer


def generator_step(G: Module, D: Module, optimizer: Optimizer, game: Any, noise: Tensor) -> dict[str, Tensor]:
    """Teach G once to be believed; returns {"g_loss": its loss}."""
    raise NotImplementedError("not written yet")
