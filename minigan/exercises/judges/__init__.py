"""The judge of each exercise: a function that gets the student's functions and raises `Wrong`, or does nothing.

answer.py              the tools that all judges use: read it first
chain_rule.py          unbroadcast, mul, matmul, tanh
order_of_the_walk.py   topological_order
layers.py              leaky_relu, linear, he_normal
losses.py              bce_with_logits, generator_losses
adam.py                adam_step
convolution.py         unfold, conv2d, conv_transpose2d
batch_norm.py          batch_norm, batch_norm_backward; with the mistakes of closed_form.py
wasserstein.py         wasserstein
training_steps.py      discriminator_step, generator_step; with players.py and the mistakes of steps_gone_wrong.py

A derivative is judged by `gradcheck`, which names the mistake. What is no derivative is compared with the definition,
and with what the usual mistakes would give: those are the guesses. A function is tried on what training will bring:
float32, zeros, large means, axes of size 1, one to four axes where the operation takes them, arrays whose memory is in
another order, several calls in a row, tensors whose numbers have changed, players with batch norm. And it must leave
its arguments as they are.
"""

from minigan.exercises.judges.answer import Answer, Wrong

__all__ = ["Answer", "Wrong"]
