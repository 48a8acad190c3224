# %% [markdown]
# # One training step, line by line
#
# - **Goals**: know every shape and every gradient of one step of $D$ and one step of $G$; write both steps.
# - **You need**: *Tensors and the chain rule*, *Layers and losses*, *The first GAN* (the two losses).
# - **Run time**: under 60 seconds on two cores.
#
# A GAN on the plane: real points come from two moons, noise $z$ is two numbers, and a fake is $G(z)$. Both networks are
# dense, with 32 hidden numbers per layer. To have something to look at, we train both a little first.

# %%
import copy
import inspect
import time

import numpy as np

from minigan import Tensor, gans, grad, losses, nn, optim, plots
from minigan.data import moons
from minigan.exercises import check
from minigan.gan import belief, draw_noise, minimise
from minigan.metrics import frechet_distance
from minigan.networks import mlp_discriminator, mlp_generator

rng = np.random.default_rng(0)
G, D = mlp_generator(2, (2,), (32, 32), rng), mlp_discriminator((2,), (32, 32), rng)
opt_G = optim.Adam(G.parameters(), lr=2e-3, betas=(0.5, 0.99))
opt_D = optim.Adam(D.parameters(), lr=5e-3, betas=(0.5, 0.99))
points, game = moons(5000, rng), losses.non_saturating
print(D.summary((2,)))


# %%
def batch(n: int) -> Tensor:
    """n of the real points, (n, 2)."""
    return Tensor(points[rng.choice(len(points), n)])


for _ in range(110):
    for _ in range(3):  # D gets three steps, so that its opinion is worth looking at
        gans.gan.discriminator_step(G, D, opt_D, game, batch(128), draw_noise(128, 2, rng))
    gans.gan.generator_step(G, D, opt_G, game, draw_noise(128, 2, rng))

# %% [markdown]
# ## By hand: three formulas
#
# Both networks are dense layers $a = h W^T + b$ with a bend between them, and the loss is a mean over logits. So three
# formulas give every gradient. $g$ is the gradient of what stands on the left, and has its shape.
#
# | forward | backward |
# |---|---|
# | dense: $a = h W^T + b$, `(N, out)` | to $W$ `(out, in)`: $g^T h$; $b$ `(out,)`: $\sum g$; $h$ `(N, in)`: $g W$ |
# | bend: $h = a$ where $a > 0$, else $s a$, `(N, 32)` | to $a$ `(N, 32)`: $g$ where $a > 0$, else $s g$ |
# | loss of logits `(N, 1)` with target $t$, `()` | to a logit `(N, 1)`: $(D - t) / N$ with $D = \sigma$(logit) |
#
# - **D's step**: the targets are 1 for reals and 0 for fakes. The walk back ends at $D$'s first layer.
# - **G's step**: the target of a fake is 1. The walk goes through $D$ (only the "to $h$" column) into $G$.
#
# The slope $s$ is 0.2 in $D$ and 0 in $G$. As code:


# %%
def by_hand(net, x, g_of):
    """Gradients of all weights, and of x, where g_of(output) is the gradient at the output."""
    values = [x]
    for layer in net:
        values.append(layer(values[-1]))
    g, gradients = g_of(values[-1].numpy()), {}
    for number in reversed(range(len(net))):
        layer, h = net[number], values[number].numpy()
        if isinstance(layer, nn.Linear):
            gradients[f"{number}.weight"] = g.T @ h  # (out, N) @ (N, in)
            gradients[f"{number}.bias"] = g.sum(axis=0)  # (out,)
            g = g @ layer.weight.numpy()  # (N, out) @ (out, in)
        else:
            g = np.where(h > 0, g, getattr(layer, "negative_slope", 0) * g)
    return gradients, g


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# %% [markdown]
# ## D's step in five stages
#
# Each stage is one line of `minigan/gans/gan.py`, and is marked there as D 1 to D 5 and G 1 to G 5. Here each is a cell
# that begins with this line (the last stage of each step is taken apart), and `stage` keeps a picture of it. For these
# two steps the optimizer is the plainest, SGD: $\theta \leftarrow \theta - \text{lr} \cdot g$, with rates so large that
# one step can be seen.

# %%
N, limits, pictures, captions = 48, (-2.0, 2.0), [], []
opt_D, opt_G = optim.SGD(D.parameters(), lr=0.1), optim.SGD(G.parameters(), lr=0.05)
real = batch(N)
for parameter in G.parameters() + D.parameters():
    parameter.grad = None  # forget what the training above left behind


def stage(caption: str, picture):
    pictures.append(picture)
    captions.append(caption)


def row(*pictures):
    return plots.beside(*pictures).quantize(256, method=1)  # fewer colours: a smaller notebook


def show_gradients(net: nn.Module) -> None:
    for name, tensor in net.state().items():
        size = "none" if tensor.grad is None else f"{np.linalg.norm(tensor.grad.numpy()):.4f}"
        print(f"  {name:9} {tensor.shape!s:9} norm of its gradient: {size}")


start = copy.deepcopy((G, D, opt_G, opt_D, rng))  # to come back to

# %% [markdown]
# **D 1: draw noise.** As many as there are reals.

# %%
noise = draw_noise(N, 2, rng)
stage("D 1: draw noise", plots.noise_view(noise, "D 1: noise z"))
print("real", real.shape, " noise", noise.shape)

# %% [markdown]
# **D 2: make fakes.** `frozen` says: $G$ is used, not trained. Nothing is recorded, so the fakes have no parents.

# %%
with G.frozen():
    fake = G(noise)
stage("D 2: make fakes", plots.gan_view(real, fake, generator=G, title="D 2: fakes G(z)", limits=limits))
print("fake", fake.shape, " parents in the graph:", len(fake.parents))
row(*pictures[-2:])

# %% [markdown]
# Both grey nets are the same: $G$ bends the plane of noise, and its dots with it, onto the plane of points.
#
# **D 3: score reals and detached fakes.** One logit per point. Here `detach` does nothing, because `frozen` has cut the
# graph already: it is a second lock, and the only one in programs without `frozen`, which also protects the running
# statistics of batch norm (see *Batch norm and the DCGAN*).

# %%
real_logits, fake_logits = D(real), D(fake.detach())
beliefs = [x.sigmoid().numpy() for x in (real_logits, fake_logits)]  # of reals, of fakes
title = f"D 3: mean D(real) {beliefs[0].mean():.2f}, D(fake) {beliefs[1].mean():.2f}"
stage("D 3: score reals and fakes", plots.gan_view(real, fake, D, title=title, limits=limits))
print("real_logits", real_logits.shape, " fake_logits", fake_logits.shape)

# %% [markdown]
# **D 4: the loss.** One number. Its gradient at a logit is $(D - 1)/N$ for a real and $D/N$ for a fake: how wrong $D$
# is. The picture keeps only the points on the wrong side of 1/2.

# %%
loss = game.discriminator(real_logits, fake_logits)
print(f"loss {loss.item():.4f}, shape {loss.shape}")
wrong = beliefs[0][:, 0] < 0.5, beliefs[1][:, 0] > 0.5  # reals, fakes
errors = np.concatenate([1 - beliefs[0], beliefs[1]])[:, 0]  # |gradient| times N
share = errors[np.concatenate(wrong)].sum() / errors.sum()
picture = plots.gan_view(
    real.numpy()[wrong[0]], fake.numpy()[wrong[1]], D, title=f"D 4: what D has wrong: {share:.0%} of |g|", limits=limits
)
stage("D 4: the loss", picture)
print(f"{wrong[0].sum()} of {N} reals and {wrong[1].sum()} of {N} fakes are on the wrong side")
row(*pictures[-2:])

# %% [markdown]
# **D 5: walk back to D's weights, and move them.** This is the function `minimise`, and every GAN in minigan trains
# with it:

# %%
print(inspect.getsource(minimise))

# %% [markdown]
# Its first two lines forget the gradients of the last step, and walk back from the loss to the optimizer's own
# parameters:

# %%
opt_D.zero_grad()
loss.backward(inputs=opt_D.parameters)
print("D:")
show_gradients(D)
print("G:")
show_gradients(G)

# %% [markdown]
# Is it what the three formulas say?

# %%
to_real, _ = by_hand(D, real, lambda x: (sigmoid(x) - 1) / N)
to_fake, _ = by_hand(D, fake, lambda x: sigmoid(x) / N)
for name, parameter in D.state().items():
    error = np.abs(parameter.grad.numpy() - (to_real[name] + to_fake[name])).max()
    print(f"{name:9} largest difference {error:.1e}")

# %% [markdown]
# The third line moves the weights. Only $D$'s move.

# %%
before = [p.numpy().copy() for p in G.parameters()]
opt_D.step()
after = [belief(D(x)).item() for x in (real, fake)]
title = f"D 5: mean D(real) {after[0]:.2f}, D(fake) {after[1]:.2f}"
stage("D 5: walk back, and move D's weights", plots.gan_view(real, fake, D, title=title, limits=limits))
new_loss = game.discriminator(D(real), D(fake)).item()
print(f"D's loss on the same points: {loss.item():.4f} -> {new_loss:.4f}")
foreseen = opt_D.lr * sum((p.grad.numpy() ** 2).sum() for p in D.parameters())
print(f"it fell by {loss.item() - new_loss:.4f}; lr times |gradient|^2 is {foreseen:.4f}")
print("G unchanged, bit for bit:", all((a == p.numpy()).all() for a, p in zip(before, G.parameters(), strict=True)))
row(pictures[2], pictures[4])

# %% [markdown]
# Left before, right after the update: the loss on these points fell. D(real) got a little worse, D(fake) got better by
# more: the step lowers the sum, not each part.
#
# ## G's step in five stages
#
# **G 1: fresh noise.**

# %%
noise = draw_noise(N, 2, rng)
stage("G 1: fresh noise", plots.noise_view(noise, "G 1: fresh noise z"))
print("noise", noise.shape)

# %% [markdown]
# **G 2: fresh fakes.** No `frozen`, no `detach`: this time the fakes remember how they were made.

# %%
fake = G(noise)
stage("G 2: fresh fakes", plots.gan_view(real, fake, generator=G, title="G 2: fresh fakes G(z)", limits=limits))
print("fake", fake.shape, " parents in the graph:", len(fake.parents))
row(*pictures[-2:])

# %% [markdown]
# **G 3: score.** $D$ is frozen: gradients pass through it, but none are computed for its weights. There are no reals
# in this step: $G$ never sees one.

# %%
with D.frozen():
    fake_logits = D(fake)
believed = belief(fake_logits).item()
title = f"G 3: mean D(fake) {believed:.2f}"
stage("G 3: score the fakes", plots.gan_view(None, fake, D, G, title=title, limits=limits))
print("fake_logits", fake_logits.shape)

# %% [markdown]
# **G 4: the loss.** Its gradient at a logit is $(D - 1)/N$. Through $D$ it becomes a gradient at each fake, `(N, 2)`:
# the arrows, which point down the slope.

# %%
loss = game.generator(fake_logits)
(to_fakes,) = grad(loss, fake)  # for the picture only
print(f"loss {loss.item():.4f}, shape {loss.shape}; gradient of the fakes {to_fakes.shape}")
picture = plots.gan_view(real, fake, D, gradients=to_fakes, title="G 4: where D wants the fakes to go", limits=limits)
stage("G 4: the loss", picture)
row(*pictures[-2:])

# %% [markdown]
# **G 5: walk back through D and G, and move G's weights.** Again the three lines of `minimise`, this time with $G$'s
# optimizer. First the walk: through $G$, the gradient of each fake becomes the gradients of $G$'s weights.

# %%
opt_D.zero_grad()  # what D's own step left behind, only so that we see that nothing new comes
opt_G.zero_grad()
loss.backward(inputs=opt_G.parameters)
print("G:")
show_gradients(G)
print("D:")
show_gradients(D)

# %%
_, at_fakes = by_hand(D, fake, lambda x: (sigmoid(x) - 1) / N)  # through D to the fakes
to_weights, _ = by_hand(G, noise, lambda _: at_fakes)  # and on through G
print(f"fakes     largest difference {np.abs(to_fakes.numpy() - at_fakes).max():.1e}")
for name, parameter in G.state().items():
    print(f"{name:9} largest difference {np.abs(parameter.grad.numpy() - to_weights[name]).max():.1e}")

# %% [markdown]
# Then the step: only $G$'s weights move, and the same noise now gives other fakes.

# %%
opt_G.step()
moved = G(noise)
believed_now = belief(D(moved)).item()
title = f"G 5: mean D(fake) {believed:.2f} before, {believed_now:.2f} now"
stage("G 5: walk back, and move G's weights", plots.gan_view(None, moved, D, G, title=title, limits=limits))
move, arrow = moved.numpy() - fake.numpy(), -to_fakes.numpy()
cosine = (move * arrow).sum(axis=1) / np.linalg.norm(move, axis=1) / np.linalg.norm(arrow, axis=1)
print(f"G's loss on the same noise: {loss.item():.4f} -> {game.generator(D(moved)).item():.4f}")
print(f"angle between a fake's arrow and its real move: median {np.degrees(np.arccos(np.median(cosine))):.0f} degrees")
print(f"{np.mean(cosine < 0):.0%} of the fakes moved against their arrow")
row(pictures[7], pictures[9])

# %% [markdown]
# The fakes do not simply follow their arrows: all of them share the same weights, and what moves one moves the others.
# Only the mean over all fakes, the loss, must go down.
#
# ## All ten, one at a time
#
# In class: step through them. (The pictures above are the same; these buttons need a running kernel.)

# %%
plots.stepper(pictures, captions)

# %% [markdown]
# And the library's two functions do just this: from the same start, they come to the same weights.

# %%
G2, D2, opt_G2, opt_D2, rng2 = copy.deepcopy(start)
gans.gan.discriminator_step(G2, D2, opt_D2, game, real, draw_noise(N, 2, rng2))
gans.gan.generator_step(G2, D2, opt_G2, game, draw_noise(N, 2, rng2))
for name, mine, theirs in (("G", G, G2), ("D", D, D2)):
    pairs = zip(mine.parameters(), theirs.parameters(), strict=True)
    print(f"{name}: largest difference {max(np.abs(a.numpy() - b.numpy()).max() for a, b in pairs):.1e}")

# %% [markdown]
# **Question: why run D twice?** In D's step it scores reals and fakes, in G's step it scores fakes again. Two reasons:
#
# 1. The two passes need different graphs. In D's step the walk back must reach D's weights and stop at the fakes; in
#    G's step it must skip D's weights and go on through the fakes to G.
# 2. Between them D has changed. G should learn from D's new opinion, not from its old one.
#
# ## Exercise: `discriminator_step`
#
# Write the stages D 2 to D 5; the noise is given. Hint: the reals come first in `game.discriminator`. What is returned
# is written already: the loss, and `belief`, which is the mean of $D$, all cut off from the graph. (Every exercise is a
# file as well: `minigan exercise start` lays them out in the folder `exercises`, this one as `discriminator_step`.)


# %% exercise="discriminator_step"
def discriminator_step(G, D, optimizer, game, real, noise):
    """One step of D. real (n, ...), noise (n, noise_dim), logits (n, 1), loss (). G must come out as it went in."""
    # D 2 to D 5; name them fake, real_logits, fake_logits and loss.
    ### BEGIN SOLUTION
    with G.frozen():
        fake = G(noise)
    real_logits, fake_logits = D(real), D(fake.detach())
    loss = game.discriminator(real_logits, fake_logits)
    minimise(loss, optimizer)
    ### END SOLUTION
    return {"d_loss": loss.detach(), "d_real": belief(real_logits), "d_fake": belief(fake_logits)}


# %% check="discriminator_step"
check("discriminator_step", discriminator_step)

# %% [markdown]
# ## Exercise: `generator_step`
#
# Write the stages G 2 to G 5. Hint: here the gradient must reach the generator through the discriminator, so nothing is
# detached; decide who is frozen, and when.


# %% exercise="generator_step"
def generator_step(G, D, optimizer, game, noise):
    """One step of G. noise (n, noise_dim), logits (n, 1), loss (). D must come out as it went in.

    Returns {"g_loss": the loss, cut off from the graph}.
    """
    ### BEGIN SOLUTION
    fake = G(noise)
    with D.frozen():
        fake_logits = D(fake)
    loss = game.generator(fake_logits)
    return {"g_loss": minimise(loss, optimizer)}
    ### END SOLUTION


# %% check="generator_step"
check("generator_step", generator_step)

# %% [markdown]
# When both pass, compare yours with minigan's. (`@swappable` lets your function run in its place.)

# %%
print(inspect.getsource(gans.gan.discriminator_step))
print(inspect.getsource(gans.gan.generator_step))

# %% [markdown]
# D 1 and G 1 stand in the method that calls both. It also takes the average of $G$'s weights, from which samples are
# drawn:

# %%
print(inspect.getsource(gans.OriginalGAN.step))

# %% [markdown]
# ## Break it
#
# Each experiment starts with copies of the networks as they were before the ten stages, or with new ones.


# %%
def copies():
    """Copies of G, D and their optimizers."""
    return copy.deepcopy(start)[:4]


def cosine_of(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# %% [markdown]
# ### Forget `frozen` and `detach`
#
# D's step without `frozen` and without `detach`. Then only one lock is left: `minimise` walks back to the parameters of
# D's optimizer and nowhere else. Most programs do not have it: their `backward()`, like minigan's without `inputs`,
# walks back to everything that needs a gradient. Which parameters get gradients, and what does it cost?


# %%
def score_and_walk_back(G, D, real, noise, forget: bool, inputs) -> float:
    """Stages D 2 to D 5, without the step; returns the milliseconds they took."""
    began = time.perf_counter()
    if forget:
        fake = G(noise)
    else:
        with G.frozen():
            fake = G(noise).detach()
    game.discriminator(D(real), D(fake)).backward(inputs=inputs)
    return 1000 * (time.perf_counter() - began)


# %%
many, much_noise = batch(2000), draw_noise(2000, 2, np.random.default_rng(1))
for forget, only_D in ((False, False), (True, True), (True, False)):
    G2, D2, *_ = copies()
    inputs = D2.parameters() if only_D else None
    times = [score_and_walk_back(G2, D2, many, much_noise, forget, inputs) for _ in range(40)]
    counts = [sum(p.grad is not None for p in net.parameters()) for net in (G2, D2)]
    walk = "to D only" if only_D else "to all"
    print(f"forgotten {forget!s:5}  walk {walk:9}  with gradients: G {counts[0]}, D {counts[1]}; {min(times):.1f} ms")

# %% [markdown]
# Where two locks are forgotten and there is no third, the walk goes on through $G$, and all six of its parameters get
# gradients that nobody wants. Usually `opt_G.zero_grad()` throws them away, and only time is lost. But where that is
# forgotten too, they are **added** to G's own gradients. Where do they point?

# %%
noise = draw_noise(N, 2, np.random.default_rng(1))
G2, D2, *_ = copies()
fake_logits = D2(G2(noise))
from_d = np.concatenate([g.numpy().ravel() for g in grad(losses.bce_with_logits(fake_logits, 0.0), G2.parameters())])
from_g = np.concatenate([g.numpy().ravel() for g in grad(game.generator(fake_logits), G2.parameters())])
print(f"norms: from D's loss {np.linalg.norm(from_d):.3f}, from G's own loss {np.linalg.norm(from_g):.3f}")
print(f"cosine of the angle between them: {cosine_of(from_d, from_g):.2f}")

# %%
for name, loss_of in (("G's own loss", game.generator), ("D's loss", lambda x: losses.bce_with_logits(x, 0.0))):
    G2, D2, opt_G2, _ = copies()
    beliefs = []
    for _ in range(51):
        logits = D2(G2(noise))
        minimise(loss_of(logits), opt_G2)
        beliefs.append(belief(logits).item())
    print(f"50 steps of G down {name}: mean D(fake) {beliefs[0]:.2f} -> {beliefs[-1]:.2f}")

# %% [markdown]
# A cosine near -1: nearly the opposite direction. D's loss would teach $G$ to be caught.
#
# ### One optimizer for both
#
# **Question: why not one optimizer?** One optimizer makes one loss small, say the sum of both. At a fake's logit, D's
# loss has the slope $D/N$, and G's has $-D/N$ (minimax) or $(D - 1)/N$ (non-saturating). So the sum has the slope
# exactly 0, or $(2D - 1)/N$. In the first case $G$ learns nothing. In the second, both networks are paid for $D = 1/2$
# on fakes, wherever these are, and nothing pays $G$ for coming nearer to the data. Two players have two losses, so each
# needs an optimizer of its own, with its own parameters.

# %%
G2, D2, *_ = copies()
for rule in (losses.minimax, losses.non_saturating):
    fake_logits = D2(G2(noise))
    total = rule.discriminator(D2(real), fake_logits) + rule.generator(fake_logits)
    norm = np.sqrt(sum((g.numpy() ** 2).sum() for g in grad(total, G2.parameters())))
    print(f"{rule.__name__:14} norm of G's gradient from the sum of both losses: {norm:.4f}")

# %% [markdown]
# Trained from the start, 400 steps each:


# %%
def distance(G: nn.Module) -> float:
    """The Frechet distance between 1000 fakes and 1000 reals: 0 where their means and covariances agree."""
    return frechet_distance(G(draw_noise(1000, 2, np.random.default_rng(2))).numpy(), points[:1000])


def new_players():
    rng = np.random.default_rng(3)
    G, D = mlp_generator(2, (2,), (32, 32), rng), mlp_discriminator((2,), (32, 32), rng)
    return G, D, rng


def view(G, D, title: str, reach: float):
    fakes = G(draw_noise(200, 2, np.random.default_rng(2)))
    return plots.gan_view(points[:200], fakes, D, title=f"{title}: distance {distance(G):.3g}", limits=(-reach, reach))


def play(game, steps: int = 400):
    """Train new players; returns them and the figures of the last step."""
    G, D, rng = new_players()
    opt_G, opt_D = (optim.Adam(net.parameters(), lr=3e-3, betas=(0.5, 0.99)) for net in (G, D))
    for _ in range(steps):
        figures = gans.gan.discriminator_step(G, D, opt_D, game, batch(128), draw_noise(128, 2, rng))
        gans.gan.generator_step(G, D, opt_G, game, draw_noise(128, 2, rng))
    return G, D, figures


# %%
def play_with_one_optimizer(steps: int = 400):
    G, D, rng = new_players()
    both = optim.Adam(G.parameters() + D.parameters(), lr=3e-3, betas=(0.5, 0.99))
    for _ in range(steps):
        fake_logits = D(G(draw_noise(128, 2, rng)))
        minimise(game.discriminator(D(batch(128)), fake_logits) + game.generator(fake_logits), both)
    return G, D


# %%
right_G, right_D, right = play(game)
one_G, one_D = play_with_one_optimizer()
for name, final_G, final_D in (("two optimizers", right_G, right_D), ("one optimizer", one_G, one_D)):
    means = [belief(final_D(x)).item() for x in (batch(1000), final_G(draw_noise(1000, 2, rng)))]
    print(f"{name}: D(real) {means[0]:.2f}, D(fake) {means[1]:.2f}")
row(view(right_G, right_D, "two optimizers", 6), view(one_G, one_D, "one optimizer", 6))

# %% [markdown]
# With one optimizer everybody is content: D is sure of the reals and near 1/2 on the fakes, and the fakes are somewhere
# else.
#
# ### Swap the labels
#
# D is told that fakes are real and that reals are fake; G's step is as before. 100 steps are enough:


# %%
class swapped:
    discriminator = staticmethod(lambda real, fake: game.discriminator(fake, real))
    generator = game.generator


swapped_G, swapped_D, figures = play(swapped, 100)
for name, found in (("right", right), ("swapped", figures)):
    print(name, {key: round(value.item(), 3) for key, value in found.items()})
row(view(right_G, right_D, "right labels", 12), view(swapped_G, swapped_D, "swapped labels", 12))

# %% [markdown]
# D's loss is nearly 0, as if all were well. But now "D believes it" means "it is a fake", and G is paid for that: it
# runs away from the data. A loss that falls says little; look at D(real) and at the samples.
#
# ### Train G on D's stale fakes
#
# Could G's step save a pass and use what D's step has left? Three ways to try it. First, the fakes as D's step made
# them:

# %%
G2, D2, opt_G2, opt_D2 = copies()
with G2.frozen():
    fake = G2(noise)
try:
    with D2.frozen():
        minimise(game.generator(D2(fake.detach())), opt_G2)
except ValueError as error:
    print(error)

# %% [markdown]
# Nothing leads back to $G$. Second, keep the graph of the fakes **and of their logits**, and walk it after D's update:

# %%
fake, fresh = G2(noise), G2(draw_noise(2000, 2, np.random.default_rng(4))).detach()
old_logits = D2(fake)
before = [belief(D2(x)).item() for x in (fake, fresh)]
minimise(game.discriminator(D2(real), D2(fake.detach())), opt_D2)
try:
    minimise(game.generator(old_logits), opt_G2)
except ValueError as error:
    print(error)

# %% [markdown]
# The walk back would meet the new weights of D together with values from before, and give the gradient of neither D.
# Nothing would show it; so minigan counts the changes of a weight, and stops. (PyTorch does so too.) The fakes must at
# least be scored afresh. Third, then: the old fakes, with their graph, scored by the new D. The gradient is right. But
# D has just been trained on these very fakes:

# %%
after = [belief(D2(x)).item() for x in (fake, fresh)]
for name, old, new in zip(("the 48 fakes of D's step", "2000 fresh fakes"), before, after, strict=True):
    print(f"{name:25} mean D {old:.3f} -> {new:.3f}")

# %% [markdown]
# Both fell: one step of D has not learned these 48 fakes by heart. So this third way works, and many programs take it.
# minigan draws fresh noise: the two steps then share nothing, and $G$ gets twice as many different noise vectors.
#
# ## What you can now do
#
# - Name the five stages of each step, with the shape of everything in them.
# - Say where each walk back begins, what it passes through, and where it ends.
# - Recognise a forgotten `detach`, swapped labels and stale fakes by what they do.
#
# **Next:** *Saturation* asks why $G$ does not simply minimise what $D$ maximises.
