# %% [markdown]
# # 1. What is a GAN?
#
# - **Goals:** train a GAN and watch it learn; say what each of its two networks does; know the best answer that a
#   discriminator can give, $D^*(x) = p / (p + q)$; change one knob and explain what differs.
# - **You need:** a little Python and NumPy, and the derivative of $\ln x$. Nothing about neural networks.
# - **Run time:** 30 seconds on two cores (budget).

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
# | generator $G$ | noise $z$, (N, 2) | fakes $G(z)$, (N, 2) | that $D$ takes its fakes for real |
# | discriminator $D$ | points $x$, (N, 2) | its belief that each is real, (N, 1), from 0 to 1 | to be right |
#
# $G$ never sees a real point. All that it learns, it learns from what $D$ thinks of its fakes.
#
# Here, a sample is a point on the plane and not an image, because then everything fits into one picture. In lesson 10
# the same code draws digits.

# %%
import numpy as np

from minigan import Tensor, losses, optim
from minigan.data import moons
from minigan.models import mlp_discriminator, mlp_generator
from minigan.plots import beside, gan_view, lines, loss_curves, play
from minigan.train import discriminator_step, draw_noise, generator_step

points = moons(4000, np.random.default_rng(0))  # (4000, 2): the real points
gan_view(points[:300], limits=(-2, 2), title="300 real points")

# %% [markdown]
# The data are two half circles. Nobody gives the program their formula: it only sees the points.
#
# ## By hand: the best answer of D
#
# Look at one place $x$. Say that of all points that fall there, the reals make up the share $p$ and the fakes the
# share $q$. $D$ cannot tell them apart, since they are at the same place; it must give one number $D$ to all of them.
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
curves = {
    f"p = {p}, q = {q}": (answer, -p * np.log(answer) - q * np.log(1 - answer)) for p, q in [(0.75, 0.25), (0.5, 0.5)]
}
for name, (_, loss) in curves.items():
    print(f"{name}: the loss is smallest at D = {answer[np.argmin(loss)]:.2f}")
lines(curves, "D, the answer at this place", "loss of D", title="The best answer is p / (p + q)")

# %% [markdown]
# ## The code
#
# Two small networks. Their weights are random, so before training the fakes are anywhere, and so are $D$'s beliefs.

# %%
rng = np.random.default_rng(0)
G = mlp_generator(2, (2,), (32, 32), rng)  # noise (N, 2) -> 32 -> 32 -> points (N, 2)
D = mlp_discriminator((2,), (32, 32), rng)  # points (N, 2) -> 32 -> 32 -> one number each (N, 1)
fakes = G(draw_noise(200, 2, rng))  # (200, 2)


def view(fakes, D, title):
    """The picture of a GAN; 128 colours are enough, and keep the notebook small."""
    return gan_view(points[:200], fakes, D, limits=(-2, 2), title=title).quantize(128, method=1)


view(fakes, D, "before training")

# %% [markdown]
# The colour is $D$'s belief at each place: blue for real, orange for fake, white for "I cannot tell".
#
# Training repeats two steps, in turn:
#
# 1. **$D$ learns:** show it 64 reals and 64 fakes, and change its weights a little so that its loss gets smaller.
# 2. **$G$ learns:** let it make 64 fakes, ask $D$ about them, and change the weights of $G$ a little so that $D$
#    believes in them more.
#
# How far "a little" is, the *learning rate* `lr` says. How the weights must change, the *gradient* says: that is
# lesson 2.


# %%
def train(steps=1000, lr_g=0.004, lr_d=0.004, every=0):
    """Train a new GAN. Returns G, the figures of each step, and pictures: one every `every` steps, and the last."""
    rng = np.random.default_rng(0)  # the same random numbers in each run
    G, D = mlp_generator(2, (2,), (32, 32), rng), mlp_discriminator((2,), (32, 32), rng)
    opt_G, opt_D = (optim.Adam(net.parameters(), lr, betas=(0.5, 0.9)) for net, lr in [(G, lr_g), (D, lr_d)])
    noise = draw_noise(200, 2, rng)  # (200, 2): the same noise for each picture
    history, pictures = [], []
    for step in range(steps):
        if every and step % every == 0:
            pictures.append(view(G(noise), D, f"step {step}"))
        real = Tensor(points[rng.integers(len(points), size=64)])  # (64, 2)
        figures = discriminator_step(G, D, opt_D, losses.non_saturating, real, 2, rng)
        figures |= generator_step(G, D, opt_G, losses.non_saturating, 64, 2, rng)
        history.append({"step": step} | {name: value.item() for name, value in figures.items()})
    pictures.append(view(G(noise), D, f"step {steps}"))
    return G, history, pictures


# %%
G, history, pictures = train(every=50)
play(pictures, alt="the fakes spread over the two half circles as training goes on")

# %% [markdown]
# ## The pictures
#
# Watch the colours and the orange triangles together. $D$ paints a place blue where reals are and fakes are not; the
# fakes move there; then the place is not so blue any more. For some 500 steps the fakes swing to and fro, and $D$'s
# colours turn with them. From step 600 on the two half circles appear, and near them $D$ is white: it cannot tell.
# (Another processor rounds differently, so there the pictures may differ a little from these.)
#
# Below are both losses and, under them, $D$'s mean belief in the reals and in the fakes.

# %%
late = {name: np.mean([step[name] for step in history[-200:]]) for name in ("d_loss", "g_loss", "d_real", "d_fake")}
print("mean of the last 200 steps:", ", ".join(f"{name} {value:.3f}" for name, value in late.items()))
loss_curves(history)

# %% [markdown]
# $D(\text{real})$ and $D(\text{fake})$ both end close to $\frac12$, and $D$'s loss close to $2 \ln 2 = 1.386$: just
# what the derivation says of a $G$ that is nearly perfect.
#
# **Question: the losses do not go down. Is it broken?** No. In ordinary training one network works on a fixed task,
# and a smaller loss is better. Here each loss is measured against an opponent who learns too. So look at the samples.
#
# **Question: why two networks?** To train $G$ we need a loss that says how real a sample looks, and a slope that says
# which way is better. For points one could think of a formula; for faces nobody knows one. $D$ is a loss that is
# *learned from the data*, and it has a slope everywhere.
#
# What has $G$ learned? Its noise is a plane. Here are lines on that plane, and where $G$ puts them:

# %%
gan_view(points[:200], generator=G, limits=(-2, 2), title="G bends the plane of noise")

# %% [markdown]
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


beside(report(train(400, lr_d=0)), report(train(400, lr_g=0)))

# %% [markdown]
# - **Left, first line of numbers.** $D$'s weights are random and stay so. $G$ finds out quickly what this $D$ believes
#   in: its loss is 0.01, $D(\text{fake})$ is 0.99, and nearly all fakes have left the picture. $G$ has won, and has
#   learned nothing about the data. Its loss is only as good as $D$.
# - **Right, second line.** $D$ tells most reals from most fakes, and its loss is on its way to 0.
#
# **Question: why is D's loss 0 bad?** Because then $D$ sees through every fake: $G$ fools nobody. And look at the
# colour around the fakes in the upper right: nearly the same orange everywhere. Where $D$ is certain its belief is
# flat, and a flat belief says little about which way is better. So a perfect $D$ is a poor teacher; lesson 8 measures
# how poor. In a game that goes well, $D$'s loss stays well above 0, and at the end comes close to 1.386.
#
# Now it is your turn. Change **one** number, predict, run, compare with the picture of step 1000 above.
#
# | try | question |
# |---|---|
# | `steps=300` | What does $G$ learn first: where the points are, or which shape they have? |
# | `lr_d=0.0004` (as it stands) | $D$ learns ten times slower. Can $G$ learn from a slow teacher? |
# | `lr_d=0.04` | $D$ learns ten times faster. Is a fast teacher better? |
# | `lr_g=0.0004` | $G$ learns ten times slower. What does $D$'s loss do? |

# %%
report(train(steps=600, lr_g=0.004, lr_d=0.0004))

# %% [markdown]
# With the slow teacher the fakes are one streak, and the colours are so pale that $D$ knows nearly nothing. Yet both
# beliefs are about $\frac12$ and $G$'s loss is about as small as in the good run! So $\frac12$ alone proves nothing: a
# perfect $G$ gives it, and so does an ignorant $D$. Here $D$'s loss is even above 1.386: it would do better to answer
# $\frac12$ everywhere. Always look at the samples as well.
#
# ## What you can now do
#
# - Say what $G$ and $D$ get, give and want, and why $G$ needs $D$.
# - Derive $D^* = p / (p + q)$, and explain why 1.386 is a good value for $D$'s loss and 0 is not.
# - Train a GAN with minigan, and read its picture: reals, fakes, and $D$'s belief.
#
# **Next:** lesson 2, tensors and the chain rule: how a program knows which way to change a weight.
