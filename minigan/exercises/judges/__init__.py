"""The judge of each exercise: a function that gets the student's functions and raises `Wrong`, or does nothing.

answer.py              the tools that all judges use: read it first
chain_rule.py          unbroadcast, mul, matmul, tanh, topological_order
layers_and_losses.py   leaky_relu, linear, he_normal, bce_with_logits, adam_step
convolution.py         unfold, conv2d, conv_transpose2d
batch_norm.py          batch_norm, batch_norm_backward
games.py               generator_losses, wasserstein
training_steps.py      discriminator_step, generator_step

A derivative is judged by `gradcheck`, which names the mistake. What is no derivative is compared with the definition,
and with what the usual mistakes would give: those are the guesses. A function is tried on what training will bring:
float32, large means, axes of size 1, one to four axes where the operation takes them.
"""

from minigan.exercises.judges.answer import Answer, Wrong

__all__ = ["Answer", "Wrong"]
