"""How good are the digits of a run? Figures from a small classifier that is trained here, with minigan itself.

    python tests/benchmarks/quality.py runs/mnist-conditional

It prints, for real digits that the classifier has not seen and for samples of the run's generator, the share that
the classifier reads with more than 90 % confidence, the share of each class that it reads, and the Frechet distance
of its features to those of MNIST's test images. A minute on two cores.
"""

import sys
from pathlib import Path

import numpy as np

from minigan import Tensor, no_grad, ops
from minigan.data import DataLoader, load_mnist
from minigan.fast.threads import blas_threads
from minigan.metrics import frechet_distance
from minigan.nn import Conv2d, Flatten, LeakyReLU, Linear, Sequential
from minigan.optim import Adam
from minigan.run import Run

HELD_BACK = 10_000  # training images that the classifier does not see: the real digits to compare with
EPOCHS = 4


def train_classifier(images: np.ndarray, labels: np.ndarray) -> Sequential:
    """(N, 1, 28, 28) -> 64 features -> 10 logits, by softmax cross-entropy."""
    rng = np.random.default_rng(1)
    features = Sequential(
        *(Conv2d(1, 16, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1)),
        *(Conv2d(16, 32, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1)),
        *(Flatten(), Linear(32 * 7 * 7, 64, rng=rng), LeakyReLU(0.1)),
    )
    classifier = Sequential(features, Linear(64, 10, rng=rng))
    optimizer = Adam(classifier.parameters())
    loader = DataLoader({"images": images, "labels": labels}, batch_size=100, seed=1)
    for epoch in range(EPOCHS):
        optimizer.lr = 1e-3 * (1 - epoch / EPOCHS)
        for batch in loader:
            x, t = batch["images"], batch["labels"]
            with blas_threads(1):
                logits = classifier(x)
                loss = (ops.logsumexp(logits, axis=1) - logits[np.arange(len(t)), t]).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return classifier


def read(classifier: Sequential, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 64) and class probabilities (N, 10)."""
    features, logits = [], []
    with no_grad():
        for i in range(0, len(images), 500):
            h = classifier[0](Tensor(images[i : i + 500]))
            features.append(h.numpy())
            logits.append(classifier[1](h).numpy())
    z = np.concatenate(logits)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.concatenate(features), e / e.sum(axis=1, keepdims=True)


def report(name: str, classifier: Sequential, images: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Print the figures of some images; returns the classes that the classifier reads."""
    features, p = read(classifier, images)
    classes = p.argmax(axis=1)
    shares = " ".join(f"{share:.3f}" for share in np.bincount(classes, minlength=10) / len(images))
    distance, readable = frechet_distance(features, real), (p.max(axis=1) > 0.9).mean()
    print(f"{name:<12} Frechet {distance:6.2f}   readable {readable:.3f}   classes {shares}")
    return classes


def main(folder: Path) -> None:
    """Train the classifier, then report on real digits and on the run's samples."""
    images, labels = load_mnist("train")
    test_images, test_labels = load_mnist("test")
    classifier = train_classifier(images[:-HELD_BACK], labels[:-HELD_BACK])
    test_features, p = read(classifier, test_images)
    print(f"accuracy on the test images: {(p.argmax(axis=1) == test_labels).mean():.4f}")
    report("real", classifier, images[-HELD_BACK:], test_features)
    gan = Run.open(folder).gan
    noise = np.random.default_rng(1).standard_normal((HELD_BACK, gan.noise_dim), dtype=np.float32)
    classes = report("generated", classifier, gan.sample(noise), test_features)
    if "labels" in gan.needs():
        print(f"read as the digit that was asked for: {(classes == np.arange(HELD_BACK) % 10).mean():.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
