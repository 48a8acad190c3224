# %% [markdown]
# # Checking gradients
#
# - **Goals**: measure a derivative with differences; choose the step $h$; find wrong derivatives with `gradcheck`.
# - **Prerequisites**: *Tensors and the chain rule* (`record`, and derivatives `to_x(g, y)`).
# - **Run time**: under 20 seconds on two cores.
#
# A wrong derivative gives no error message. The network still trains, only worse, and nobody sees why. So we measure
# each derivative before we trust it.

# %%
import numpy as np
from IPython.display import display

from minigan import Tensor, grad, gradcheck, ops, plots
from minigan.exercises import check
from minigan.networks import mlp_generator
from minigan.tensor import record

rng = np.random.default_rng(0)

# %% [markdown]
# ## How wrong is a difference?
#
# Nudge $x$ by a small $h$ to both sides. Taylor's series says what comes out:
#
# $$f(x \pm h) = f \pm h f' + \tfrac{h^2}{2} f'' \pm \tfrac{h^3}{6} f''' + \dots$$
#
# Subtract one from the other: $f$ and $f''$ cancel. Divide by $2h$:
#
# $$\frac{f(x+h) - f(x-h)}{2h} = f' + \underbrace{\tfrac{h^2}{6} f'''}_{\text{truncation error}} + \dots$$
#
# From one side only, $(f(x+h) - f(x))/h = f' + \tfrac{h}{2} f''$: an error in $h$, not in $h^2$. Two sides are better.
#
# So should $h$ be as small as possible? No. A float64 keeps about 16 digits: every value is wrong by up to
# $\varepsilon |f|$, where $\varepsilon = 2.2 \cdot 10^{-16}$. The difference of two nearly equal values keeps that
# error, and we divide it by $2h$:
#
# $$\text{round-off error} \approx \frac{\varepsilon |f|}{h}.$$
#
# One error falls with $h$, the other grows. For $f = e^x$ all derivatives are equal to $f$, so relative to $f'$ the
# two errors are simply $h^2/6$ and $\varepsilon/h$. Their sum is smallest where its slope is 0:
#
# $$\frac{h}{3} - \frac{\varepsilon}{h^2} = 0 \quad\Rightarrow\quad h = \sqrt[3]{3 \varepsilon}.$$

# %%
for name in ("float64", "float32"):
    eps = float(np.finfo(name).eps)
    h = (3 * eps) ** (1 / 3)
    print(f"{name}: eps = {eps:.1e}, best h = {h:.1e}, error there = {h**2 / 6 + eps / h:.0e}")

# %% [markdown]
# In float64 a difference can be right to ten digits, in float32 only to four. That is why training is in float32, but
# gradients are checked in float64.
#
# ## The U-curve
#
# Now measure. For each $h$: the largest relative error at 50 points.

# %%
x = rng.uniform(0.5, 1.5, 50)  # (50,)
steps = np.logspace(-1, -13, 97)  # (97,)


def errors(slope, dtype="float64"):
    """The largest relative error of slope(x, h) for each h: exp is its own derivative."""
    points, right = x.astype(dtype), np.exp(x)
    return [np.max(np.abs(slope(points, h) - right) / right) for h in steps.astype(dtype)]


def central(x, h):
    return (np.exp(x + h) - np.exp(x - h)) / (2 * h)


def one_sided(x, h):
    return (np.exp(x + h) - np.exp(x)) / h


# %%
curves = {
    "central, float64": (steps, errors(central)),
    "one-sided, float64": (steps, errors(one_sided)),
    "central, float32": (steps, errors(central, "float32")),
    "h²/6 + ε/h": (steps, steps**2 / 6 + np.finfo("float64").eps / steps),
}
plots.lines(curves, "step h (small steps on the left)", "largest relative error", "The U-curve", "xy", ylim=(1e-12, 10))

# %% [markdown]
# Read it from right to left. The central difference falls by **two** decades per decade of $h$ (truncation), reaches
# its lowest point near $10^{-5}$, and rises by one decade per decade (round-off). The dotted line is our formula; it
# was derived, not fitted. The one-sided difference falls by one decade per decade only, and its best value is three
# digits worse. In float32 the lowest point lies at a larger $h$; at the far left $x + h$ **is** $x$ in float32, the
# difference is 0, and the error is 100 %.

# %% [markdown]
# ## From one number to a tensor
#
# A derivative in minigan gets an upstream gradient $g$ and returns the gradient of $L = \sum g\,y$. So measure $L$, and
# nudge one number of $x$ at a time:

# %%


def numeric_gradient(f, x, g, h=1e-5):
    """dL/dx for L = sum(g f(x)); x and the result have one shape, f(x) and g another. Two calls of f per number."""
    slopes = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[i] = h
        slopes[i] = np.sum(g * (f(Tensor(x + nudge)).numpy() - f(Tensor(x - nudge)).numpy())) / (2 * h)
    return slopes


x = rng.standard_normal((2, 3))
g = rng.standard_normal((2, 3))
leaf = Tensor(x, requires_grad=True)
(analytic,) = grad(ops.sigmoid(leaf), leaf, Tensor(g))  # (2, 3)
numeric = numeric_gradient(ops.sigmoid, x, g)  # (2, 3)
print(analytic.numpy(), numeric, np.abs(analytic.numpy() - numeric).max(), sep="\n\n")

# %% [markdown]
# **Question: why do we not train with differences, if they are so exact?** Because of the two calls per number:

# %%
G = mlp_generator(64, (1, 28, 28), (128, 256), rng)
numbers = sum(p.size for p in G.parameters())
print(f"a small generator has {numbers:,} weights: {2 * numbers:,} forward passes for one gradient; backprop needs 1")

# %% [markdown]
# ## `gradcheck`
#
# `minigan.gradcheck(f, *inputs)` does this for every argument, in float64, with a **random** $g$. An error is
# relative: $|a - n| / \max(|a|, |n|)$. Up to $10^{-6}$ passes; a right derivative has mostly $10^{-8}$ or less, and a
# wrong one mostly more than $10^{-2}$. As the last line of a cell, its report is displayed.

# %%
gradcheck(ops.matmul, rng.standard_normal((5, 4)), rng.standard_normal((4, 3)))

# %% [markdown]
# A ReLU has a corner at 0, where there is no derivative. Such a *kink* is found and left out.

# %%
gradcheck(ops.relu, [[-1.0, 0.0, 2.0]])

# %% [markdown]
# ## Exercise: the derivative of tanh
#
# With $s = (e^x - e^{-x})/2$ and $c = (e^x + e^{-x})/2$ we have $s' = c$, $c' = s$ and $\tanh x = s/c$. The quotient
# rule gives
#
# $$\frac{dy}{dx} = \frac{c\,c - s\,s}{c\,c}.$$
#
# Hint: divide it out and write it with $y$ alone. It is the last layer of a generator: it brings each pixel between
# -1 and 1. (In reports of exercises, ignore the rows "order 2" until gradients of gradients are needed, in the gradient
# penalty. And every exercise is a file as well: `minigan exercise start` lays them out in the folder `exercises`, this
# one as `tanh`.)


# %% exercise="tanh"
def tanh(x: Tensor) -> Tensor:
    """tanh x, element by element: x, y, g and the result of to_x all have the same shape."""

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return g * (1.0 - y * y)
        ### END SOLUTION

    return record(np.tanh(x.data), (x, to_x))


# %% check="tanh"
check("tanh", tanh)

# %% [markdown]
# ## Eight planted bugs
#
# Each of the next eight functions computes the right value, and one of its derivatives is wrong. All of these are
# mistakes that people really make. **Read the code** of each and find the mistake yourself; change nothing yet. The
# reports come after your answers.


# %%
def leaky(x):  # 1: x where x > 0, else 0.2 x
    y = np.where(x.data > 0, x.data, 0.2 * x.data)
    return record(y, (x, lambda g, y: g * Tensor(np.where(x.data > 0, 1.0, 0.0))))


# %%
def pick(table):  # 2: rows of a table, one for each label
    labels = np.array([0, 2, 2, 5])

    def to_table(g, y):
        gradient = np.zeros_like(table.data)
        gradient[labels] = g.data
        return Tensor(gradient)

    return record(table.data[labels], (table, to_table))


# %%
def subtract(a, b):  # 3: a - b
    return record(a.data - b.data, (a, lambda g, y: g), (b, lambda g, y: g))


# %%
def average(x):  # 4: the mean of each row, (N, M) -> (N, 1)
    return record(x.data.mean(axis=1, keepdims=True), (x, lambda g, y: ops.broadcast_to(g, x.shape)))


# %%
def sigmoid(x):  # 5: 1 / (1 + e^-x)
    return record(1 / (1 + np.exp(-x.data)), (x, lambda g, y: g * y))


# %%
def product(a, b):  # 6: a @ b
    return record(a.data @ b.data, (a, lambda g, y: g @ b.T), (b, lambda g, y: g.T @ a))


# %%
def add_row(x, b):  # 7: a bias for every row, (N, M) + (M,)
    return record(x.data + b.data, (x, lambda g, y: g), (b, lambda g, y: g))


# %%
def exponential(x):  # 8: e^x
    return record(np.exp(x.data), (x, lambda g, y: y * 1.0))


# %% [markdown]
# **Fill in** (double-click the table):
#
# | function | wrong for which argument | what is wrong, in your words | the right derivative |
# |---|---|---|---|
# | 1 `leaky` | | | |
# | 2 `pick` | | | |
# | 3 `subtract` | | | |
# | 4 `average` | | | |
# | 5 `sigmoid` | | | |
# | 6 `product` | | | |
# | 7 `add_row` | | | |
# | 8 `exponential` | | | |
#
# **Then give each a letter** in the next cell, in the place of its "?". The letters are these:
#
# - A: a sign is flipped.
# - B: the $1/N$ of a mean is missing.
# - C: the upstream gradient is not used.
# - D: a term of the formula is missing.
# - E: the input was broadcast, and the gradients of its copies are not added up.
# - F: one of two cases is wrong.
# - G: shares that meet in one element overwrite each other instead of adding up.
# - H: the matrix is transposed.

# %%
answers = {1: "?", 2: "?", 3: "?", 4: "?", 5: "?", 6: "?", 7: "?", 8: "?"}

# %% [markdown]
# Now the reports. (`A`, `B` and `C` are random tables; `first` keeps the first report of each function.)

# %%
A, B, C = (rng.standard_normal(shape) for shape in ((6, 6), (6, 6), (3, 6)))
first = {}


# %%
def check_all():
    """The reports 1 to 8 of the functions as they are now."""
    tests = [(leaky, A), (pick, A), (subtract, A, B), (average, C)]
    tests += [(sigmoid, A), (product, A, B), (add_row, A, B[0]), (exponential, A)]
    return {n: gradcheck(*test) for n, test in enumerate(tests, start=1)}


for n, report in check_all().items():
    first.setdefault(n, report)
    display(first[n])

# %%
kinds = {"A": "sign flipped", "B": "times N", "C": "upstream forgotten", "D": "term missing"}
kinds |= {"E": "not summed", "F": "one side", "G": "overwritten", "H": "transposed"}
named = [n for n, report in first.items() if report.mistake and kinds.get(answers[n]) == report.mistake.name]
print(f"named rightly: {len(named)} of 8 {named or ''}")

# %% [markdown]
# ## Where are the errors?
#
# `plots.error_map` draws the relative error of every element of every argument. Dark is right, bright is wrong.

# %%
plots.beside(plots.error_map(first[1]), plots.error_map(first[2]))

# %%
plots.error_map(first[6])

# %%
print((A < 0).astype(int))  # 1 where negative

# %% [markdown]
# A pattern says more than a number.
#
# - `leaky` (left): some elements are wrong. They are those where $x$ is negative; compare with `A < 0`, printed above.
# - `pick` (right): row 2 is wrong as a whole, because it was picked twice. Rows 1, 3 and 4 were never picked: their
#   gradient is 0, and that is right.
# - `product`: $a$ is right everywhere; of $b$ only the diagonal is right, because transposing does not move it.

# %% [markdown]
# ## Break it: an upstream gradient of ones
#
# Many home-made checks differentiate `y.sum()`. That is $g = 1$ everywhere. Here is why `gradcheck` never does that.
# Batch norm brings each column to mean 0 and variance 1: $\hat x = (x - \mu)/\sigma$. Its derivative has three terms
# (derived in the lesson *Batch norm and the DCGAN*; take it as given), and we leave out the last:
#
# $$\frac{dL}{dx} = \frac{1}{\sigma}\bigl(g - \operatorname{mean} g - \hat x \operatorname{mean}(g\,\hat x)\bigr)$$


# %%
def normalise(x, last_term=True):  # (N, C) -> (N, C)
    sigma = np.sqrt(x.data.var(axis=0) + 1e-5)  # (C,)

    def to_x(g, x_hat):
        inner = g - ops.mean(g, axis=0)
        if last_term:
            inner = inner - x_hat * ops.mean(g * x_hat, axis=0)
        return inner / sigma

    return record((x.data - x.data.mean(axis=0)) / sigma, (x, to_x))


def broken(x):
    return normalise(x, last_term=False)


# %%
x = rng.standard_normal((6, 3))
leaf = Tensor(x, requires_grad=True)
for name, g in (("g = 1", np.ones((6, 3))), ("random g", rng.standard_normal((6, 3)))):
    measured = numeric_gradient(normalise, x, g)  # (6, 3)
    print(f"{name:9} largest number in the measured gradient: {np.abs(measured).max():.0e}")
    for f in (normalise, broken):
        (analytic,) = grad(f(leaf), leaf, Tensor(g))
        print(f"          {f.__name__:9} differs from it by at most {np.abs(analytic.numpy() - measured).max():.0e}")

# %% [markdown]
# With $g = 1$ the broken derivative agrees with the measured one, to rounding. The reason: $L = \sum \hat x$ is the
# sum of columns with mean 0, so $L = 0$ for **every** $x$, and the right gradient is 0. In the formula:
# $g - \operatorname{mean} g = 0$ and $\operatorname{mean}(g\,\hat x) = \operatorname{mean} \hat x = 0$. The missing
# term is 0 too, so nobody misses it. A random $g$ makes all terms count:

# %%
report = gradcheck(broken, x)
report

# %%
plots.beside(plots.error_map(gradcheck(normalise, x)), plots.error_map(report))

# %% [markdown]
# Left: with all three terms. Right: without the last. Every element is wrong, some by a few per cent only; the report
# names the term that is missing.
#
# **Question: can a right derivative fail?** With one fixed $h$ yes, at a bad place: next to a kink or a pole, or where
# numbers are so large that round-off covers everything. `gradcheck` tries smaller and larger steps there, and where
# none helps, it says that nothing could be measured. And a check says nothing about places that it did not visit:
# `leaky` passes at positive numbers.

# %%
gradcheck(leaky, [[1.0, 2.0, 3.0]])

# %% [markdown]
# ## Then repair them
#
# Copy the eight functions into the next cell, correct the derivative of each copy, and run the two cells. (Copies: so
# the wrong functions, their reports and your score above stay as they are.)

# %%
# your copies, corrected

# %%
repaired = [n for n, report in check_all().items() if report.passed]
print(f"repaired: {len(repaired)} of 8 {repaired or ''}")

# %% [markdown]
# <details><summary>The eight right derivatives (open only when you have yours)</summary>
#
# 1. F: `g * Tensor(np.where(x.data > 0, 1.0, 0.2))`; in float32 also `dtype=x.dtype`
# 2. G: `np.add.at(gradient, labels, g.data)` instead of the assignment
# 3. A: for `b`, `-g`
# 4. B: `ops.broadcast_to(g, x.shape) / x.shape[1]`
# 5. D: `g * y * (1 - y)`; the report says that the term $-g y^2$ is missing, and $y - y^2 = y(1 - y)$
# 6. H: for `b`, `a.T @ g`
# 7. E: for `b`, `ops.sum(g, axis=0)`
# 8. C: `g * y`
#
# </details>
#
# ## What you can now do
#
# - Say how wrong a central difference is, and why $h = 10^{-5}$ in float64 is a good choice.
# - Check the derivative of any function of yours with `gradcheck`, and read the report and the map of its errors.
# - Explain why the upstream gradient of a check must be random.
#
# **Next:** *Layers and losses*, where the derivatives of a discriminator are written and checked.
