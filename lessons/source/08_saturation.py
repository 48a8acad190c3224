# %% [markdown]
# # Saturation
#
# - **Goals**: derive the gradients of both generator losses; see one of them vanish; know what that costs.
# - **You need**: *Layers and losses* (the loss from logits), *The first GAN* (the game), *One training step, line by
#   line*.
# - **Run time**: under 40 seconds on two cores.
#
# In the game as it was first written, $D$ maximises and $G$ minimises the same value. Nobody trains $G$ that way. Why?

# %%
import copy

import numpy as np

from minigan import Tensor, grad, losses, no_grad, optim, plots
from minigan.data import moons
from minigan.exercises import check
from minigan.gan import belief, draw_noise
from minigan.gans.gan import discriminator_step, generator_step
from minigan.networks import mlp_discriminator, mlp_generator
from minigan.ops import sigmoid
from minigan.tensor import record

# %% [markdown]
# ## By hand: two losses of one logit
#
# Let $x$ be the logit of a fake and $D = \sigma(x) = 1/(1 + e^{-x})$. With softplus$(x) = \ln(1 + e^x)$, whose slope is
# $\sigma(x)$:
#
# | game | $G$ makes small | as a softplus | slope in $x$ | where $D \to 0$ | where $D = 1/2$ |
# |---|---|---|---|---|---|
# | minimax | $\ln(1 - D)$ | $-$softplus$(x)$ | $-\sigma(x) = -D$ | $0$ | $-1/2$ |
# | non-saturating | $-\ln D$ | softplus$(-x)$ | $-\sigma(-x) = D - 1$ | $-1$ | $-1/2$ |
#
# Both slopes are negative for every $x$: both losses push a fake's logit **up**, so both point the same way. They
# differ in how hard they push, and at one logit that is all: their ratio is $D/(1 - D) = e^x$.
#
# The loss is a mean over $N$ fakes, so each logit's gradient has a factor $1/N$. The rest of the chain, through $D$'s
# layers into $G$, is the same for both losses. Where $D$ is sure that a fake is a fake, minimax gives $G$ nearly
# nothing: it **saturates**.

# %%
x = np.linspace(-8, 8, 161)
D_of_x = 1 / (1 + np.exp(-x))
curves = {"minimax: ln(1 - D)": (x, -np.logaddexp(0, x)), "non-saturating: -ln D": (x, np.logaddexp(0, -x))}
slopes = {"minimax: -D": (x, -D_of_x), "non-saturating: D - 1": (x, D_of_x - 1)}
plots.lines(curves, "logit x of a fake (left: D is sure that it is fake)", "loss of G", "Both fall as x grows")

# %%
plots.lines(slopes, "logit x of a fake (left: D is sure that it is fake)", "slope of the loss", "but not equally fast")

# %% [markdown]
# On the left, where fakes soon are when $D$ learns faster than $G$, minimax is flat. The non-saturating loss is flat on
# the right, where $G$ has won.
#
# ## Exercise: `generator_losses`
#
# Write both values and both derivatives. Hint: `np.logaddexp(0, a)` is softplus of an array; in the derivatives use
# `sigmoid` of tensors, and do not forget the mean. (Every exercise is a file as well: `minigan exercise start` lays
# them out in the folder `exercises`, this one as `generator_losses`.)


# %% exercise="generator_losses"
def minimax_generator(fake: Tensor) -> Tensor:
    """Mean of ln(1 - D(fake)), from logits (N, 1) -> ()."""

    def to_fake(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return -g * sigmoid(fake) / fake.size
        ### END SOLUTION

    # Write here: value = ...
    ### BEGIN SOLUTION
    value = -np.mean(np.logaddexp(0, fake.data))
    ### END SOLUTION
    return record(value, (fake, to_fake))


def non_saturating_generator(fake: Tensor) -> Tensor:
    """Mean of -ln D(fake), from logits (N, 1) -> ()."""

    def to_fake(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return g * (sigmoid(fake) - 1) / fake.size
        ### END SOLUTION

    # Write here: value = ...
    ### BEGIN SOLUTION
    value = np.mean(np.logaddexp(0, -fake.data))
    ### END SOLUTION
    return record(value, (fake, to_fake))


# %% check="generator_losses"
check("generator_losses", minimax_generator, non_saturating_generator)

# %% [markdown]
# ## What a better D does to G's gradient
#
# A young generator, whose fakes lie far from the data: a small cloud around the origin, and two moons around (4, 0). We
# hold $G$ fixed, train $D$ alone, and measure the gradient that each loss would give to all of $G$'s weights.

# %%
rng = np.random.default_rng(0)
G, D = mlp_generator(2, (2,), (32, 32), rng), mlp_discriminator((2,), (32, 32), rng)
G[-1].weight.data *= 0.1  # the last layer: fakes close together
points = moons(5000, rng) + np.array([4, 0], np.float32)
noise = draw_noise(256, 2, rng)  # the same for all measurements
games = {"minimax": losses.minimax, "non-saturating": losses.non_saturating}


def batch(rng: np.random.Generator, n: int = 128) -> Tensor:
    """n real points, (n, 2)."""
    return Tensor(points[rng.choice(len(points), n)])


# %%
def gradient_norm(G, D, game) -> float:
    """The length of the gradient of G's loss at all of G's weights together."""
    with D.frozen():
        loss = game.generator(D(G(noise)))
    return np.sqrt(sum((g.numpy() ** 2).sum() for g in grad(loss, G.parameters())))


# %%
opt_D = optim.Adam(D.parameters(), lr=1e-3)
steps, norms, beliefs, snapshots = [], {name: [] for name in games}, [], {}
for step in range(2001):
    if step % 20 == 0:
        steps.append(step)
        beliefs.append(belief(D(G(noise))).item())
        for name, game in games.items():
            norms[name].append(gradient_norm(G, D, game))
    if step in (100, 2000):
        snapshots[step] = copy.deepcopy(D)
    figures = discriminator_step(G, D, opt_D, losses.minimax, batch(rng), draw_noise(128, 2, rng))
    if step in (100, 500, 1000, 2000):
        sizes = ", ".join(f"{name} {norms[name][-1]:.3g}" for name in games)
        print(f"step {step:4}: D's loss {figures['d_loss'].item():.4f}, D(fake) {beliefs[-1]:.4f}; |gradient|: {sizes}")

# %%
series = {f"|gradient|, {name}": (steps, values) for name, values in norms.items()}
series["mean D(fake)"] = (steps, beliefs)
title = "A better D, and what is left for G"
plots.lines(series, "steps of D alone, G fixed", "value (logarithmic axis)", title, log="y", ylim=(1e-6, 200))

# %% [markdown]
# The minimax gradient falls with $D$(fake), as the slope $-D$ says. The other one grows: its slope is nearly $-1$ for
# every fake, and $D$'s logits become steeper between fakes and reals. That is no gift either: steps become leaps.
#
# **Question: why is D's loss 0 bad?** It is near 0 only where $D$ is sure of every real and of every fake. Then its
# answers are right, but with minimax $G$ learns nothing from them; and with any loss, $G$ then moves through places
# where $D$ has seen neither reals nor fakes, and where its opinion was never tested. A useful $D$ still makes mistakes.
#
# ## Break it: an over-trained D
#
# Now both train, in turn. $G$ starts from the same weights, and $D$ from one of two snapshots: after 100 steps alone,
# still in doubt, or after 2000, over-trained. $G$'s optimizer is SGD with lr 0.005, so a step is as long as the
# gradient says. Progress is the distance from the mean of the fakes to the mean of the real points.


# %%
def distance(G) -> float:
    """From the mean fake to the mean real point."""
    with no_grad():
        return float(np.linalg.norm(G(noise).numpy().mean(axis=0) - points.mean(axis=0)))


def play(game, d_steps: int, make_optimizer, steps: int = 40):
    """Train copies of G and of D's snapshot in turn; returns them and the distance after each step."""
    young_G, old_D, rng = copy.deepcopy(G), copy.deepcopy(snapshots[d_steps]), np.random.default_rng(1)
    opt_G, opt_D = make_optimizer(young_G.parameters()), optim.Adam(old_D.parameters(), lr=1e-3)
    distances = [distance(young_G)]
    for _ in range(steps):
        discriminator_step(young_G, old_D, opt_D, game, batch(rng), draw_noise(128, 2, rng))
        generator_step(young_G, old_D, opt_G, game, draw_noise(128, 2, rng))
        distances.append(distance(young_G))
    return young_G, old_D, distances


# %%
sgd = lambda parameters: optim.SGD(parameters, lr=0.005)
results = {(name, d_steps): play(game, d_steps, sgd) for name, game in games.items() for d_steps in snapshots}
for (name, d_steps), (_, _, distances) in results.items():
    told = ", ".join(f"{step}: {distances[step]:.2f}" for step in (0, 10, 20, 40))
    print(f"{name:14} D trained {d_steps:4} steps before; distance after G's step {told}")

# %%
series = {f"{name}, D {d_steps} steps": (range(41), found[2]) for (name, d_steps), found in results.items()}
plots.lines(series, "steps of G (and of D)", "distance of the means", "G's progress")

# %%
views = []
for name in games:
    final_G, final_D, distances = results[name, 2000]
    title = f"{name}, 40 steps later: {distances[-1]:.2f}"
    views.append(plots.gan_view(points[:200], final_G(noise).numpy()[:200], final_D, title=title, limits=(-2, 7)))
plots.beside(*views).quantize(256, method=1)  # fewer colours: a smaller notebook

# %% [markdown]
# With a $D$ in doubt, both losses do nearly equally well: near $D = 1/2$ their slopes are nearly equal. With the
# over-trained $D$, minimax leaves $G$ where it was, for all of its 40 steps, and the non-saturating loss brings it to
# the data, although $D$ was as sure of itself at the start.
#
# **Question: does Adam not cure it?** Adam divides each gradient by its running size (see *Optimizers and games*), so a
# factor that all gradients share drops out:

# %%
adam = lambda parameters: optim.Adam(parameters, lr=1e-3)
for name, game in games.items():
    for d_steps in snapshots:
        distances = play(game, d_steps, adam)[2]
        told = ", ".join(f"{step}: {distances[step]:.2f}" for step in (0, 10, 20, 40))
        print(f"{name:14} D trained {d_steps:4} steps before; distance after G's step {told}")

# %% [markdown]
# In these 40 steps all four move, and minimax does no worse: Adam hides that the gradient is small. What it cannot
# change is **which fakes count**. A fake's share of the gradient goes with $D$ in minimax, and with $1 - D$ in the
# non-saturating game:

# %%
with no_grad():
    D_of_fakes = snapshots[2000](G(noise)).sigmoid().numpy().ravel()
    weights = {"minimax": D_of_fakes, "non-saturating": 1 - D_of_fakes}
for name, w in weights.items():
    print(f"{name}: the 10 % of fakes with the most weight carry {np.sort(w)[-26:].sum() / w.sum():.0%} of it")

# %% [markdown]
# In minimax a tenth of the fakes, those that $D$ believes most, carries nearly half of the weight; in the
# non-saturating game all bad fakes count alike. minigan's default is `non_saturating`: it works with any optimizer,
# and its gradient comes from the fakes that are bad.
#
# ## What you can now do
#
# - Derive both slopes, $-D$ and $D - 1$, and say where each vanishes.
# - Measure the gradient that reaches $G$, and recognise saturation by it.
# - Explain why a perfect $D$ is a poor teacher, and what Adam changes about that and what not.
#
# **Next:** *Convolution and its transpose* goes from points to images.
