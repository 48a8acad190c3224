# %% [markdown]
# # What is a GAN?
#
# - **Goals**: train a GAN and watch it learn; say what each of its two networks does; know the best answer that a
#   discriminator can give, $D^*(x) = p / (p + q)$; change one knob and explain what changes.
# - **Prerequisites**: a little Python and NumPy, and the derivative of $\ln x$. Nothing about neural networks.
# - **Run time**: under 30 seconds on two cores.

# %% [markdown]
# ## Two kinds of models
#
# A **discriminative** model answers a question about something that it is shown: "is this point real?" It maps $x$ to
# one number. A **generative** model makes something new: it maps random numbers $z$, called *noise*, to an $x$.
#
# A GAN (generative adversarial network; Goodfellow et al., 2014) trains one of each, against each other.
#
# | network | gets | gives | wants |
# |---|---|---|---|
# | generator $G$ | noise $z$, (N, 2) | fakes $G(z)$, (N, 2) | that $D$ believes its fakes |
# | discriminator $D$ | points $x$, (N, 2) | its belief that each is real, (N, 1), from 0 to 1 | to be right |
#
# $G$ never sees a real point. All that it learns, it learns from what $D$ thinks of its fakes.
#
# Here, a sample is a point on the plane and not an image, because then everything fits into one picture. The lesson
# *Batch norm and the DCGAN* draws digits with the same two steps.

# %%
import numpy as np

from minigan import Tensor, losses, optim
from minigan.data import moons
from minigan.gan import draw_noise
from minigan.gans.gan import discriminator_step, generator_step
from minigan.networks import mlp_discriminator, mlp_generator
from minigan.plots import beside, gan_view, lines, loss_curves, play

points = moons(4000, np.random.default_rng(0))  # (4000, 2): the real points
gan_view(points[:300], limits=(-2, 2), title="300 real points")

# %% [markdown]
# The data are two half circles. Nobody gives the program their formula: it only sees the points.
#
# ## By hand: the best answer of D
#
# Look at one place $x$. Near $x$ there fall on average $p$ reals and $q$ fakes (densities; they need not add up to 1).
# $D$ cannot tell them apart, since they are at the same place; it must give one number $D$ to all of them.
# It pays $-\ln D$ for a real and $-\ln(1 - D)$ for a fake: nothing for a certain and right answer, and more and more
# for a certain and wrong one. Together:
#
# $$\text{loss}(D) = -p \ln D - q \ln(1 - D)$$
#
# At the minimum the derivative is zero:
#
# $$-\frac{p}{D} + \frac{q}{1 - D} = 0 \quad\Longrightarrow\quad p\,(1 - D) = q\,D
# \quad\Longrightarrow\quad D^* = \frac{p}{p + q}$$
#
# Three places to remember: only reals ($q = 0$) give 1, only fakes ($p = 0$) give 0, and as many fakes as reals give
# $\frac12$. **If $G$ is perfect, the best $D$ says $\frac12$ everywhere.** The loss of $D$ that minigan
# computes is the mean of $-\ln D$ over the reals plus the mean of $-\ln(1 - D)$ over the fakes. For this $D$ it is
# $-\ln\frac12 - \ln\frac12 = 2 \ln 2 = 1.386$. We shall meet this number again.

# %%
answer = np.linspace(0.01, 0.99, 99)  # (99,): answers that D could give
curves = {}
for p, q in [(3, 1), (1, 1)]:
    curves[f"p = {p}, q = {q}"] = (answer, -p * np.log(answer) - q * np.log(1 - answer))
for name, (_, loss) in curves.items():
    print(f"{name}: the loss is smallest, {loss.min():.3f}, at D = {answer[np.argmin(loss)]:.2f}")
lines(curves, "D, the answer at this place", "loss of D", title="The best answer is p / (p + q)")

# %% [markdown]
# ## The code
#
# A network is a function with many adjustable numbers, its *weights*; here 2 numbers -> 32 -> 32 -> 2 (and for $D$, 1).
# The weights are random at first, so before training the fakes are anywhere, and so are $D$'s beliefs.

# %%
rng = np.random.default_rng(0)
G = mlp_generator(2, (2,), (32, 32), rng)  # noise (N, 2) -> 32 -> 32 -> points (N, 2)
D = mlp_discriminator((2,), (32, 32), rng)  # points (N, 2) -> 32 -> 32 -> one number each (N, 1)
fakes = G(draw_noise(200, 2, rng))  # (200, 2)


def view(fakes, D, title):
    """The picture of a GAN."""
    return gan_view(points[:200], fakes, D, limits=(-2, 2), title=title)


def small(picture):
    """The picture in 64 colours, which keep the notebook small."""
    return picture.quantize(64, method=1)


small(view(fakes, D, "before training"))

# %% [markdown]
# The colour is $D$'s belief at each place: blue for real, orange for fake, white for "I cannot tell".
#
# Training repeats two steps, in turn:
#
# 1. **$D$ learns:** show it 64 reals and 64 fakes, and change its weights a little so that its loss gets smaller.
# 2. **$G$ learns:** let it make 64 fakes, ask $D$ about them, and change the weights of $G$ a little so that $D$
#    believes in them more.
#
# The *learning rate* `lr` says how far; the *gradient* says in which direction. Three words of the code: `Adam` changes
# the weights, `non_saturating` is the usual loss, and a `Tensor` is an array that remembers how it was made. The next
# lessons explain all of them.


# %%
def train(steps=1000, lr_g=0.004, lr_d=0.004, every=0):
    """Train a new GAN. Returns G, the figures of each step, and pictures: one every `every` steps, and the last."""
    rng = np.random.default_rng(0)  # the same random numbers in each run
    G = mlp_generator(2, (2,), (32, 32), rng)
    D = mlp_discriminator((2,), (32, 32), rng)
    opt_G = optim.Adam(G.parameters(), lr_g, betas=(0.5, 0.9))
    opt_D = optim.Adam(D.parameters(), lr_d, betas=(0.5, 0.9))
    noise = draw_noise(200, 2, rng)  # (200, 2): the same noise for each picture
    history, pictures = [], []
    for step in range(steps):
        if step and every and step % every == 0:
            pictures.append(view(G(noise), D, f"step {step}"))
        real = Tensor(points[rng.integers(len(points), size=64)])  # (64, 2)
        of_D = discriminator_step(G, D, opt_D, losses.non_saturating, real, draw_noise(64, 2, rng))
        of_G = generator_step(G, D, opt_G, losses.non_saturating, draw_noise(64, 2, rng))
        figures = {name: value.item() for name, value in (of_D | of_G).items()}  # d_loss, g_loss, d_real, d_fake
        history.append({"step": step} | figures)
    pictures.append(view(G(noise), D, f"step {steps}"))
    return G, history, pictures


# %%
G, history, pictures = train(every=50)
play(pictures, alt="the fakes spread over the two half circles as training goes on", colours=64)

# %% [markdown]
# ## The pictures
#
# Watch the colours and the orange triangles together. At first $D$ is simple: it cuts the plane in two, blue on the
# side where fakes are missing, even where there are no reals. The fakes move to the blue side; then it is not so blue
# any more. For some 500 steps the fakes swing to and fro, and $D$'s colours turn with them. Between steps 650 and 800
# the two half circles appear, and late in training $D$ is nearly white around them: it cannot tell. (Another processor
# rounds differently, so there the pictures may differ a little from these.) Three of the pictures, standing still:

# %%
small(beside(*[pictures[number].resize((400, 400)) for number in (5, 12, 19)]))  # steps 300, 650 and 1000

# %% [markdown]
# Below are both losses and, under them, $D$'s mean belief in the reals and in the fakes. The pale thin lines are each
# step, the thick ones the mean of some 25 steps.

# %%
late = {name: np.mean([step[name] for step in history[-200:]]) for name in ("d_loss", "g_loss", "d_real", "d_fake")}
print("mean of the last 200 steps:", ", ".join(f"{name} {value:.3f}" for name, value in late.items()))
small(loss_curves(history))

# %% [markdown]
# $D(\text{real})$ and $D(\text{fake})$ both end close to $\frac12$, and $D$'s loss close to $2 \ln 2 = 1.386$: just
# what the derivation says of a $G$ that is close.
#
# **Question: the losses do not go down. Is it broken?** No. In ordinary training one network works on a fixed task,
# and a smaller loss is better. Here each loss is measured against an opponent who learns too. So look at the samples.
#
# **Question: why two networks?** To train $G$ we need a loss that says how real a sample looks, and a slope that says
# which way is better. For points one could think of a formula; for faces nobody knows one. $D$ is a loss that is
# *learned from the data*, and it has a slope everywhere.
#
# What has $G$ learned? Its noise is a plane. Here are lines on that plane, from -2 to 2 each way, and where $G$ puts
# them:

# %%
small(gan_view(points[:200], generator=G, limits=(-2, 2), title="G bends the plane of noise"))

# %% [markdown]
# Each moon is many lines pushed together; the few lines between are the bridge that a continuous $G$ cannot avoid,
# hence the stray fakes.
#
# ## Change one knob
#
# The knobs are `steps`, `lr_g` and `lr_d`. First, two settings that show why *both* must learn. **Before you run the
# cell, write down what you expect.** On the left $G$ learns, but $D$ does not (`lr_d=0`). On the right $D$ learns, but
# $G$ does not (`lr_g=0`).


# %%
def report(run):
    """Print the means of the last 100 steps of a run, and return its last picture."""
    _, history, pictures = run
    for name in ("d_loss", "g_loss", "d_real", "d_fake"):
        print(f"{name} {np.mean([step[name] for step in history[-100:]]):7.3f}", end="   ")
    print()
    return pictures[-1]


small(beside(report(train(250, lr_d=0)), report(train(250, lr_g=0))))

# %% [markdown]
# - **Left, first line of numbers.** $D$'s weights are random and stay so. $G$ finds out quickly what this $D$ believes
#   in: its loss is 0.02, $D(\text{fake})$ is 0.985, and nearly all fakes have left the picture. $G$ has won, and has
#   learned nothing about the data. Its loss is only as good as $D$. (Why is $D$'s loss as large as 21, when its mean
#   beliefs look harmless? The loss is a mean of logarithms, not the logarithm of the mean: a few points about which
#   $D$ is certain and wrong make it huge.)
# - **Right, second line.** $D$ tells most reals from most fakes. Its loss is small; it cannot reach 0, because some
#   fakes lie on real points.
#
# **Question: why is D's loss 0 bad?** Because then $G$ fools nobody, and $D$ itself has nothing left to learn. Far from
# its border $D$'s belief is flat (see the upper right), and with the loss of the original theory $G$ then gets almost
# no slope; the loss that we use (`non_saturating`) was made to avoid that: *Saturation* measures both. In a game that
# goes well, $D$'s loss stays well above 0, and at the end comes close to 1.386.
#
# Now it is your turn. The cell below stands at the knobs of the good run, stopped at step 800 to save time. Run it,
# then change **one** number: predict, run, compare.
#
# | try | question |
# |---|---|
# | `train(steps=300, lr_g=0.004, lr_d=0.004)` | What does $G$ learn first: where the points are, or their shape? |
# | `train(steps=800, lr_g=0.004, lr_d=0.0004)` | $D$ learns ten times slower. Can $G$ learn from a slow teacher? |
# | `train(steps=800, lr_g=0.004, lr_d=0.04)` | $D$ learns ten times faster. Is a fast teacher better? |
# | `train(steps=800, lr_g=0.0004, lr_d=0.004)` | $G$ learns ten times slower. What does $D$'s loss do? |

# %%
small(report(train(steps=800, lr_g=0.004, lr_d=0.004)))

# %% [markdown]
# <details>
# <summary><b>What we got</b> (look after you have tried)</summary>
#
# - `steps=300`: the fakes are one streak across the middle of the data. First where the points are, then their shape.
# - `lr_d=0.0004`: again one streak, and the colours are so pale that $D$ knows nearly nothing. $D$'s loss is 1.42, even
#   above 1.386: it would do better to answer $\frac12$ everywhere. But slow is not never: with `steps=3000` the fakes
#   find most of the shape.
# - `lr_d=0.04`: the two half circles show already at step 600, but at 800 there are more strays than in the good run,
#   and half of the plane is still blue. Faster is not simply better.
# - `lr_g=0.0004`: the half circles are clear, and $D$'s loss is lower than in the good run, 1.30: $D$ stays ahead.
#
# </details>
#
# With the slow teacher both beliefs are about $\frac12$, and $G$'s loss is about as small as in the good run! So
# $\frac12$ alone proves nothing: a perfect $G$ gives it, and so does an ignorant $D$. Always look at the samples as
# well.
#
# ## What you can now do
#
# - Say what $G$ and $D$ get, give and want, and why $G$ needs $D$.
# - Derive $D^* = p / (p + q)$, and explain why 1.386 is a good value for $D$'s loss and 0 is not.
# - Train a GAN with minigan, and read its picture: reals, fakes, and $D$'s belief.
#
# **Next:** *Tensors and the chain rule*: how a program knows which way to change a weight.
