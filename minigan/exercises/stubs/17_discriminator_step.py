"""Exercise discriminator_step (core, lesson one_training_step): teach the discriminator, once.

What      One training step of the discriminator D: it sees real samples and as many fakes, and learns to tell
          them apart. The generator G must come out exactly as it went in.
Start     The noise is there already, that is stage D 1. Four stages are left:
              D 2. fakes, which G makes of the noise
              D 3. scores: D's logits of the reals, and of the fakes
              D 4. the loss, one number
              D 5. walk back to D's weights, and move them.
Shapes    real (n, ...), noise (n, noise_dim), fakes like real, logits (n, 1), loss ().
Example   An untrained D gives logits near 0, so the loss of `non_saturating` begins near 2 ln 2 = 1.39.
Use       `with G.frozen():` around making the fakes: nothing is recorded then, and batch norm's running
          statistics stay as they are. fake.detach() cuts the fakes off from what made them, so that no gradient
          reaches G. (frozen() sees to that too; the detach says it where it matters.) Score reals and fakes one
          after the other: in one batch of both, batch norm in D would mix their statistics. The loss is
          game.discriminator(real_logits, fake_logits): the reals come first. D 5 is optimizer.zero_grad(),
          loss.backward(), optimizer.step(), or all three at once: minimise(loss, optimizer).

The figures that a step returns are cut off from the graph, which would keep the whole step in memory. belief(logits) is
the mean of sigmoid(logits), cut off too.

Check it with `minigan exercise check discriminator_step`; stuck? `minigan exercise hint discriminator_step`.
"""

from typing import Any

from minigan import Tensor
from minigan.gan import belief, minimise
from minigan.nn import Module
from minigan.optim import Optimizer


def discriminator_step(
    G: Module, D: Module, optimizer: Optimizer, game: Any, real: Tensor, noise: Tensor
) -> dict[str, Tensor]:
    """Teach D once to tell the reals from fakes; returns its loss, and its mean beliefs in reals and in fakes."""
    raise NotImplementedError("not written yet")  # D 2 to D 5; name them fake, real_logits, fake_logits and loss
    return {"d_loss": loss.detach(), "d_real": belief(real_logits), "d_fake": belief(fake_logits)}
