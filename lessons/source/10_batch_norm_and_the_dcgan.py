# %% [markdown]
# # Batch norm and the DCGAN
#
# - **Goals**: derive and write batch norm; train a DCGAN on real digits; see the two ways in which batch norm misleads.
# - **You need**: *One training step, line by line* and *Convolution and its transpose*.
# - **Run time**: under 150 seconds on two cores.

# %%
import inspect

import numpy as np

from minigan import Tensor, grad, no_grad, ops, plots
from minigan.data import DataLoader, load_mnist
from minigan.exercises import check
from minigan.gan import belief, minimise, one_hot, train
from minigan.gans import ConditionalGAN
from minigan.ops import concatenate, mean, reshape, sqrt, sum
from minigan.tensor import record

rng = np.random.default_rng(0)

# %% [markdown]
# ## What batch norm does
#
# Each layer multiplies the size of its input by something. After many layers the numbers are tiny or huge (see *Layers
# and losses*). Batch norm sets the size right in every layer: for each channel, subtract the mean over the batch and
# divide by the standard deviation. With $M$ numbers $x_1 \dots x_M$ in a channel:
#
# $$\mu = \frac{1}{M} \sum_i x_i \qquad \sigma = \sqrt{\tfrac{1}{M} \sum_i (x_i - \mu)^2 + \varepsilon}
# \qquad \hat{x}_i = \frac{x_i - \mu}{\sigma} \qquad y_i = w\, \hat{x}_i + b$$
#
# For images $(N, C, H, W)$ a channel has $M = N H W$ numbers: every pixel counts. The small $\varepsilon$ avoids a
# division by 0. Weight $w$ and bias $b$, one of each per channel, are learned: they give the layer back its freedom.

# %%
x = Tensor(rng.standard_normal((1000, 2)) * [0.1, 5.0] + [3.0, -10.0])  # two channels, of different size
y, mu, variance = ops.batch_norm(x, Tensor(np.ones(2)), Tensor(np.zeros(2)))
plots.histograms(
    {
        "channel 0": x.numpy()[:, 0],
        "channel 1": x.numpy()[:, 1],
        "0, normalised": y.numpy()[:, 0],
        "1, normalised": y.numpy()[:, 1],
    },
    "value",
)

# %% [markdown]
# **Question: and when there is no batch?** Later we may want one single image from the generator, and it must not
# depend on what else is in the batch. So in training each layer also keeps *running* statistics, which follow the
# batch's slowly: `running = (1 - momentum) running + momentum batch`, with momentum 0.1. After `eval()` they take the
# place of $\mu$ and $\sigma^2$. Remember them: they come back in "Break it".
#
# ## Exercise: batch_norm
#
# Hint: `mean(x, axes, keepdims=True)` has the shape that fits `x`. Write $y$ with operations on tensors, and the
# derivative comes by itself. `tensor.data.reshape(-1)` is an array `(C,)`. Change `running.data` in place. (Every
# exercise is a file as well: `minigan exercise start` lays them out in the folder `exercises`, this one as
# `batch_norm`.)


# %% exercise="batch_norm"
def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> tuple:
    """y, a Tensor of x's shape, and the batch's mean and variance, arrays (C,). x (N, C) or (N, C, H, W)."""
    axes = (0, *range(2, x.ndim))  # (0,) or (0, 2, 3)
    per_channel = (1, -1, *[1] * (x.ndim - 2))  # the shape in which weight and bias fit x
    ### BEGIN SOLUTION
    mu = mean(x, axes, keepdims=True)
    centred = x - mu
    var = mean(centred * centred, axes, keepdims=True)
    y = reshape(weight, per_channel) * (centred / sqrt(var + eps)) + reshape(bias, per_channel)
    return y, mu.data.reshape(-1), var.data.reshape(-1)
    ### END SOLUTION


def update_running(running: Tensor, batch: np.ndarray, momentum: float) -> None:
    """Move the running statistic (C,) a little towards the batch's, in place."""
    ### BEGIN SOLUTION
    running.data *= 1 - momentum
    running.data += momentum * batch
    ### END SOLUTION


# %% check="batch_norm"
check("batch_norm", batch_norm, update_running)

# %% [markdown]
# ## The backward pass, by hand
#
# Let $g_j$ be the gradient at $y_j$. Then $w$ and $b$ are easy: $y_j = w \hat{x}_j + b$, so $b$ gets $\sum_j g_j$ and
# $w$ gets $\sum_j g_j \hat{x}_j$. The gradient at $\hat{x}_j$ is $h_j = w g_j$.
#
# Now move one $x_i$ a little. What changes?
#
# 1. The mean: $\dfrac{\partial \mu}{\partial x_i} = \dfrac{1}{M}$.
# 2. The variance $v = \frac{1}{M} \sum_j (x_j - \mu)^2$. Its derivative is $\frac{2}{M} (x_i - \mu)$. That $\mu$
#    moves too changes nothing, because $\sum_j (x_j - \mu) = 0$.
# 3. The deviation $\sigma = \sqrt{v + \varepsilon}$, by the chain rule:
#    $\dfrac{\partial \sigma}{\partial x_i} = \dfrac{1}{2 \sigma} \, \dfrac{2 (x_i - \mu)}{M} = \dfrac{\hat{x}_i}{M}$.
# 4. And so every $\hat{x}_j = (x_j - \mu) / \sigma$, on three paths: directly (only if $j = i$), through $\mu$, and
#    through $\sigma$, where $\partial \hat{x}_j / \partial \sigma = -\hat{x}_j / \sigma$.
# 5. The three paths together:
#
# $$\frac{\partial \hat{x}_j}{\partial x_i}
# = \frac{1}{\sigma} \left( [j = i] - \frac{1}{M} - \frac{\hat{x}_j \hat{x}_i}{M} \right)$$
#
# The gradient at $x_i$ is $\sum_j h_j\, \partial \hat{x}_j / \partial x_i$. Two of its three parts become means over
# the channel. This last step is your exercise.
#
# Before you write it, look at what it must do. Normalising undoes any shift and any scaling of a channel. So no such
# change of $x$ can change the loss, and the gradient has no part in these directions:

# %%
x = Tensor(rng.standard_normal((50, 1)), requires_grad=True)
y, _, _ = ops.batch_norm(x, Tensor(np.ones(1)), Tensor(np.zeros(1)))
for name, g in [("random g", rng.standard_normal((50, 1))), ("all ones", np.ones((50, 1)))]:
    slope = grad((y * Tensor(g)).sum(), x)[0].numpy()
    sums = f"its sum {slope.sum():.0e}, its sum with x_hat {(slope * y.numpy()).sum():.0e}"
    print(f"{name}: largest slope {np.abs(slope).max():.0e}, {sums}")

# %% [markdown]
# Both sums are 0 up to round-off (and up to $\varepsilon$, in the last). If the upstream gradient $g$ is the same for
# all, nothing at all is left. That is why a test of batch norm with ones as upstream gradient proves nothing: a whole
# term can be missing, and 0 is still 0. `check` and `gradcheck` use random ones.
#
# ## Exercise: batch_norm_backward (a challenge)
#
# Hint: put step 5 into the sum above; `mean(h, axes, keepdims=True)` and `sum(g, axes)`.


# %% exercise="batch_norm_backward"
def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> tuple:
    """y, mu and var as above, with the derivatives as formulas: g, x (N, C) or (N, C, H, W), sigma (1, C, ...)."""
    axes = (0, *range(2, x.ndim))
    per_channel = (1, -1, *[1] * (x.ndim - 2))

    def normalise() -> tuple[Tensor, Tensor]:
        """x_hat and sigma, in tensors."""
        centred = x - mean(x, axes, keepdims=True)
        sigma = sqrt(mean(centred * centred, axes, keepdims=True) + eps)
        return centred / sigma, sigma

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        x_hat, sigma = normalise()
        ### BEGIN SOLUTION
        h = g * reshape(weight, per_channel)
        return (h - mean(h, axes, keepdims=True) - x_hat * mean(h * x_hat, axes, keepdims=True)) / sigma
        ### END SOLUTION

    def to_weight(g: Tensor, y: Tensor) -> Tensor:
        x_hat, _ = normalise()
        ### BEGIN SOLUTION
        return sum(g * x_hat, axes)
        ### END SOLUTION

    def to_bias(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return sum(g, axes)
        ### END SOLUTION

    mu, var = x.data.mean(axis=axes, keepdims=True), x.data.var(axis=axes, keepdims=True)
    x_hat = (x.data - mu) / (var + eps) ** 0.5
    y = x_hat * weight.data.reshape(per_channel) + bias.data.reshape(per_channel)
    return record(y, (x, to_x), (weight, to_weight), (bias, to_bias)), mu.reshape(-1), var.reshape(-1)


# %% check="batch_norm_backward"
check("batch_norm_backward", batch_norm)

# %% [markdown]
# ## The DCGAN
#
# Real data at last: MNIST, 60,000 handwritten digits of 28x28 pixels from -1 (black) to 1 (white).

# %%
images, labels = load_mnist("train")  # (60000, 1, 28, 28) and (60000,)
plots.image_grid(images[:50])

# %% [markdown]
# Both players are told the digit. The generator gets it as ten more numbers beside the 64 of noise: a 1 for the digit
# asked for, 0 for the others. The discriminator has ten outputs, and only that of the image's own digit counts: "is
# this a real 7?". The recipe for the layers is that of Radford et al. (2016): every convolution has kernel 4 and
# stride 2, and batch norm follows all but the layers at the image and $D$'s last.

# %%
shapes = {"images": (1, 28, 28), "labels": (10,)}  # of one image, and how many digits there are
gan = ConditionalGAN(shapes, np.random.default_rng(0))
print(gan.G.summary((64 + 10,)), "\n")
print(gan.D.summary((1, 28, 28)))

# %% [markdown]
# Its training step has the stages of *One training step, line by line*, now with the labels $y$, as rows with a 1 at
# the digit. It stands in `minigan/gans/conditional.py`:

# %%
print(inspect.getsource(ConditionalGAN.step))
print(inspect.getsource(ConditionalGAN.draw))
print(inspect.getsource(ConditionalGAN.score))

# %% [markdown]
# To watch the generator learn, we give it the same 20 noise vectors again and again, with the digits 0, 1, 2, ... in
# turn. `frozen()` means: its weights and its running statistics stay as they are. The pictures have 8 greys only, which
# keeps the animation small.

# %%
noise = rng.standard_normal((20, gan.noise_dim), dtype=np.float32)  # (20, 64)
z = concatenate([Tensor(noise), one_hot(np.arange(20) % 10, 10)], axis=1)  # (20, 74)


def draw(generator) -> np.ndarray:
    """What it makes of the fixed noise: (20, 1, 28, 28)."""
    with generator.frozen(), no_grad():
        return generator(z).numpy()


def picture(images: np.ndarray):
    """Images in a grid, in 8 greys."""
    grid = plots.image_grid(np.round(images * 3.5 + 3.5) / 3.5 - 1)
    return grid.resize((grid.width * 3 // 4, grid.height * 3 // 4), resample=0)  # 3 x 3 pixels for each


loader = DataLoader({"images": images, "labels": labels}, batch_size=64, seed=0)  # 937 batches
frames, metrics, live = [picture(draw(gan.G))], [], plots.Live()
moments = [5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 125, 150, 200, 300, 400, 500, 600]

# %% [markdown]
# Now train, 600 steps: about two thirds of the images are seen once. Press the stop button if you like, and run the
# cell again: it goes on where it was.

# %%
for figures in train(gan, loader):
    metrics.append({"step": gan.steps, **figures})
    if gan.steps in moments:
        frames.append(picture(draw(gan.G)))
        live.show(frames[-1])
    if gan.steps == 20:
        early = gan.G.state_dict()  # a copy, for later
    if gan.steps >= 600:
        break

# %%
plots.play(frames, seconds=10, alt="20 digits as training goes on: first noise, then blobs, then digits")

# %% [markdown]
# First plain noise, then a fine pattern (see the checkerboards of *Convolution and its transpose*). After some 20 steps
# there is light in the middle, where digits are; soon after there are strokes, by step 100 digits can be read, and from
# then on the edges get cleaner.

# %%
plots.loss_curves(metrics).quantize(64, method=1)  # fewer colours: a smaller notebook

# %% [markdown]
# The thin lines are single steps, the thick ones means over 25 steps. Neither loss simply falls, as it would for a
# classifier: each player is measured against the other, and both get better. Look at the beliefs instead. For 200 steps
# D tells reals and fakes apart, at about 0.73 and 0.27. Then the generator catches up: 0.6 and 0.4 at the end. If D
# could only guess, both would be 0.5 and its loss $2 \ln 2 = 1.39$.
#
# **Question: why would a loss of 0 for D be bad?** Then it would be certain of every image. In minimax the generator
# would get no gradient at all; in the non-saturating game it gets one, but a large one, through places where D has
# seen neither reals nor fakes (see *Saturation*). A discriminator that can still be fooled has more to teach.
#
# ## The generator's choice
#
# Below, each row is one noise vector, and each column a digit. `gan.sample` uses an average of the generator's weights
# over about the last 100 steps, with running statistics: such images are usually cleaner than those of the last step.

# %%
styles = rng.standard_normal((10, gan.noise_dim), dtype=np.float32).repeat(10, axis=0)  # (100, 64)
plots.image_grid(gan.sample(styles))  # labels 0, 1, ... 9 in turn

# %% [markdown]
# Most digits can be read, after 600 steps; some cannot. The rows have styles: thinner or bolder, upright or slanted.
# Nobody told the generator about styles. It found that the noise can be used to say what the label does not.
#
# **Question: can it happen that it makes one image only?** Yes: if one image fools D, nothing in G's loss asks for a
# second one (mode collapse). Then D learns that image, G moves to the next, and so on. Here the labels force at least
# ten different images. Batch norm in D can help too: it looks at the whole batch, and a batch of equal images looks
# strange.
#
# The digits in the README come from two epochs (`minigan train`) instead of this lesson's two thirds of one.
#
# ## Break it: reals and fakes in one batch
#
# The step calls the discriminator twice, once for 64 reals and once for 64 fakes. **Question: why not once for all
# 128?** First, ask the trained discriminator both ways:

# %%
test_images, test_labels = load_mnist("test")
y = one_hot(test_labels[:64], 10)  # (64, 10)
with gan.G.frozen(), gan.D.frozen(), no_grad():
    real, fake = Tensor(test_images[:64]), gan.draw(rng, y)  # (64, 1, 28, 28)
    apart = [belief(gan.score(batch, y)).item() for batch in (real, fake)]
    both = gan.score(concatenate([real, fake]), concatenate([y, y]))  # (128, 1)
    mixed = [belief(both[:64]).item(), belief(both[64:]).item()]
print(f"apart: D(real) = {apart[0]:.2f}, D(fake) = {apart[1]:.2f}")
print(f"mixed: D(real) = {mixed[0]:.2f}, D(fake) = {mixed[1]:.2f}")

# %% [markdown]
# The images are the same, and the answers differ: with batch norm, an answer depends on the other images in the batch.
# Now train a new GAN for 60 steps with mixed batches, and after each step also ask what D says to *the same fakes* when
# they come alone, as they do in the generator's step. A GAN with another step is a class with another `step`:


# %%
class Mixed(ConditionalGAN):
    """A conditional GAN whose D gets reals and fakes in one batch: broken on purpose."""

    def step(self, rng, images, labels):
        real, y = Tensor(images), one_hot(labels, self.classes)
        with self.G.frozen():
            fake = self.draw(rng, y)
        logits = self.score(concatenate([real, fake.detach()]), concatenate([y, y]))  # mixed: (128, 1)
        minimise(self.game.discriminator(logits[:64], logits[64:]), self.d_optimizer)

        again = self.draw(rng, y)
        with self.D.frozen():
            again_logits, alone = self.score(again, y), self.score(fake, y)
        minimise(self.game.generator(again_logits), self.g_optimizer)
        names = ("reals, in a mixed batch", "fakes, in a mixed batch", "the same fakes, alone")
        return dict(zip(names, map(belief, (logits[:64], logits[64:], alone)), strict=True))


# %%
broken, told = Mixed(shapes, np.random.default_rng(0)), []
for figures in train(broken, loader):
    told.append(figures)
    if broken.steps == 60:
        break
series = {name: (range(1, 61), [figures[name] for figures in told]) for name in told[0]}
plots.lines(series, "step", "D's mean belief", ylim=(0, 1))

# %%
after_60 = frames[1 + moments.index(60)]
plots.beside(after_60, picture(draw(broken.G)))  # apart, and mixed

# %% [markdown]
# In mixed batches D is perfect after ten steps. But the same fakes, alone, it takes for real, by the end with near
# certainty. The picture shows the generators after 60 steps: left from separate batches, right from mixed ones, still
# noise.
#
# Why? In D's channels reals and fakes have different means, and D learns to push them further apart. Batch norm
# subtracts the mean of *both*, so reals lie on one side of 0 and fakes on the other: the sign gives them away, and D
# needs to look at nothing else. In the generator's step the fakes come alone. Their own mean is subtracted, and with it
# all that D had learned to see. So D believes them, G's loss is almost 0, and G learns nothing. No error is raised, and
# both losses look wonderful.
#
# The rule: **one batch of D holds only reals or only fakes.** Every step in `minigan/gans/` keeps it. (It is a rule of
# batch norm only: where no layer looks across the batch, one pass over both gives the same.)
#
# ## Break it: eval statistics too early
#
# The running statistics begin as mean 0 and variance 1, and take a tenth of the batch's at each step. After $k$ steps,
# $0.9^k$ of the beginning is still in them: 12 percent after 20 steps. Take the generator as it was after 20 steps and
# draw with the batch's statistics, then with the running ones:

# %%
young = ConditionalGAN(shapes, rng).G
young.load_state_dict(early)
with_batch = draw(young)
young.eval()
with_running = draw(young)
print(f"spread of the pixels: {with_batch.std():.2f} with the batch's, {with_running.std():.2f} with the running")
pair = plots.beside(plots.image_grid(with_batch), plots.image_grid(with_running))  # train(), and eval()
pair.quantize(32, method=1)

# %%
with young.frozen(), no_grad():
    before = young[1](young[0](z)).numpy()  # what comes to the first batch norm: (20, 64, 7, 7)
print("four channels, variance of the batch:", before.var(axis=(0, 2, 3))[:4].round(4))
print("              running variance:      ", young[2].running_var.numpy()[:4].round(4))

# %% [markdown]
# Same weights, same noise. On the right everything is almost grey: the running variance is still about five times too
# large, mostly because of the 1 that it began with. So each batch norm makes its channels less than half as large as
# they should be, and the next layers pass that on. In the other direction it would be as bad: a generator whose
# weights move fast has statistics of yesterday's weights.
#
# It heals itself: after 100 steps $0.9^{100}$ is nothing. But who looks at `eval()` pictures after 20 steps concludes
# that the generator does not learn, and changes a program that was right. The average in `gan.sample` looks back over
# 100 steps, not 10: its pictures are grey for even longer.
#
# ## What you can now do
#
# - Derive the gradient of a normalisation by following each path on which an input reaches the output.
# - Train a DCGAN on real images, and read its curves.
# - Recognise the two classic mistakes with batch norm: mixed batches, and statistics that are not ready.
#
# This was the last lesson. **Next:** your own images (`minigan train dcgan --data my_pictures/`), the other losses
# (`minigan train --loss hinge`), and the exercise `wasserstein`.
