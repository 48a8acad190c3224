# %% [markdown]
# # Optimizers and games
#
# - **Goals**: derive momentum and Adam; write one step of Adam; see why two players who both go downhill may turn in
#   circles.
# - **Prerequisites**: *Tensors and the chain rule* (gradients).
# - **Run time**: under 20 seconds on two cores.

# %%
from typing import Any

import numpy as np

from minigan import Tensor, grad, nn, optim
from minigan.exercises import check, in_place
from minigan.plots import heat_map, lines, paths

# %% [markdown]
# ## 1. A ravine
#
# The loss $f(x, y) = \frac12 (x^2 + 50 y^2)$ is a long valley: flat along $x$ (curvature 1), steep along $y$
# (curvature 50). Its smallest value is 0, at $(0, 0)$. **Gradient descent** moves $\theta = (x, y)$, of shape (2,),
# by $-\text{lr}$ times the gradient $g = (x, 50 y)$, also of shape (2,):
#
# $$x \leftarrow (1 - \text{lr})\, x \qquad\qquad y \leftarrow (1 - 50\, \text{lr})\, y$$
#
# By hand, with $\text{lr} = 0.035$: $x$ is multiplied by $0.965$ (slow), and $y$ by $-0.75$ (it jumps across the
# valley). For $\text{lr} > 2/50 = 0.04$ the factor of $y$ is below $-1$, and $y$ grows without end. The steep direction
# sets the limit of the learning rate, and the flat direction has to live with it.
#
# **Momentum** adds up the gradients: $\text{velocity} \leftarrow \mu\, \text{velocity} + g$, then
# $\theta \leftarrow \theta - \text{lr}\, \text{velocity}$.
#
# * A gradient $g$ that stays the same: $\text{velocity} \to g + \mu g + \mu^2 g + \dots = g / (1 - \mu)$. With
#   $\mu = 0.8$ that is $5 g$.
# * A gradient that changes its sign in every step: $g - \mu g + \mu^2 g - \dots = g / (1 + \mu)$. With $\mu = 0.8$
#   that is $0.56 g$.
#
# So it goes faster along the valley and jumps less across it.


# %%
def ravine(x, y):
    return 0.5 * (x * x + 50 * y * y)


def descend(make_optimizer, steps=40):
    """The points that an optimizer visits, (steps + 1, 2)."""
    theta = nn.Parameter([-4.0, 1.5])  # (2,)
    optimizer = make_optimizer([theta])
    visited = [theta.numpy().copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        ravine(theta[0], theta[1]).backward()  # theta.grad is (x, 50 y)
        optimizer.step()
        visited.append(theta.numpy().copy())
    return np.array(visited)


# %% [markdown]
# ## 2. Adam: every number moves by about lr
#
# Adam remembers two running means: $m$ of the gradient and $v$ of its square. Each has the shape of $\theta$:
#
# $$m \leftarrow b_1 m + (1 - b_1)\, g \qquad\qquad v \leftarrow b_2 v + (1 - b_2)\, g^2$$
#
# It moves by $\text{lr}$ times mean / $\sqrt{\text{mean of squares}}$. If all gradients become 1000 times larger, this
# ratio stays the same: steep and flat directions move alike.
#
# **But both means start at 0.** Which weights do the gradients have in $m$ after $t$ steps? Put $m$ into itself again
# and again:
#
# $$m_t = (1 - b) g_t + b\, m_{t-1} = (1 - b)\left( g_t + b\, g_{t-1} + b^2 g_{t-2} + \dots + b^{t-1} g_1 \right)$$
#
# The weights are a geometric series. They add up to
#
# $$(1 - b)(1 + b + \dots + b^{t-1}) = (1 + b + \dots + b^{t-1}) - (b + \dots + b^t) = 1 - b^t.$$
#
# A mean needs weights that add up to 1. So we divide by $1 - b^t$; this is the **bias correction**:
#
# $$\hat m = \frac{m}{1 - b_1^t}
# \qquad \hat v = \frac{v}{1 - b_2^t} \qquad
# \theta \leftarrow \theta - \text{lr}\, \frac{\hat m}{\sqrt{\hat v} + \text{eps}}$$
#
# Measure the weights: give the gradient 1 in one step and 0 in all others. What is then in $m$ is that step's weight.

# %%
b = 0.5
weights = np.zeros((6, 6))  # row t - 1, column k - 1: the weight of step k's gradient after step t
for k in range(1, 7):
    m = 0.0
    for t in range(1, 7):
        m = b * m + (1 - b) * (t == k)
        weights[t - 1, k - 1] = m
print("sums of the rows:", weights.sum(axis=1))
print("1 - b^t         :", 1 - b ** np.arange(1, 7))
heat_map(weights, "k - 1, for the gradient of step k", "t - 1, after step t", "weights in m, for b = 0.5")

# %% [markdown]
# All three on the ravine, 40 steps each. `optim.SGD` (stochastic gradient descent) is plain gradient descent here.
# In the picture the star is the start; of the contour lines, dark ones are high. The learning rates and betas were
# chosen by hand for each: this is no fair race.

# %%
routes = {
    "SGD, lr 0.035": descend(lambda p: optim.SGD(p, lr=0.035)),
    "momentum 0.8, lr 0.02": descend(lambda p: optim.SGD(p, lr=0.02, momentum=0.8)),
    "Adam, lr 0.2": descend(lambda p: optim.Adam(p, lr=0.2, betas=(0.8, 0.99))),
}
for name, route in routes.items():
    print(f"{name}: the loss after 10, 20, 40 steps is", ", ".join(f"{ravine(*route[n]):.3f}" for n in (10, 20, 40)))
paths(ravine, routes, (-4.5, 1.5), (-1.7, 2.3), "40 steps in a ravine")

# %% [markdown]
# SGD (circles) jumps across the valley and then creeps: after 40 steps it is still at $x = -1$. Momentum (squares)
# swings, but gets along. Adam (triangles) leaves along the diagonal: its first steps are 0.2 in $x$ *and* 0.2 in $y$,
# though the gradients there have the sizes 4 and 75.
#
# ## 3. Your turn: one step of Adam
#
# Hint: `m *= b1`, then `m += (1 - b1) * g` (in place, because the caller must see the change); give the corrected means
# new names. (Every exercise is a file as well: `minigan exercise start` lays them out in the folder `exercises`, this
# one as `adam_step`.)


# %% exercise="adam_step"
def adam_step(self: Any, theta: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int) -> None:
    """Move theta by its t-th step, in place; m and v too are changed in place. All four arrays have one shape.

    self is the optimizer: self.lr, self.betas (the pair b1, b2) and self.eps. At the first step, t is 1.
    """
    ### BEGIN SOLUTION
    b1, b2 = self.betas
    m *= b1
    m += (1 - b1) * g
    v *= b2
    v += (1 - b2) * g * g
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)
    ### END SOLUTION


# %% check="adam_step"
check("adam_step", adam_step)

# %% [markdown]
# Once it passes, the next cell puts it in the library's place and walks down the ravine with it.

# %%
if check("adam_step", adam_step).passed:
    with in_place([adam_step]) as served:
        mine = descend(lambda p: optim.Adam(p, lr=0.2, betas=(0.8, 0.99)))
    print(f"your adam_step was called {served[0].calls} times")
    print(f"largest distance from minigan's route: {np.abs(mine - routes['Adam, lr 0.2']).max():.1e}")
else:
    print("adam_step is not right yet: the library's own is used below")

# %% [markdown]
# ## 4. Break it: no bias correction
#
# Without the correction, $m$ is too small by the factor $1 - b_1^t$, and $\sqrt v$ by $\sqrt{1 - b_2^t}$. By hand at
# $t = 1$, with the usual $b_1 = 0.9$ and $b_2 = 0.999$: $0.1 / \sqrt{0.001} = 3.16$. **The first steps are too long,
# not too short**, because $v$ is the slower mean. We undo both corrections of minigan's Adam by making `lr` larger by
# that factor, and give it a gradient that is always 3:


# %%
class Uncorrected(optim.Adam):
    def update(self, theta, g, m, v, t):
        (b1, b2), lr = self.betas, self.lr
        self.lr = lr * (1 - b1**t) / np.sqrt(1 - b2**t)
        super().update(theta, g, m, v, t)
        self.lr = lr


def step_lengths(make, betas, steps=3000, lr=0.01):
    """How far each step goes, in units of lr, where the gradient is always 3."""
    theta = nn.Parameter(np.array([0.0]))  # (1,), float64
    optimizer, places = make([theta], lr, betas), [0.0]
    for _ in range(steps):
        theta.grad = Tensor(np.array([3.0]))
        optimizer.step()
        places.append(theta.item())
    return np.arange(1, steps + 1), -np.diff(places) / lr


lengths = {
    "right": step_lengths(optim.Adam, (0.9, 0.999)),
    "uncorrected, betas 0.9 and 0.999": step_lengths(Uncorrected, (0.9, 0.999)),
    "uncorrected, betas 0.9 and 0.99": step_lengths(Uncorrected, (0.9, 0.99)),
    "uncorrected, betas 0.5 and 0.99": step_lengths(Uncorrected, (0.5, 0.99)),
}
for name, (_, length) in lengths.items():
    late = np.sum(length > 1.05)  # how many steps are more than 5 % too long
    print(f"{name}: steps 1, 2, 3:", length[:3].round(2), "longest:", length.max().round(2), "over 1.05:", late)
lines(lengths, "step t", "length of the step / lr", "Adam on a constant gradient", log="x")

# %% [markdown]
# The right Adam moves by exactly lr from the first step on. Uncorrected, with the usual betas, its steps are up to 6.6
# times too long, and only after some 2400 steps (a few times $1/(1 - b_2)$) is the error below 5 %. A smaller $b_2$
# makes the error smaller and sooner over: with 0.99 it is a factor of 2.1 at most, and some 240 steps. A smaller $b_1$
# makes it larger, because then $m$ is complete long before $v$: with 0.5 and 0.99 it is 5.3. On the ravine:

# %%
broken = {
    "right": descend(lambda p: optim.Adam(p, lr=0.2), steps=25),
    "uncorrected": descend(lambda p: Uncorrected(p, lr=0.2), steps=25),
}
for name, route in broken.items():
    print(f"{name}: largest x {route[:, 0].max():.2f}, loss after 25 steps {ravine(*route[-1]):.3f}")
paths(ravine, broken, (-4.5, 3), (-1.7, 2.3), "Adam, lr 0.2, betas 0.9 and 0.999: 25 steps")

# %% [markdown]
# Both start in the same direction. The uncorrected one takes such long steps that it flies past the minimum at $x = 0$
# and has to come back. With a network, such first steps throw away the good start of the weights (see *Layers and
# losses*).
#
# ## 5. A game of two players
#
# In a GAN nobody goes down a fixed valley: each player's step changes the other's loss. The smallest such game is
#
# $$\min_x \max_y\; x\, y.$$
#
# $x$ goes down, by $-\text{lr} \cdot \partial(xy)/\partial x = -\text{lr}\, y$; $y$ goes up, by $+\text{lr}\, x$. The
# solution is $(0, 0)$: there, no player gains by moving alone.
#
# **Simultaneous steps:** both look at the same point. $x' = x - \text{lr}\, y$ and $y' = y + \text{lr}\, x$. The
# squared distance from the solution becomes
#
# $$x'^2 + y'^2 = x^2 - 2\, \text{lr}\, x y + \text{lr}^2 y^2 + y^2 + 2\, \text{lr}\, x y + \text{lr}^2 x^2
# = (1 + \text{lr}^2)(x^2 + y^2).$$
#
# It grows in every step, for every learning rate. (The step is at right angles to the way to the solution.)
#
# **Alternating steps:** $y$ answers to the new $x'$. $x' = x - \text{lr}\, y$ and $y' = y + \text{lr}\, x'$. Now this
# number stays the same:
#
# $$Q(x, y) = x^2 - \text{lr}\, x y + y^2.$$
#
# Proof, with $y' - \text{lr}\, x' = y$ and $x' + \text{lr}\, y = x$:
#
# $$Q(x', y') = x'^2 + y'(y' - \text{lr}\, x') = x'^2 + (y + \text{lr}\, x')\, y
# = x'(x' + \text{lr}\, y) + y^2 = (x - \text{lr}\, y)\, x + y^2 = Q(x, y).$$
#
# $Q = $ constant is an ellipse (for $\text{lr} < 2$): the players go around it for ever. They do not fly apart, but
# they do not arrive either.


# %%
def play_game(rule, steps=63, lr=0.2, make=optim.SGD, **options):
    """The points (x, y) of a game, (steps + 1, 2)."""
    x, y = nn.Parameter([1.0]), nn.Parameter([0.0])  # (1,) each
    x_optimizer, y_optimizer = make([x], lr, **options), make([y], lr, **options)
    visited = [(x.item(), y.item())]
    for _ in range(steps):
        (x.grad,) = grad((x * y).sum(), x)
        if rule == "alternating":
            x_optimizer.step()  # before y looks
        (y.grad,) = grad(-(x * y).sum(), y)  # up is down the negative
        if rule == "simultaneous":
            x_optimizer.step()  # after y has looked
        y_optimizer.step()
        visited.append((x.item(), y.item()))
    return np.array(visited)


simultaneous, alternating = play_game("simultaneous"), play_game("alternating")
x, y = alternating.T
Q = x * x - 0.2 * x * y + y * y
print(f"simultaneous: distance after 63 steps {np.linalg.norm(simultaneous[-1]):.4f}, by hand {1.04 ** (63 / 2):.4f}")
print(f"alternating: Q lies between {Q.min():.6f} and {Q.max():.6f}; the mean point is {alternating.mean(0).round(3)}")
orbits = {"simultaneous": simultaneous, "alternating": alternating}
paths(lambda x, y: x * y, orbits, (-4, 4), (-3.6, 3.6), "min over x, max over y, of x y: 63 steps")

# %% [markdown]
# Simultaneous steps spiral outwards; alternating steps stay on their ellipse. That is one reason why a GAN's players
# take turns, each answering to the other's latest move. (The contour lines are those of $xy$: dark is high.) And the
# *mean* of the alternating points lies near the solution: `update_average` in `minigan/gan.py` keeps such a running
# mean of the generator, and the samples are drawn from that.
#
# **Question: why not one optimizer for both?** One optimizer goes down one loss. Try both candidates:
#
# * *The loss $xy$ for both players.* Then nobody goes up: $x$ and $y$ help each other to make $xy$ as negative as
#   they can. In a GAN, the discriminator would learn to be fooled.
# * *The sum of both players' losses.* $xy + (-xy) = 0$: all gradients cancel, and nobody moves.

# %%
x, y = nn.Parameter([1.0]), nn.Parameter([0.0])
together = optim.SGD([x, y], lr=0.2)  # one optimizer, one loss
for _ in range(20):
    together.zero_grad()
    (x * y).sum().backward()
    together.step()
print(f"one loss for both, 20 steps: x = {x.item():.1f}, y = {y.item():.1f}, x y = {(x * y).item():.0f}")
print("gradients of the sum of both losses:", [g.item() for g in grad(((x * y) - (x * y)).sum(), [x, y])])

# %% [markdown]
# So each player has its own loss, and moves only its own numbers. Two optimizers also let the players take turns,
# give each its own learning rate, and keep their memories ($m$, $v$, $t$) apart.
#
# **Momentum in a game.** Momentum makes a step go on in the direction of the last ones. In a valley that helps. Here
# the right direction turns all the time, and momentum looks back:

# %%
turns = {}
for b1 in (0.9, 0.5, 0.0):
    turns[f"b1 = {b1}"] = play_game("alternating", steps=60, lr=0.1, make=optim.Adam, betas=(b1, 0.99))
    print(f"b1 = {b1}: distance after 60 steps {np.linalg.norm(turns[f'b1 = {b1}'][-1]):.2f}")
paths(lambda x, y: x * y, turns, (-4, 4), (-3.5, 3.5), "Adam in the game x y, alternating, lr 0.1")

# %% [markdown]
# With $b_1 = 0.9$ the players swing outwards fastest; with $b_1 = 0$ they stay nearest to the solution. This is why
# GANs are trained with little momentum. A real GAN is not $xy$: its losses also have valleys, in which some momentum
# helps, and 0.5 is the usual compromise.
#
# **Question: which betas?** The usual ones are (0.9, 0.999). *What is a GAN?* uses (0.5, 0.9) and `minigan train`
# (0.5, 0.99): a smaller $b_1$ because the right direction turns, and a smaller $b_2$ because the size of the gradients
# changes as the other player learns ($v$ then remembers about $1/(1 - b_2) = 100$ steps, not 1000).
#
# **Try** (guess first):
#
# * `lr` of 0.05 and of 1 in `play_game`;
# * `optim.SGD` with `momentum=0.5` for both players;
# * a ravine with curvature 500.
#
# <details><summary>What comes out</summary>
#
# * lr 0.05: 63 steps are half a turn; the distance from the solution grows to 1.08 (simultaneous), or stays between
#   0.98 and 1.02 (alternating). lr 1: simultaneous, it is $3 \cdot 10^9$ after 63 steps; alternating, the players
#   visit six points again and again.
# * Momentum 0.5, lr 0.2: both fly off. After 63 steps the distance is 1377 (simultaneous) or 204 (alternating).
# * SGD grows without end for every lr above $2/500 = 0.004$. Adam's route is the same as before, to rounding.
#
# </details>
#
# ## What you can now do
#
# * Say what momentum and Adam do in a ravine, and write a step of Adam with its bias correction.
# * Derive that the weights of a running mean add up to $1 - b^t$, and say what goes wrong without dividing by it.
# * Show by hand that in $\min_x \max_y\, xy$ simultaneous steps spiral outwards and alternating steps go around, and
#   say why a GAN has two optimizers.
#
# **Next:** *The first GAN*. There the two players are networks, and the game has a known best answer.
