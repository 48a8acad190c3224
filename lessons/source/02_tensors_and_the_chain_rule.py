# %% [markdown]
# # Tensors and the chain rule
#
# - **Goals**: compute gradients by hand on a small graph; write the derivatives of a broadcast, a product and a matrix
#   product; explain in which order backprop must walk.
# - **Prerequisites**: the derivative of a product, the chain rule for one variable, matrix products. From the first
#   lesson: what a loss is.
# - **Run time**: under 15 seconds on two cores.

# %% [markdown]
# ## By hand: one number at a time
#
# Take $u = w x$, then $v = u + b$, then $L = v v$, with $x = 2$, $w = 3$, $b = -4$. So $u = 6$, $v = 2$, $L = 4$.
#
# How much does $L$ change when $w$ changes a little? Walk **backwards**. At each step, multiply the gradient that
# arrives by the slope of the step:
#
# | step | slope | gradient |
# |---|---|---|
# | start | | $dL/dL = 1$ |
# | $L = v v$ | $v$ for the first factor, $v$ for the second | $dL/dv = 1 \cdot v + 1 \cdot v = 2 + 2 = 4$ |
# | $v = u + b$ | 1 and 1 | $dL/du = 4$ and $dL/db = 4$ |
# | $u = w x$ | $x$ for $w$, and $w$ for $x$ | $dL/dw = 4 \cdot 2 = 8$ and $dL/dx = 4 \cdot 3 = 12$ |
#
# Two rules were used, and there are no others:
#
# 1. **Along a path, slopes are multiplied.**
# 2. **Where paths meet, gradients are added:** $v$ is used twice, so it gets two shares.
#
# A `Tensor` is an array that remembers what it was computed from. Then a program can do this walk:

# %%
import numpy as np

from minigan import Tensor, grad, ops
from minigan.exercises import check
from minigan.ops import shape
from minigan.ops.math import operands, value
from minigan.plots import graph, lines
from minigan.tensor import record, topological_order

x, w, b = (Tensor(number, requires_grad=True) for number in (2.0, 3.0, -4.0))
u = w * x
v = u + b
L = v * v
L.backward()
print("dL/dx", x.grad.item(), "  dL/dw", w.grad.item(), "  dL/db", b.grad.item())

# %% [markdown]
# ## The picture
#
# The recorded graph. A box shows its name (or the operation, if it has no name) and its value; blue boxes were given,
# the orange-framed one is $L$. Under each box, in orange, is the gradient of $L$. Values were computed from left to
# right, and gradients from right to left. Compare with the table.
#
# What a tensor was computed from are its **parents**, here to its left: $w$ and $x$ are the parents of $u$. What was
# computed from it are its **children**: $v$ is the only child of $u$.

# %%
graph(L, {"x": x, "w": w, "b": b, "u = w x": u, "v = u + b": v, "L = v v": L})

# %% [markdown]
# ## An operation: its value and, beside it, its derivatives
#
# `record` makes a tensor of a value and, for each operand, a pair (operand, derivative). A derivative is a function of
# `g`, the gradient of the output (the *upstream* gradient), and `y`, the output. It returns the gradient of its
# operand: **g times the slope**. That is one line:


# %%
def square(x):
    """x^2, element by element; its slope is 2 x."""
    return record(x.data**2, (x, lambda g, y: g * 2.0 * x))


x = Tensor([1.0, 2.0, 3.0], requires_grad=True)  # (3,)
square(x).sum().backward()
print(x.grad)

# %% [markdown]
# **Question: why does a derivative need g? Is 2 x not the derivative?** $2x$ is the slope of this one operation. The
# loss may lie many operations later, and `g` says how strongly each number of the output acts on it.
#
# A gradient always has the shape of its tensor: each number has one.
#
# ## Broadcasting, and its derivative
#
# In $y = x + b$ with $x$ (3, 4) and $b$ (4,), NumPy repeats $b$ for each of the three rows:
#
# $$y_{ij} = x_{ij} + b_j$$
#
# So $b_j$ acts in three places, $y_{1j}$, $y_{2j}$ and $y_{3j}$, each time with slope 1. By rule 2 the
# shares are added:
#
# $$\frac{dL}{db_j} = \sum_i g_{ij}$$
#
# **The derivative of repeating is summing.** (Where $g$ is (3, 4), the result is (4,): the sum over axis 0.)

# %%
x = Tensor(np.zeros((3, 4)), requires_grad=True)
b = Tensor(np.zeros(4), requires_grad=True)
g = Tensor(np.arange(12.0).reshape(3, 4))  # some upstream gradient, of y's shape
to_x, to_b = grad(x + b, [x, b], g)
print(g.numpy(), "\n gradient of x", to_x.shape, "\n gradient of b", to_b.shape, to_b.numpy())

# %% [markdown]
# ### Exercise: unbroadcast
#
# Write the function that brings `g` to the shape of `x`. Two kinds of axes were repeated: new ones that broadcasting
# put in front, and axes of size 1 that it stretched. Hint: write both shapes below each other, lined up on the right.
#
# (Every exercise of the lessons is a file as well: in a terminal, `minigan exercise start` lays them out in the folder
# `exercises`, each under its name.)


# %% exercise="unbroadcast"
def unbroadcast(g: Tensor, x: Tensor) -> Tensor:
    """The gradient for x, when x was broadcast to g's shape. Example: g of ones (2, 3, 4), x (3, 1): (3, 1) of 8s.

    Use ops.sum(g, axis=(0, 2)) and ops.reshape(g, small).
    """
    small = np.shape(x)
    ### BEGIN SOLUTION
    new = g.ndim - len(small)  # axes that x does not have
    axes = [*range(new), *(new + i for i, n in enumerate(small) if n == 1)]
    return ops.reshape(ops.sum(g, axis=tuple(axes)), small)
    ### END SOLUTION


# %% check="unbroadcast"
check("unbroadcast", unbroadcast)

# %% [markdown]
# ### Exercise: mul
#
# $y = a b$, element by element. If only $a$ changes, this is a straight line in $a$: what is its slope? Then multiply
# by `g`, and sum down to $a$'s shape. For that, use the library's `shape.unbroadcast`, so that this exercise does not
# depend on the last one. Leave the lines with `operands` and `value` (the plain array or number of an operand) as they
# are: you write only `to_a` and `to_b`.


# %% exercise="mul"
def mul(a, b):
    """a b, element by element. Example: a = 2, b = 5, g = 1 give 5 for a and 2 for b.

    Shapes: a (3, 1) and b (4,) give y and g (3, 4). The gradient of a must be (3, 1): shape.unbroadcast(gradient, a).
    """
    a, b = operands(a, b)  # a plain array becomes a Tensor; a plain number stays one

    def to_a(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return shape.unbroadcast(g * b, a)
        ### END SOLUTION

    def to_b(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return shape.unbroadcast(g * a, b)
        ### END SOLUTION

    return record(value(a) * value(b), (a, to_a), (b, to_b))


# %% check="mul"
check("mul", mul)

# %% [markdown]
# ## The matrix product
#
# Nearly all the work of a network is $y = a\,b$ for matrices: $a$ (n, k), $b$ (k, m), $y$ (n, m).
#
# $$y_{ij} = \sum_s a_{is}\, b_{sj} \qquad (s = 1, \ldots, k)$$
#
# The number $a_{is}$ acts on $y_{ij}$ for **every** $j$, each time with the slope $b_{sj}$. Rule 1:
# multiply by $g_{ij}$. Rule 2: add up all places where it acts:
#
# $$\frac{dL}{da_{is}} = \sum_j g_{ij}\, b_{sj}
# \qquad\text{and in the same way}\qquad
# \frac{dL}{db_{sj}} = \sum_i a_{is}\, g_{ij}$$
#
# Each of the two is again a matrix product. Which one?
#
# | | shape |
# |---|---|
# | $g$ | (n, m) |
# | gradient of $a$ | (n, k) |
# | gradient of $b$ | (k, m) |
#
# ### Exercise: matmul
#
# Hint: in a matrix product the index in the middle is summed, so one factor may have to be transposed, `b.T`. Often
# the shapes leave only one way.


# %% exercise="matmul"
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices, (n, k) @ (k, m) -> (n, m). Use @ and .T on tensors."""

    def to_a(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return g @ b.T
        ### END SOLUTION

    def to_b(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return a.T @ g
        ### END SOLUTION

    return record(a.data @ b.data, (a, to_a), (b, to_b))


# %% check="matmul"
check("matmul", matmul)

# %% [markdown]
# With these three, a whole layer can be differentiated. Here are 8 points through a dense layer with 3 outputs. The
# bias (3,) is broadcast to (8, 3), so its gradient is a sum over the 8 points. In the picture the
# `mean` appears as a sum and, in the box `loss`, a multiplication by 1/24, because there are 8 times 3 = 24 terms. The
# slope of that step is 1/24 = 0.042: the gradient under `sum`.

# %%
rng = np.random.default_rng(0)
x = Tensor(rng.standard_normal((8, 2)))  # (8, 2); the data need no gradient, so they are not in the graph
w = Tensor(rng.standard_normal((2, 3)), requires_grad=True)  # (2, 3)
b = Tensor(np.zeros(3), requires_grad=True)  # (3,)
y = x @ w + b  # (8, 2) @ (2, 3) + (3,) -> (8, 3)
loss = (y * y).mean()
graph(loss, {"w": w, "b": b, "y": y, "loss": loss})

# %% [markdown]
# ## Break it: pass gradients on too early
#
# The smallest graph in which the order matters: `b = a + a`, then `c = b + b`, so $c = 4a$ and $dc/da = 4$. Between two
# boxes there are **two** links, one for each use.

# %%
a = Tensor(1.0, requires_grad=True)
b = a + a
c = b + b
graph(c, {"a": a, "b = a + a": b, "c = b + b": c})

# %% [markdown]
# Here is a walk that looks right and is wrong. Whenever a share arrives, it is added to the gradient, and what has come
# together is passed on **at once**.


# %%
def too_early(tensor, share, gradients):
    """Broken on purpose: passes a gradient on before all of its shares have arrived."""
    gradients[tensor] = gradients[tensor] + share if tensor in gradients else share
    for parent, derivative in tensor.parents:
        too_early(parent, derivative(gradients[tensor], tensor), gradients)
    return gradients


print("too early:", too_early(c, Tensor(1.0), {})[a].item(), "  minigan:", grad(c, a)[0].item())

# %% [markdown]
# It gives 6 instead of 4. The first share of $b$ is 1, and is passed on: $a$ gets $1 + 1$. Then the second share
# arrives, the gradient of $b$ is 2, and *that* is passed on: $a$ gets $2 + 2$ more. The first share has been counted
# twice.
#
# One repair is to pass on only the new share. Then the result is right, but the walk goes along **every path**, and
# each new `y = y + y` doubles the number of paths:


# %%
def every_path(tensor, share, gradients):
    """Right, but slow: walks every path. Returns how many tensors it visited."""
    gradients[tensor] = gradients[tensor] + share if tensor in gradients else share
    return 1 + sum(every_path(parent, derivative(share, tensor), gradients) for parent, derivative in tensor.parents)


links = np.arange(1, 13)
visits = {"every path": [], "topological order": []}
for n in links:
    a = y = Tensor(1.0, requires_grad=True)
    for _ in range(n):
        y = y + y
    gradients = {}
    visits["every path"].append(every_path(y, Tensor(1.0), gradients))
    visits["topological order"].append(len(topological_order([y])))
print(f"12 sums: gradient {gradients[a].item():.0f}, visits", {name: v[-1] for name, v in visits.items()})
lines({k: (links, v) for k, v in visits.items()}, "sums in a chain", "tensors visited", log="y", markers=True)

# %% [markdown]
# 12 sums in a chain take 8191 visits, and 30 would take two billion. The right repair is **patience**: a tensor passes
# its gradient on once, when all of its children have given their share. So minigan first lists the tensors,
# parents before children (a *topological order*), and then walks through the list backwards: 13 visits.

# %%
names = {a: "a", b: "b", c: "c"} | {t: f"y{number}" for number, t in enumerate(topological_order([y])[1:], 1)}
print("minigan lists ", " ".join(names[t] for t in topological_order([y])))
print("and walks back", " ".join(names[t] for t in reversed(topological_order([y]))))

# %% [markdown]
# The whole walk is the function `_walk` in `minigan/tensor.py`: some twenty-five lines; the extra ones skip what needs
# no gradient.
#
# **Homework:** write `topological_order` yourself, in your folder of exercises; `minigan exercise check
# topological_order` checks it.
#
# ## What you can now do
#
# - Compute gradients on a small graph by hand, with two rules: multiply along a path, add where paths meet.
# - Write an operation as its value and one derivative per operand, also where operands are broadcast.
# - Explain why backprop sorts the graph first, and what goes wrong otherwise.
#
# **Next:** *Checking gradients*: how do you know that a derivative is right?
