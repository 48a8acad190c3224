# %% [markdown]
# # Layers and losses
#
# - **Goals**: write the layers and the loss of a discriminator, and know why weights and losses start as they do.
# - **Prerequisites**: *Tensors and the chain rule* (derivatives `to_x(g, y)`) and *Checking gradients*.
# - **Run time**: under 20 seconds on two cores.
#
# A discriminator can be as simple as this: dense layer, leaky ReLU, dense layer, leaky ReLU, ..., dense layer. Its
# output is one number per image, the **logit** $x$, and its belief that the image is real is $D = 1/(1 + e^{-x})$.

# %%
import numpy as np

from minigan import Tensor, grad, losses, nn, ops, optim, plots
from minigan.exercises import check
from minigan.ops import mean, sigmoid
from minigan.tensor import record

rng = np.random.default_rng(0)

# %% [markdown]
# ## A dense layer
#
# $$y_{no} = \sum_i x_{ni} W_{oi} + b_o, \qquad y = x W^T + b$$
#
# with $x$ `(N, in)`, $W$ `(out, in)`, $b$ `(out,)` and $y$ `(N, out)`. (In *Tensors and the chain rule* $w$ was
# `(in, out)`; libraries store `(out, in)`, hence the transpose.) For each number, ask in which outputs it acts, and add
# up what comes back from all of them:
#
# - $x_{ni}$ acts on $y_{no}$ for every $o$, by the factor $W_{oi}$: the gradient is $\sum_o g_{no} W_{oi}$;
# - $W_{oi}$ acts on $y_{no}$ for every $n$, by the factor $x_{ni}$: the gradient is $\sum_n g_{no} x_{ni}$;
# - $b_o$ acts on $y_{no}$ for every $n$, by the factor 1: the gradient is $\sum_n g_{no}$.
#
# ## Exercise: `linear`
#
# Write the value, and the three sums: two are matrix products, the last is `ops.sum`. Hint: shapes decide; only one
# product of $g$ and $W$ gives `(N, in)`. Each of the four lines with `raise` is one to replace.
#
# (Every exercise is a file as well: `minigan exercise start` lays them out in the folder `exercises`, this one as
# `linear`.)


# %% exercise="linear"
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b for x (N, in), weight (out, in), bias (out,) or None -> (N, out)."""

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return g @ weight
        ### END SOLUTION

    def to_weight(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return g.T @ x
        ### END SOLUTION

    def to_bias(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return ops.sum(g, axis=0)
        ### END SOLUTION

    # Replace the line below this comment by: value = ..., an array (N, out), of x.data, weight.data and (if there is
    # a bias) bias.data.
    ### BEGIN SOLUTION
    value = x.data @ weight.data.T
    if bias is not None:
        value = value + bias.data
    ### END SOLUTION
    return record(value, (x, to_x), (weight, to_weight), (bias, to_bias))


# %% check="linear"
check("linear", linear)

# %% [markdown]
# ## A bend between layers: the leaky ReLU
#
# Two dense layers in a row are one dense layer: $(x W_1^T) W_2^T = x (W_2 W_1)^T$. Something bent must stand between.
#
# $$y = x \text{ where } x > 0, \text{ else } s\,x, \qquad \frac{dy}{dx} = 1 \text{ where } x > 0, \text{ else } s.$$
#
# With $s = 0$ it is the ReLU, which stops all gradients where $x < 0$. A discriminator uses $s = 0.2$: the generator
# learns only from the gradient that comes back **through** the discriminator, so no path should be dead.

# %%
x = np.linspace(-3, 3, 301)  # (301,)
plots.lines(
    {
        "ReLU": (x, ops.relu(Tensor(x)).numpy()),
        "leaky ReLU, s = 0.2": (x, ops.leaky_relu(Tensor(x), 0.2).numpy()),
    },
    "x",
    "y",
    "Flat on the left, or only less steep",
)

# %% [markdown]
# ## Exercise: `leaky_relu`
#
# Write its derivative. Hint: `np.where(condition, a, b)` on the array `x.data`; at the corner $x = 0$ take the slope.
# Simplest: multiply $g$ by this plain array, which then takes the dtype of $g$. (As a `Tensor` it must have the dtype
# of `x`: `Tensor(array, dtype=x.dtype)`.)


# %% exercise="leaky_relu"
def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """x where x > 0, else slope x; all shapes are the same. For slope 0.2, [-1, 0, 2] gets g times [0.2, 0.2, 1]."""

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return g * np.where(x.data > 0, 1.0, slope)
        ### END SOLUTION

    return record(np.maximum(x.data, slope * x.data), (x, to_x))


# %% check="leaky_relu"
check("leaky_relu", leaky_relu)

# %% [markdown]
# ## How large may weights be?
#
# Follow the size of the numbers through a layer $z = \sum_i w_i x_i$ with `fan_in` terms. If the $w_i$ are
# independent with mean 0, the variances of the terms add up:
#
# $$\operatorname{Var} z = \text{fan\_in} \cdot \operatorname{Var} w \cdot E[x^2].$$
#
# $x$ is what the leaky ReLU made of the layer before, $z'$. That one is as often positive as negative; the positive
# half goes through, the negative half is multiplied by $s$:
#
# $$E[x^2] = \tfrac12 \operatorname{Var} z' + \tfrac12 s^2 \operatorname{Var} z'
# = \tfrac{1 + s^2}{2} \operatorname{Var} z'.$$
#
# So each layer multiplies the standard deviation by one factor, and the weights should make it 1 (He et al., 2015):
#
# $$\text{factor} = \operatorname{std}(w) \sqrt{\text{fan\_in} \, (1 + s^2) / 2} = 1
# \quad\Rightarrow\quad \operatorname{std}(w) = \sqrt{\frac{2}{(1 + s^2)\, \text{fan\_in}}}.$$

# %%
fan_in, slope, depth = 256, 0.2, 20
z = rng.standard_normal(1_000_000)
print(f"E[x²] of leaky_relu(z): {np.mean(ops.leaky_relu(Tensor(z), slope).numpy() ** 2):.4f}, and (1 + s²)/2 is 0.52")

inits = {"too small": 0.02, "He": np.sqrt(2 / ((1 + slope**2) * fan_in)), "too large": 0.2}
for name, std in inits.items():
    factor = std * np.sqrt(fan_in * (1 + slope**2) / 2)
    print(f"{name:9}  std {std:.3f}  factor {factor:.2f} per layer, {factor**19:.0e} from layer 1 to layer 20")

# %% [markdown]
# ## The picture: 20 layers under three inits
#
# The same inputs go through 20 layers; `z` keeps what each dense layer gives, before the leaky ReLU. In the histograms,
# whatever lies beyond -4 or 4 is counted in the last bar on that side.


# %%
def twenty_layers(std, seed=1):
    """What each dense layer gives: 20 tensors (N, 256)."""
    rng = np.random.default_rng(seed)
    x = Tensor(rng.standard_normal((256, fan_in)), requires_grad=True)  # (N, 256)
    z = []
    for _ in range(depth):
        weight = Tensor(std * rng.standard_normal((fan_in, fan_in)))  # (out, in)
        z.append(ops.linear(x, weight))
        x = ops.leaky_relu(z[-1], slope)
    return z


nets = {name: twenty_layers(std) for name, std in inits.items()}


def show(name):
    """Histograms of four layers of a net."""
    groups = {f"layer {n}": np.clip(nets[name][n - 1].numpy(), -4, 4) for n in (1, 5, 10, 20)}
    return plots.histograms(groups, "z", f"{name}: std(w) = {inits[name]:.3f}", bins=np.linspace(-4, 4, 42))


show("too small")

# %%
show("He")

# %%
show("too large")

# %%
layers = np.arange(1, depth + 1)
plots.lines(
    {name: (layers, [z.numpy().std() for z in net]) for name, net in nets.items()},
    "layer",
    "standard deviation of z",
    "The same factor at each layer: a straight line",
    log="y",
    markers=True,
)

# %% [markdown]
# On a log scale a constant factor is a straight line. Too small: in layer 5 all numbers are nearly 0. Too large: in
# layer 5 nearly all lie outside of the picture. With He's weights layer 20 is still about as wide as layer 1; the small
# drift is chance, because 256 terms are not infinitely many.
#
# The gradient goes back through the same weights, so it shrinks or grows by the same factor. Start with a random
# gradient at layer 20 and go back to layer 1:

# %%
back = {}
for name, net in nets.items():
    g = Tensor(np.random.default_rng(2).standard_normal(net[-1].shape))
    back[name] = (layers, [slopes.numpy().std() for slopes in grad(net[-1], net, g)])
plots.lines(
    back, "layer", "standard deviation of the gradient", "The gradient, from layer 20 back to 1", log="y", markers=True
)

# %% [markdown]
# With too small weights the gradient that reaches layer 1 is about $10^{-12}$: gradient descent would not move layer 1.
# With too large ones it is above $10^6$, and the first step throws the weights away.
#
# **Question: why does the DCGAN draw its weights from $N(0, 0.02^2)$?** It may, because batch norm brings the numbers
# back to variance 1 after nearly every layer (see *Batch norm and the DCGAN*); 0.02 itself is a habit.
#
# **Question: why not start with all weights 0?** Then all units of a layer compute the same, get the same gradient,
# and stay the same forever.
#
# ## Homework (optional): `he_normal`
#
# Draw the weights. Hint: `rng.standard_normal(shape)` has standard deviation 1 and is float64; `.astype(np.float32)`
# converts.


# %% exercise="he_normal"
def he_normal(shape: tuple[int, ...], rng: np.random.Generator, fan_in: int, slope: float = 0.0) -> np.ndarray:
    """Weights of `shape` in float32 from N(0, std^2), for layers that are followed by a (leaky) ReLU."""
    ### BEGIN SOLUTION
    std = np.sqrt(2 / ((1 + slope**2) * fan_in))
    return (std * rng.standard_normal(shape)).astype(np.float32)
    ### END SOLUTION


# %% check="he_normal"
check("he_normal", he_normal)

# %% [markdown]
# ## The loss, from the logit
#
# An image with target $t$ (1 for real, 0 for fake) costs the discriminator $-t \ln D - (1 - t) \ln(1 - D)$. Put
# $D = 1/(1 + e^{-x})$ in; both logarithms become one function, $\operatorname{softplus}(x) = \ln(1 + e^x)$:
#
# $$-\ln D = \ln(1 + e^{-x}) = \operatorname{softplus}(-x)$$
#
# $$1 - D = \frac{e^{-x}}{1 + e^{-x}} = \frac{1}{1 + e^{x}} \quad\Rightarrow\quad
# -\ln(1 - D) = \operatorname{softplus}(x)$$
#
# $e^{1000}$ overflows, so take the larger part out of the logarithm:
#
# $$\ln(1 + e^x) = \max(x, 0) + \ln(1 + e^{-|x|}), \qquad
# \frac{d \operatorname{softplus}}{dx} = \frac{e^x}{1 + e^x} = D.$$
#
# The derivative of the whole loss is as simple as it can be. With the mean over $N$ logits:
#
# $$\frac{dL}{dx} = \frac1N \bigl(-t (1 - D) + (1 - t) D\bigr) = \frac{D - t}{N}.$$
#
# It is how wrong the belief is, and it never grows beyond $1/N$.

# %%
x = np.linspace(-6, 6, 241)  # (241,)
plots.lines(
    {
        "loss of a real, softplus(-x)": (x, ops.softplus(Tensor(-x)).numpy()),
        "loss of a fake, softplus(x)": (x, ops.softplus(Tensor(x)).numpy()),
        "belief D = sigmoid(x)": (x, sigmoid(Tensor(x)).numpy()),
    },
    "logit x",
    "loss, or belief",
    "The more wrong and the more certain, the higher the cost",
)

# %% [markdown]
# **Question: why is a discriminator with loss 0 bad?** Then $D = t$ for every image, and its gradient $D - t$ is 0: *D*
# has nothing left to learn. What that means for *G* depends on *G*'s loss: see *Saturation*.
#
# ## Exercise: `bce_with_logits`
#
# First `softplus`: its value on the array `x.data`, with `np.maximum`, `np.exp`, `np.abs` and `np.log1p` (`log1p(z)` is
# $\ln(1 + z)$, exact for tiny $z$). In its derivative $e^x/(1+e^x)$ overflows as well, so use `ops.sigmoid`, which is
# written safely. Then the loss, with `softplus` and `mean`. Hint: two softplus terms, with the weights $t$ and
# $1 - t$.


# %% exercise="bce_with_logits"
def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x), element by element: softplus(0) = 0.6931, softplus(100) = 100, softplus(-100) = 3.7e-44."""

    def to_x(g: Tensor, y: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return g * sigmoid(x)
        ### END SOLUTION

    # Replace the line below by: value = ..., an array of the shape of x.
    ### BEGIN SOLUTION
    value = np.maximum(x.data, 0) + np.log1p(np.exp(-np.abs(x.data)))
    ### END SOLUTION
    return record(value, (x, to_x))


def bce_with_logits(logits: Tensor, target: float) -> Tensor:
    """Mean of -t ln D - (1 - t) ln(1 - D), D = sigmoid(logits), for a target t in [0, 1]: (N, 1) -> ()."""
    ### BEGIN SOLUTION
    return mean(softplus(-logits) * target + softplus(logits) * (1 - target))
    ### END SOLUTION


# %% check="bce_with_logits"
check("bce_with_logits", softplus, bce_with_logits)

# %% [markdown]
# ## Break it: the loss from probabilities
#
# It looks harmless to compute $D$ first and take the logarithm afterwards. A common repair is to clip $D$, so that the
# logarithm stays finite. Compare both with the loss from logits, for a fake that $D$ takes for real. (The code of the
# table below only measures and prints: skip the code, read the table.)


# %%
def from_probabilities(x, target):
    D = sigmoid(x)
    return mean(ops.log(D) * -target + ops.log(1 - D) * (target - 1))


def clipped(x, target):
    D = ops.minimum(ops.maximum(sigmoid(x), 1e-7), 1 - 1e-7)
    return mean(ops.log(D) * -target + ops.log(1 - D) * (target - 1))


def loss_and_gradient(loss, logit, dtype):
    x = Tensor([[logit]], requires_grad=True, dtype=dtype)  # (1, 1): one fake, target 0
    with np.errstate(all="ignore"):
        y = loss(x, 0.0)
        return y.item(), grad(y, x)[0].item()


# %%
ways = (from_probabilities, clipped, losses.bce_with_logits)
for dtype in ("float32", "float64"):
    print(f"{dtype}: loss (and gradient) of a fake at this logit")
    print("     ", *[f"{way.__name__:>22}" for way in ways])
    for logit in (5.0, 15.0, 20.0, 40.0, 100.0):
        cells = ["{:.4g} ({:.4g})".format(*loss_and_gradient(way, logit, dtype)) for way in ways]
        print(f"{logit:5.0f}", *[f"{cell:>22}" for cell in cells])

# %%
logits = np.linspace(-10, 60, 281)
found = {way.__name__: np.array([loss_and_gradient(way, x, "float64") for x in logits]) for way in ways}
plots.lines(
    {name: (logits, pairs[:, 0]) for name, pairs in found.items()},
    "logit x of a fake",
    "loss (float64)",
    "Loss: infinite, flat, or right",
)

# %%
plots.lines(
    {name: (logits, pairs[:, 1]) for name, pairs in found.items()},
    "logit x of a fake",
    "gradient (float64)",
    "Gradient: unusable, zero, or right",
    ylim=(-0.2, 1.6),
)

# %% [markdown]
# At logit 40, $D = 1 - 4 \cdot 10^{-18}$. A float64 has 16 digits, so $D$ **is** 1, $1 - D$ is 0, $\ln 0 = -\infty$.
# In float32, in which we train, that happens at logit 20 already. Just before the end the gradient is noise, because
# $1 - D$ has only a few digits left.
#
# Clipping is worse than it looks: beyond the clip the loss is constant, so the gradient is 0. The discriminator is
# as wrong as it can be, and gets no signal. From logits the gradient is 1, which is right.
#
# One such image is enough. A batch of two fakes, the first with logit 40, and one step of gradient descent:

# %%
fakes = Tensor([[2.0, 0.0], [0.1, -0.3]])  # (N, in)
for way in ways:
    weight = nn.Parameter([[20.0, 1.0]])  # (out, in); logits 40 and 1.7
    optimizer = optim.SGD([weight], lr=0.1)
    with np.errstate(all="ignore"):
        way(ops.linear(fakes, weight), 0.0).backward()
        optimizer.step()
    print(f"{way.__name__:18} new weights {weight.numpy()}")

# %% [markdown]
# From probabilities, all weights are lost: $\infty$ times 2 is $\infty$, $\infty$ times 0 is "not a number". Clipped,
# only the second fake counts, and the first weight, which is to blame, hardly moves. From logits it moves in the right
# direction. So all losses of minigan take logits.
#
# ## What you can now do
#
# - Write a dense layer, a leaky ReLU and the loss of a discriminator, with their derivatives.
# - Say by which factor a layer changes the size of numbers and gradients, and choose the weights so that it is 1.
# - Explain why a loss takes logits and not probabilities.
#
# **Next:** *Optimizers and games*, and why a game of two players is no descent.
