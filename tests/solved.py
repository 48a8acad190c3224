"""Solved exercises: what a student would write in the place of each `raise NotImplementedError`, in order."""

import re

from minigan.exercises.catalogue import STUBS, find

NOT_WRITTEN = re.compile(r'^( *)raise NotImplementedError\("not written yet"\).*$', re.MULTILINE)

SOLUTIONS = {
    "unbroadcast": [
        """
new = g.ndim - len(shape)
axes = [*range(new), *(new + i for i, n in enumerate(shape) if n == 1)]
return reshape(sum(g, axis=tuple(axes)), shape)
"""
    ],
    "mul": ["return unbroadcast(g * b, a)", "return unbroadcast(g * a, b)"],
    "matmul": ["return g @ b.T", "return a.T @ g"],
    "tanh": ["return g * (1.0 - y * y)"],
    "leaky_relu": ["return g * Tensor(np.where(x.data > 0, 1.0, slope), dtype=x.dtype)"],
    "topological_order": [
        """
if parents_are_done:
    order.append(tensor)
elif tensor not in seen:
    seen.add(tensor)
    stack.append((tensor, True))
    stack.extend((parent, False) for parent, _ in tensor.parents)
"""
    ],
    "bce_with_logits": [
        "return g * sigmoid(x)",
        "value = np.maximum(x.data, 0) + np.log1p(np.exp(-np.abs(x.data)))",
        "return mean(softplus(-logits) * target + softplus(logits) * (1 - target))",
    ],
    "linear": [
        "return g @ weight",
        "return g.T @ x",
        "return sum(g, axis=0)",
        """
value = x.data @ weight.data.T
if bias is not None:
    value = value + bias.data
""",
    ],
    "he_normal": [
        """
std = np.sqrt(2 / ((1 + slope**2) * fan_in))
return (std * rng.standard_normal(shape)).astype(np.float32)
"""
    ],
    "adam_step": [
        """
b1, b2 = self.betas
m *= b1
m += (1 - b1) * g
v *= b2
v += (1 - b2) * g * g
m_hat = m / (1 - b1**t)
v_hat = v / (1 - b2**t)
theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)
"""
    ],
    "unfold": ["patches[:, :, k, m] = images[:, :, k : k + stride * oh : stride, m : m + stride * ow : stride]"],
    "conv2d": [
        """
rows = reshape(weight, (weight.shape[0], -1))
y = reshape(rows @ unfold(x, kernel_size, stride, padding), (x.shape[0], weight.shape[0], oh, ow))
return y if bias is None else y + reshape(bias, (1, -1, 1, 1))
"""
    ],
    "conv_transpose2d": [
        """
rows = reshape(weight, (weight.shape[0], -1))
columns = rows.T @ reshape(x, (x.shape[0], x.shape[1], -1))
y = fold(columns, size, kernel_size, stride, padding)
return y if bias is None else y + reshape(bias, (1, -1, 1, 1))
"""
    ],
    "batch_norm": [
        """
mu = mean(x, axes, keepdims=True)
centred = x - mu
var = mean(centred * centred, axes, keepdims=True)
x_hat = centred / sqrt(var + eps)
y = reshape(weight, per_channel) * x_hat + reshape(bias, per_channel)
return y, mu.data.reshape(-1), var.data.reshape(-1)
""",
        """
running.data *= 1 - momentum
running.data += momentum * batch
""",
    ],
    "batch_norm_backward": [
        """
h = g * reshape(weight, per_channel)
return (h - mean(h, axes, keepdims=True) - x_hat * mean(h * x_hat, axes, keepdims=True)) / sigma
""",
        "return sum(g * x_hat, axes)",
        "return sum(g, axes)",
    ],
    "generator_losses": [
        "return -g * sigmoid(fake) / fake.size",
        "value = -np.mean(np.logaddexp(0, fake.data))",
        "return g * (sigmoid(fake) - 1) / fake.size",
        "value = np.mean(np.logaddexp(0, -fake.data))",
    ],
    "discriminator_step": [
        """
with G.frozen():
    fake = G(noise)
real_logits, fake_logits = D(real), D(fake.detach())
loss = game.discriminator(real_logits, fake_logits)
optimizer.zero_grad()
loss.backward()
optimizer.step()
""",
    ],
    "generator_step": [
        """
fake = G(noise)
with D.frozen():
    fake_logits = D(fake)
loss = game.generator(fake_logits)
optimizer.zero_grad()
loss.backward()
optimizer.step()
return {"g_loss": loss.detach()}
"""
    ],
    "wasserstein": [
        "return mean(fake) - mean(real)",
        """
(slope,) = grad(critic(between).sum(), between, create_graph=True)
squares = reshape(slope, (n, -1)) ** 2
norm = sqrt(sum(squares, axis=1) + 1e-12)
return mean((norm - 1) ** 2)
""",
    ],
}


def written(name, *codes):
    """The source of the exercise with these codes in the place of each `raise`, in order."""
    source = (STUBS / find(name).file).read_text("utf-8")
    for code in codes:

        def indented(match, code=code):
            return "\n".join(match[1] + line for line in code.strip("\n").splitlines())

        source = NOT_WRITTEN.sub(indented, source, count=1)
    assert "not written yet" not in source, name
    return source


def solved(name, *changes):
    """The source of the solved exercise, with (old, new) changes to it."""
    source = written(name, *SOLUTIONS[name])
    for old, new in changes:
        assert old in source, (name, old)
        source = source.replace(old, new)
    return source
