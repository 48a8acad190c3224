# %% [markdown]
# # The first GAN
#
# - **Goals**: derive the best discriminator and the value of the game; write both losses; watch a GAN learn a
#   density; break it twice.
# - **You need**: *Layers and losses* (`bce_with_logits`) and *Optimizers and games* (two players, two optimizers).
# - **Run time**: under 30 seconds on two cores.
#
# Everything here is one number per sample: the data are points on a line, of shape (N, 1). So both densities can be
# drawn, and the best possible discriminator is known.

# %%
import numpy as np

from minigan import Tensor, grad, losses, no_grad, optim
from minigan.data import mixture_1d
from minigan.exercises import Result
from minigan.gan import draw_noise, minimise
from minigan.gans.gan import discriminator_step, generator_step
from minigan.losses import bce_with_logits
from minigan.networks import mlp_discriminator, mlp_generator
from minigan.plots import lines, play

# %% [markdown]
# ## 1. The best discriminator
#
# Let $p(x)$ be the density of real points and $q(x)$ that of fakes. $D(x)$ is the discriminator's belief that $x$ is
# real. It makes this value as large as it can, and $G$ as small as it can:
#
# $$V = E_{x \sim p} \ln D(x) + E_{x \sim q} \ln (1 - D(x))
# = \int \big( p(x) \ln D(x) + q(x) \ln (1 - D(x)) \big)\, dx$$
#
# $D$ is free to choose its belief $d$ at each $x$ on its own. So take one $x$ and maximise $p \ln d + q \ln (1 - d)$.
# The derivative is
#
# $$\frac{p}{d} - \frac{q}{1 - d} = 0 \quad\Rightarrow\quad p (1 - d) = q d
# \quad\Rightarrow\quad D^* = \frac{p}{p + q}.$$
#
# It is a maximum, because the second derivative $-p/d^2 - q/(1-d)^2$ is negative. By hand: where reals are three times
# as dense as fakes, $D^* = 3/4$; where there are only fakes, 0; where both are equally dense, 1/2.

# %%
d = np.linspace(0.01, 0.99, 99)
curves = {f"p = {p}, q = {q}": (d, p * np.log(d) + q * np.log(1 - d)) for p, q in ((0.3, 0.1), (0.2, 0.2), (0.05, 0.2))}
print("the top is at d =", [round(float(d[v.argmax()]), 2) for _, v in curves.values()], "= p / (p + q)")
lines(curves, "belief d at this x", "p ln d + q ln(1 - d)", "What D gains at one place x", ylim=(-0.8, 0))

# %% [markdown]
# ## 2. The value at the best discriminator
#
# Put $D^*$ into $V$. With the mixture $m = (p + q)/2$ we have $D^* = p / (2m)$ and $1 - D^* = q / (2m)$:
#
# $$V^* = \int p \ln \frac{p}{2m} + q \ln \frac{q}{2m}\; dx
# = \underbrace{\int p \ln \frac{p}{m}\, dx + \int q \ln \frac{q}{m}\, dx}_{2\, JS(p, q)}
# - 2 \ln 2 = 2\, JS(p, q) - \ln 4$$
#
# (because $\int p\, dx = \int q\, dx = 1$). $JS$ is the Jensen-Shannon divergence: 0 if $p = q$, and $\ln 2$ if $p$ and
# $q$ have no place in common. So **against the best $D$, the generator makes the distance between $p$ and $q$
# smaller.** $D$'s loss is $-V$:
#
# | | $JS$ | $D$'s loss, $\ln 4 - 2 JS$ |
# |---|---|---|
# | fakes are like reals | 0 | $\ln 4 = 1.386$ |
# | fakes are nowhere near the reals | $\ln 2 = 0.693$ | 0 |
#
# **Question: why is a loss of 0 for D bad?** It says that no fake is near any real point. Then $JS = \ln 2$, and it
# stays $\ln 2$ if the fakes move a little: a $G$ that follows the value $V$ is told nothing (section 6 shows it, and a
# loss that helps). A loss near 1.386 is the good end, if $D$ is any good: it cannot tell them apart.
#
# Our reals are a mixture of two normal densities, two thirds around -2 and one third around 2:

# %%
MIXTURE = {"means": (-2, 2), "stds": (0.5, 0.8), "weights": (2, 1)}
x = np.linspace(-7, 7, 351)  # places at which we draw and integrate, 0.04 apart


def normal(x, mean, std):
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


def js(p, q):
    """The Jensen-Shannon divergence of two densities on the places x."""
    m = (p + q) / 2 + 1e-30
    return float(sum((a * np.log((a + 1e-30) / m)).sum() for a in (p, q)) / 2 * (x[1] - x[0]))


def best(p, q):
    """D* = p / (p + q); not drawn where there are next to no points at all."""
    return np.where(p + q > 0.01, p / (p + q + 1e-30), np.nan)


p = 2 / 3 * normal(x, -2, 0.5) + 1 / 3 * normal(x, 2, 0.8)  # (351,)
q = normal(x, 0, 1.5)  # fakes of a generator that never learns: N(0, 1.5^2)
print(f"JS = {js(p, q):.3f}, so the best D has the loss ln 4 - 2 JS = {np.log(4) - 2 * js(p, q):.3f}")

# %% [markdown]
# ## 3. Your turn: the two losses
#
# $D$'s loss is $-V$ on a batch, $-$mean $\ln D(real)$ $-$ mean $\ln (1 - D(fake))$. $G$'s loss is $-$mean
# $\ln D(fake)$: it wants its fakes to be called real. (This is the non-saturating loss. The other choice, mean
# $\ln(1 - D(fake))$, comes in the lesson *Saturation*.)
#
# Write both with `bce_with_logits(logits, target)`, which is the mean of $-t \ln D - (1 - t) \ln (1 - D)$ for the
# target $t$. Hint: which target makes which of the two terms go away? (`bce_with_logits` itself is one of the exercises
# that `minigan exercise start` lays out as files.)


# %% exercise="d_loss"
def d_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D's loss, one number, of logits (N, 1): reals should be believed, and fakes should not."""
    ### BEGIN SOLUTION
    return bce_with_logits(real_logits, 1.0) + bce_with_logits(fake_logits, 0.0)
    ### END SOLUTION


# %% exercise="g_loss"
def g_loss(fake_logits: Tensor) -> Tensor:
    """G's loss, one number, of logits (N, 1): fakes should be believed."""
    ### BEGIN SOLUTION
    return bce_with_logits(fake_logits, 1.0)
    ### END SOLUTION


# %% [markdown]
# The check compares value and gradients with minigan's own, at random logits and at +-100.


# %% setup=true
def compare(mine, right, count):
    """Compare a loss of `count` batches of logits with the right one, and say what came of it; nothing is raised."""
    hundred, noise = np.full((4, 1), 100.0), 3 * np.random.default_rng(0).standard_normal((2, 4, 1))
    for batches in (noise, (hundred, -hundred), (-hundred, hundred)):
        logits = [Tensor(batch, requires_grad=True) for batch in batches[:count]]  # (4, 1) each
        try:
            value, wanted = mine(*logits), right(*logits)
            if not np.isclose(value.item(), wanted.item()):
                at = " and ".join(str(batch[:, 0].round(1)) for batch in batches[:count])
                return Result(mine.__name__, "failed", f"at {at} it is {value.item():.4f}, not {wanted.item():.4f}")
            if not all(np.allclose(*pair) for pair in zip(grad(value, logits), grad(wanted, logits), strict=True)):
                return Result(mine.__name__, "failed", "its value is right, but its gradient is not")
        except NotImplementedError:
            return Result(mine.__name__, "not written yet")
        except Exception as error:
            return Result(mine.__name__, "failed", f"{type(error).__name__}: {error}")
    return Result(mine.__name__, "passed")


# %% check="d_loss"
compare(d_loss, losses.non_saturating.discriminator, 2)

# %% check="g_loss"
compare(g_loss, losses.non_saturating.generator, 1)

# %% [markdown]
# If both passed, they are used for the training below (section 6 compares two of minigan's own); if not, minigan's
# are. Note that $G$'s loss is not $V$: it has the same best answer and pushes each fake the same way, but harder where
# $D$ is sure. So the argument with $JS$ is a guide from here on, no longer a proof.


# %%
class mine:
    discriminator, generator = staticmethod(d_loss), staticmethod(g_loss)


right = losses.non_saturating
passed = compare(d_loss, right.discriminator, 2).passed and compare(g_loss, right.generator, 1).passed
game = mine if passed else right
print("training with", "your losses" if passed else "minigan's losses")

# %% [markdown]
# ## 4. Learned D against D*
#
# First $D$ alone: the fakes come from $N(0, 1.5^2)$ for ever, so $D^*$ is known exactly. Does a small network find it
# from batches of points, without ever seeing a density?

# %%
rng = np.random.default_rng(0)
D = mlp_discriminator((1,), (32, 32), rng)  # (N, 1) -> logits (N, 1)
optimizer = optim.Adam(D.parameters(), lr=4e-3, betas=(0.5, 0.99))


def value_on(n):
    real, fake = Tensor(mixture_1d(n, rng, **MIXTURE)), Tensor(1.5 * rng.standard_normal((n, 1), dtype=np.float32))
    return game.discriminator(D(real), D(fake))


for _ in range(1000):
    minimise(value_on(128), optimizer)  # zero_grad, backward, step


def belief(D):
    """D(x) at the places x, (351,)."""
    with no_grad():
        return D(x[:, None]).sigmoid().numpy()[:, 0]


with no_grad():
    print(f"D's loss on 50000 points each: {value_on(50_000).item():.3f}; the best D: {np.log(4) - 2 * js(p, q):.3f}")
curves = {"reals p": (x, p), "fakes q": (x, q), "D*": (x, best(p, q)), "learned D": (x, belief(D))}
lines(curves, "x", "density, or belief", "D against its best answer, G fixed", ylim=(0, 1.3))

# %% [markdown]
# The learned $D$ follows $D^*$ where there are many points. Where there are none (far outside), nothing tells it what
# to say.
#
# ## 5. The GAN
#
# Now $G$ learns too. It turns 4 normal numbers of noise into one number. Its density $q$ is not known as a formula; to
# draw it, we put a narrow normal curve on each of 2000 fakes and take the mean (a *kernel density*). The players take
# turns, one step each.


# %%
def players(lr_g=1e-3, lr_d=4e-3, seed=0, start=0.0):
    """Two networks and their optimizers; the fakes begin around `start`."""
    rng = np.random.default_rng(seed)
    G, D = mlp_generator(4, (1,), (32, 32), rng), mlp_discriminator((1,), (32, 32), rng)
    G.parameters()[-1].data[:] = start  # the bias of the last layer
    g_optimizer, d_optimizer = (
        optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.99)) for net, lr in ((G, lr_g), (D, lr_d))
    )
    return G, D, g_optimizer, d_optimizer, rng


def fakes(G, n=2000):
    """Fakes (n,), always of the same noise."""
    with no_grad():
        return G(draw_noise(n, 4, np.random.default_rng(1))).numpy()[:, 0]


def density(points):
    return normal(x[:, None], points[None, :], 0.15).mean(axis=1)  # (351, n) -> (351,)


def picture(G, D, title):
    q = density(fakes(G))
    curves = {"reals p": (x, p), "fakes q": (x, q), "D* = p / (p + q)": (x, best(p, q)), "D": (x, belief(D))}
    return lines(curves, "x", "density, or belief", title, ylim=(0, 1.6))


# %%
G, D, g_optimizer, d_optimizer, rng = players(seed=1)
frames, d_losses, distances = [], [], []
for step in range(1001):
    if step % 50 == 0:
        frames.append(picture(G, D, f"after {step} steps"))
        distances.append((step, np.log(4) - 2 * js(p, density(fakes(G)))))
    real = Tensor(mixture_1d(128, rng, **MIXTURE))  # (128, 1)
    figures = discriminator_step(G, D, d_optimizer, game, real, draw_noise(128, 4, rng))
    generator_step(G, D, g_optimizer, game, draw_noise(128, 4, rng))
    d_losses.append(figures["d_loss"].item())
play(frames, alt="the density of the fakes moves to that of the reals; D follows D*", colours=32)

# %% [markdown]
# The fakes begin as one bump. After 100 steps they are wide, after 400 most are around -2, and after 1000 they have
# two bumps and nearly cover the reals. $D$ (dotted) runs after $D^*$ and is always late: it knows the fakes of some
# steps ago. At the end both are near 1/2 where the points are: $D$ cannot tell them apart, and $G$ has nowhere better
# to go. Only in the gap at 0 a few fakes remain. $G$ is a continuous function of its noise, so something must lie
# between the two bumps, and $D$ still sees it.

# %%
smooth = np.convolve(d_losses, np.ones(25) / 25, "valid")  # the mean of 25 steps
curves = {
    "D's loss": (np.arange(len(smooth)) + 12, smooth),
    "best possible: ln 4 - 2 JS": tuple(np.transpose(distances)),
    "ln 4": ([0, 1000], [np.log(4)] * 2),
}
lines(curves, "step", "D's loss", "D's loss comes to ln 4")

# %% [markdown]
# The best possible loss (dashed) rises from 0.75 to about 1.36: that is $\ln 4 - 2 JS$ with a $JS$ of about 0.01.
# $D$'s own loss lies above it, because $D$ is late, and comes to $\ln 4$. So do not wait for the losses of a GAN to go
# down. When $D$'s loss is $\ln 4$, either the fakes are good or $D$ is poor; the samples tell which.
#
# **Question: why run D twice?** $V$ has two means: one over reals, one over fakes, so $D$'s step scores both. Then
# $G$'s step scores fakes again: $D$ has changed in between, and this time the gradient must go through $D$ to $G$ (in
# $D$'s step it stops at the fakes). The next lesson takes both steps apart.
#
# ## 6. Break it: D too strong
#
# We let the fakes begin at $x = -8$, far from all reals, and use the original *minimax* loss for $G$, mean
# $\ln(1 - D(fake))$. Once with the players taking turns; once with a $D$ that gets 300 steps first and 5 steps at
# each turn. $G$ has plain SGD here, so that a small gradient is a small step (Adam would divide by its size).


# %%
def strong(game, warm_up, turns, steps=80):
    """Train from -8; returns the fakes and, for each step, the norm of G's gradient."""
    G, D, _, d_optimizer, rng = players(start=-8.0)
    g_optimizer, norms = optim.SGD(G.parameters(), lr=0.05), []
    for step in range(steps):
        for _ in range(turns + (warm_up if step == 0 else 0)):
            real = Tensor(mixture_1d(128, rng, **MIXTURE))
            discriminator_step(G, D, d_optimizer, game, real, draw_noise(128, 4, rng))
        generator_step(G, D, g_optimizer, game, draw_noise(128, 4, rng))
        norms.append(np.sqrt(sum((w.grad.numpy() ** 2).sum() for w in G.parameters())))
    return fakes(G), norms


runs = {
    "minimax, D as strong as G": strong(losses.minimax, 0, 1),
    "minimax, D too strong": strong(losses.minimax, 300, 5),
    "non-saturating, D too strong": strong(losses.non_saturating, 300, 5),
}
for name, (points, norms) in runs.items():
    print(f"{name}: mean of the fakes {points.mean():.2f}, median norm of G's gradient {np.median(norms):.1e}")
x_far = np.linspace(-10, 7, 400)
curves = {name: (x_far, normal(x_far[:, None], points[None], 0.15).mean(1)) for name, (points, _) in runs.items()}
lines({"reals": (x, p)} | curves, "x", "density", "80 steps of G, begun at x = -8")

# %% [markdown]
# With a strong $D$ and the minimax loss, the fakes are still at -8 after 80 steps. The gradient of $\ln(1 - D)$ in
# the logit is $-D$: where $D$ is sure of a fake, $D$ is nearly 0, and so is all that $G$ is told. $D$'s loss is
# nearly 0 here, and $JS = \ln 2$: nothing to follow. The non-saturating loss has the gradient $D - 1$, nearly $-1$ at
# the same place, and gets $G$ out. *Saturation* measures this.
#
# ## 7. Break it: D too weak
#
# Now $D$'s learning rate is 200 times too low, 2e-5. $D$ is stale: it judges the fakes of long ago.


# %%
def weak(seed, lr_d=2e-5, steps=600):
    """Train; returns, of every 10th step: where 5 % of the fakes are below, the mean, where 5 % are above; (60, 3)."""
    G, D, g_optimizer, d_optimizer, rng = players(lr_d=lr_d, seed=seed)
    seen = []
    for step in range(steps):
        real = Tensor(mixture_1d(128, rng, **MIXTURE))
        discriminator_step(G, D, d_optimizer, game, real, draw_noise(128, 4, rng))
        generator_step(G, D, g_optimizer, game, draw_noise(128, 4, rng))
        if step % 10 == 0:
            points = fakes(G, 500)
            seen.append((np.quantile(points, 0.05), points.mean(), np.quantile(points, 0.95)))
    top = x[belief(D).argmax()]
    print(
        f"seed {seed}: last fakes {points.mean():.2f} +- {points.std():.2f}; from -7 to 7, D believes most at {top:.2f}"
    )
    return np.array(seen)


def chase(seen, title):
    steps, names = (
        np.arange(0, 600, 10),
        ("5 % of the fakes are below", "mean of the fakes", "5 % of the fakes are above"),
    )
    curves = {name: (steps, column) for name, column in zip(names, seen.T, strict=True)}
    reals = {"lowest reals": ([0, 600], [-3.5, -3.5]), "highest reals": ([0, 600], [4, 4])}
    return lines(curves | reals, "step", "x", title)


first, second = weak(seed=0), weak(seed=1)
chase(first, "D's learning rate 200 times too low: seed 0")

# %% [markdown]
# $G$ goes where $D$ believed most *some time ago*, past all the reals (they lie between -3.5 and 4). Long after, $D$
# notices and turns, and $G$ flies off to the other side. It is the orbit of *Optimizers and games*. Another seed:

# %%
chase(second, "D's learning rate 200 times too low: seed 1")

# %% [markdown]
# Here the fakes go past the reals, come back, and end nearly all within 0.5 of the point 0, where there is hardly any
# real. That is where $D$ believes most, and its slow steps do not take it back in time.
#
# **Question: why does it produce one image?** Ask what $G$ would do if $D$ never changed: its best reply is to put
# *all* fakes on the one point where $D$ believes most. Nothing in $G$'s loss asks for variety; only a $D$ that
# notices "too many fakes here" does. So a $D$ that is late leads to *mode collapse*: all fakes alike, at images all
# the same picture.
#
# **Try:** `lr_d=4e-3` in `weak` (the healthy one); seeds 2 to 5 (2 collapses, the others run away); other `MIXTURE`s,
# such as three bumps.
#
# ## What you can now do
#
# * Derive $D^* = p/(p + q)$ and $V^* = 2\, JS - \ln 4$, and read $D$'s loss: 0 is bad, and $\ln 4$ can be good.
# * Write the losses of both players with `bce_with_logits`.
# * Recognise a $D$ that is too strong ($G$ stands still) and one that is too weak ($G$ runs about or collapses).
#
# **Next:** *One training step, line by line*, on the plane.
