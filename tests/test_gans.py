"""The papers: what must hold for every GAN in the registry, whoever adds one, and what each of them promises."""

import copy
import inspect
import re
from contextlib import nullcontext

import numpy as np
import pytest

import minigan
from minigan import Tensor, losses, plots
from minigan.data import DataLoader
from minigan.gan import GAN, draw_noise, train
from minigan.gans import GANS, WGAN, WGANGP, ConditionalGAN, OriginalGAN
from minigan.gans.about import About, Setting, about
from minigan.gans.gan import discriminator_step, generator_step
from minigan.networks import dcgan_discriminator, dcgan_generator
from minigan.nn import Module, Parameter
from minigan.optim import Adam, Optimizer
from minigan.run import arrays_for, shapes_of

# --- tiny data of every kind, and the papers that take it ------------------------------------------------------

CLASSES, COUNT = 3, 24
TINY = {"batch_size": 4, "epochs": 2, "width": 4, "critic_steps": 2}  # where a paper has these settings


def tiny_data(kind):
    """Every array that a data set of this kind can have. A new kind of array, such as text, has to be added here."""
    rng = np.random.default_rng(7)
    if kind == "points":
        return {"points": rng.standard_normal((COUNT, 2)).astype(np.float32)}
    shape = {"images 8x8": (1, 8, 8), "images 20x28": (3, 20, 28)}[kind]
    draw = lambda: rng.uniform(-1, 1, (COUNT, *shape)).astype(np.float32)
    return {"images": draw(), "labels": np.arange(COUNT) % CLASSES, "a": draw(), "b": draw()}


def takes(name, kind):
    samples = {"points", "images"} & set(tiny_data(kind))
    return set(GANS[name].needs()) <= {"samples", *tiny_data(kind)} and bool(samples)


KINDS = ["points", "images 8x8", "images 20x28"]
CASES = [pytest.param(name, kind, id=f"{name}, {kind}") for name in GANS for kind in KINDS if takes(name, kind)]
SMALLEST = [next(case for case in CASES if case.values[0] == name) for name in GANS]  # one kind for each
every_paper = pytest.mark.parametrize(("name", "kind"), SMALLEST)
every_case = pytest.mark.parametrize(("name", "kind"), CASES)


def tiny_settings(name, **settings):
    return {key: value for key, value in TINY.items() if key in about(GANS[name]).settings} | settings


def make(name, kind, seed=0, **settings):
    shapes = shapes_of(arrays_for(name, tiny_data(kind)))
    return GANS[name](shapes, np.random.default_rng(seed), **tiny_settings(name, **settings))


def loader_of(gan, name, kind, seed=0):
    return DataLoader(arrays_for(name, tiny_data(kind)), batch_size=gan.samples_per_step, seed=seed)


def steps(gan, name, kind, n=3):
    """Make n steps; returns their figures, as the steps return them."""
    loader, figures = loader_of(gan, name, kind), []
    for epoch in range(n):
        for batch in loader.batches(epoch):
            figures.append(gan.step(np.random.default_rng([0, 1, gan.steps]), **batch))
            gan.steps += 1
            if len(figures) == n:
                return figures
    raise AssertionError("too few data")


def all_bytes(gan):
    return {name: array.tobytes() for name, array in gan.arrays().items()}


def optimizers(gan):
    return {name: value for name, value in vars(gan).items() if isinstance(value, Optimizer)}


def test_every_paper_is_covered():
    assert {case.values[0] for case in CASES} == set(GANS), "tiny_data() has to make what a new paper needs"


# --- what a paper's file says about itself ---------------------------------------------------------------------


@pytest.mark.parametrize("name", GANS)
def test_every_paper_tells_its_name_its_data_and_its_settings(name):
    paper = about(GANS[name])
    assert paper.new[0].isupper() and paper.new[-1] != "." and paper.paper[-4:].isdigit()
    assert paper.needs == GANS[name].needs() != []
    assert {"batch_size", "epochs"} <= set(paper.settings)
    for setting, value in paper.settings.items():
        assert value.default is not inspect.Parameter.empty, f"{setting} needs a default"
        assert isinstance(value.default, int | float | str | tuple), f"{setting} cannot stand in config.json"
        assert not isinstance(value.default, bool), f"{setting}: the command line has no form for yes and no"
        assert len(value.help) > 10 and value.help[-1] != ".", setting
    assert list(inspect.signature(GANS[name]).parameters)[:2] == ["shapes", "rng"]
    lines = re.findall(r"^(\w+)  +\S", inspect.getdoc(GANS[name]), re.MULTILINE)
    assert lines == list(paper.settings), "a line for each setting, in their order, and none for what is no setting"


def test_about_reads_the_docstring_and_the_signature():
    class Paper(GAN):
        """D sees what G (a network) does (Ada, Grace and others, 2031).

        More words.

        depth       how deep,  or not
        lr_g        the rate
        """

        def __init__(self, shapes, rng, *, depth: int = 3, lr_g: float = 0.1) -> None: ...

        def step(self, rng, a, b): ...

    settings = {"depth": Setting(3, "how deep,  or not"), "lr_g": Setting(0.1, "the rate")}
    assert about(Paper) == About("D sees what G (a network) does", "Ada, Grace and others, 2031", ["a", "b"], settings)


def test_about_says_what_is_missing():
    class NoPaper(GAN):
        """Some new words."""

    class NoLine(GAN):
        """Some new words (Ada, 2031).

        depth  how deep
        """

        def __init__(self, shapes, rng, *, depth=1, height=2) -> None: ...

    class NoWords(GAN):
        def __init__(self, shapes, rng) -> None: ...

    NoWords.__doc__ = ""
    for paper in (NoPaper, NoWords):
        with pytest.raises(
            ValueError, match=r"No\w+: the first line of its docstring must end in '\(authors, year\)\.'"
        ):
            about(paper)
    with pytest.raises(ValueError, match="NoLine: its docstring needs a line 'height  help', with two spaces or more"):
        about(NoLine)

    class NoDefault(GAN):
        """Some new words (Ada, 2031).

        depth  how deep
        """

        def __init__(self, shapes, rng, *, depth) -> None: ...

    with pytest.raises(ValueError, match="NoDefault: the setting depth needs a default"):
        about(NoDefault)


# --- a step ----------------------------------------------------------------------------------------------------


@every_case
def test_three_steps(name, kind):
    """Figures are detached tensors of one finite number each, and float32 stays float32 everywhere."""
    gan = make(name, kind)
    for figures in steps(gan, name, kind):
        assert any(figure.endswith("_loss") for figure in figures)
        for figure in figures.values():
            assert isinstance(figure, Tensor) and figure.size == 1 and np.isfinite(figure.item())
            assert figure.parents == () and not figure.requires_grad and figure.dtype == np.float32
    gradients = [p.grad for optimizer in optimizers(gan).values() for p in optimizer.parameters]
    assert all(g.dtype == np.float32 and g.parents == () and not g.requires_grad for g in gradients)
    types = {key: array.dtype for key, array in gan.arrays().items()}
    assert {types.pop(f"{optimizer}.steps") for optimizer in optimizers(gan)} == {np.dtype("int64")}
    assert set(types.values()) == {np.dtype("float32")}
    assert next(train(gan, loader_of(gan, name, kind))).keys() == figures.keys()


def watch_statistics(gan, note):
    """Call note(layer's network, whether its statistics moved) at every call of a layer with running statistics."""
    for network in gan.networks().values():
        for layer in network.modules():
            if statistics := [
                t for t in vars(layer).values() if isinstance(t, Tensor) and not isinstance(t, Parameter)
            ]:

                def forward(x, layer=layer, statistics=statistics, network=network):
                    before = [t.numpy().tobytes() for t in statistics]
                    y = type(layer).forward(layer, x)
                    note(network, [t.numpy().tobytes() for t in statistics] != before)
                    return y

                layer.forward = forward


@pytest.mark.parametrize("plain", [False, True], ids=["fast", "plain"])
@every_case
def test_each_half_of_a_step_leaves_the_other_player_alone(name, kind, plain):
    """Which half? What happens up to an optimizer's step belongs to it, and it may change its own players only.

    For every optimizer X, over three steps:
    1. Between one step of an optimizer and the next, layers with running statistics are called. Those of a network of
       which X has no parameter keep all bits of them when the next is X's; those of X's own networks move.
    2. A step of X leaves the gradients of all other parameters as they are.
    3. With X's learning rate 0, no bit of X's parameters changes: nobody else moves them. All others move.
    And after a step nothing is frozen, and all networks train that trained before.
    """
    gan = make(name, kind)
    calls, halves = [], {key: [] for key in optimizers(gan)}
    watch_statistics(gan, lambda network, moved: calls.append((network, moved)))
    everything = dict.fromkeys(p for optimizer in optimizers(gan).values() for p in optimizer.parameters)
    modes = [(module, module.training) for network in gan.networks().values() for module in network.modules()]

    def half(key, optimizer, zero_grad, step):
        strangers = [p for p in everything if p not in set(optimizer.parameters)]
        held = []

        def watched_zero_grad():
            held[:] = [p.grad for p in strangers]
            zero_grad()

        def watched_step():
            assert all(p.grad is before for p, before in zip(strangers, held, strict=True)), "2: a gradient changed"
            assert all(p.grad is not None for p in optimizer.parameters)
            step()
            halves[key] += calls
            calls.clear()

        return watched_zero_grad, watched_step

    for key, optimizer in optimizers(gan).items():
        optimizer.zero_grad, optimizer.step = half(key, optimizer, optimizer.zero_grad, optimizer.step)
    with minigan.plain() if plain else nullcontext():
        steps(gan, name, kind)
    assert calls == [], "layers ran after the last optimizer's step"
    for key, optimizer in optimizers(gan).items():
        for network, moved in halves[key]:
            own = bool(set(network.parameters()) & set(optimizer.parameters))
            assert moved == own, f"1: in the half of {key}"
    for module, training in modes:
        assert module.training == training and not module.is_frozen
    assert all(p.requires_grad for p in everything)

    for key in optimizers(gan):
        gan = make(name, kind)
        optimizers(gan)[key].lr = 0.0
        before = all_bytes(gan)
        with minigan.plain() if plain else nullcontext():
            steps(gan, name, kind)
        still = set(optimizers(gan)[key].parameters)
        for network, value in gan.networks().items():
            for parameter, tensor in value.state().items():
                changed = before[f"{network}.{parameter}"] != tensor.numpy().tobytes()
                if tensor in still:
                    assert not changed, f"3: {key} has a rate of 0, and {network}.{parameter} changed"
                elif network != "average" and tensor.grad is not None and tensor.grad.numpy().any():
                    assert changed, f"{network}.{parameter} stood still"


@every_case
def test_random_numbers_come_from_seed_and_step_alone(name, kind):
    """Whatever is drawn or looked at in between."""
    straight, looked_at = make(name, kind), make(name, kind)
    figures = list(train(straight, loader_of(straight, name, kind, seed=5)))
    seen = []
    for line in train(looked_at, loader_of(looked_at, name, kind, seed=5)):
        seen.append(line)
        np.random.seed(3)
        looked_at.preview(np.random.default_rng(len(seen)))
    assert seen == figures and all_bytes(looked_at) == all_bytes(straight)
    other = make(name, kind)
    assert list(train(other, loader_of(other, name, kind, seed=6))) != figures
    assert all_bytes(make(name, kind, seed=1)) != all_bytes(make(name, kind))


def inputs_of(network):
    """A list that gets the input of every call of this network from now on."""
    seen = []

    def forward(x):
        seen.append(x.numpy().copy())
        return type(network).forward(network, x)

    network.forward = forward
    return seen


@every_case
def test_every_batch_of_fakes_is_of_fresh_noise(name, kind):
    """In each half of a step, and in every step: noise that both halves shared would make them answer each other."""
    gan = make(name, kind)
    if not hasattr(gan, "noise_dim"):
        pytest.skip("it draws no noise")
    seen = inputs_of(gan.G)
    steps(gan, name, kind)
    noise = [z[:, : gan.noise_dim] for z in seen]
    assert len(noise) >= 6 and len({row.tobytes() for z in noise for row in z}) == sum(len(z) for z in noise)
    values = np.concatenate([z.ravel() for z in noise])
    assert abs(values.mean()) < 5 / values.size**0.5 and abs(values.std() - 1) < 5 / values.size**0.5
    again = make(name, kind)
    seen_again = inputs_of(again.G)
    steps(again, name, kind)
    assert [z.tobytes() for z in seen_again] == [z.tobytes() for z in seen]


# --- checkpoints -----------------------------------------------------------------------------------------------


@every_case
def test_going_on_from_a_checkpoint_gives_the_same_bytes(tmp_path, name, kind):
    straight, stopped, resumed = make(name, kind), make(name, kind), make(name, kind, seed=9)
    loader = loader_of(straight, name, kind, seed=2)
    figures = list(train(straight, loader))
    middle = len(loader) + 1  # in the second epoch
    assert straight.steps == len(figures) == 2 * len(loader) > middle
    for _ in train(stopped, loader):
        if stopped.steps == middle:
            stopped.save(tmp_path / "c.safetensors")
            break
    resumed.load(tmp_path / "c.safetensors")
    for key, optimizer in optimizers(resumed).items():
        assert optimizer.steps.tolist() == optimizers(stopped)[key].steps.tolist() and optimizer.steps.min() >= middle
    assert list(train(resumed, loader)) == figures[middle:]
    assert all_bytes(resumed) == all_bytes(straight)


def held(value, path="gan", seen=None):
    """Every array, number, text and generator that `value` holds, however deep, but for gradients: {path: it}."""
    seen = {} if seen is None else seen
    if id(value) in seen or isinstance(value, type) or callable(getattr(value, "__code__", None)):
        return {}
    if isinstance(value, np.ndarray | np.random.Generator | int | float | str | bool | None):
        return {path: value}
    seen[id(value)] = value
    if isinstance(value, Tensor):
        return held(value.data, f"{path}.data", seen)
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple | set):
        parts = enumerate(value)
    else:
        parts = getattr(value, "__dict__", {}).items()
    return {key: leaf for name, part in parts for key, leaf in held(part, f"{path}.{name}", seen).items()}


def test_held_finds_what_is_hidden():
    class Hidden:
        def __init__(self):
            self.array, self.deep = np.zeros(2), [{"k": (Tensor(np.ones(3)), 5)}, np.random.default_rng(0)]

    assert set(held(Hidden())) == {"gan.array", "gan.deep.0.k.0.data", "gan.deep.0.k.1", "gan.deep.1"}


@every_case
def test_all_that_a_step_changes_is_in_the_checkpoint(name, kind):
    """Or a resumed run would differ: arrays, and numbers beside `steps`. No GAN keeps a random generator of its own."""
    gan = make(name, kind)
    for network in gan.networks().values():
        with network.frozen():  # which sets a mark on each layer
            pass
    before = {key: copy.deepcopy(value) for key, value in held(gan).items()}
    assert not any(isinstance(value, np.random.Generator) for value in before.values())
    steps(gan, name, kind)
    after = held(gan)
    assert after.keys() == before.keys(), "the step made something new"
    saved = {id(array) for array in gan.arrays().values()}
    for key, value in after.items():
        if isinstance(value, np.ndarray):
            assert value.tobytes() == before[key].tobytes() or id(value) in saved, f"{key} is not saved"
        elif key != "gan.steps":
            assert value == before[key], f"{key} is not saved"


@every_case
def test_a_step_changes_every_array(name, kind):
    """But those whose gradient is exactly 0, as that of a critic's last bias: it moves both means alike."""
    gan = make(name, kind)
    before = all_bytes(gan)
    steps(gan, name, kind)
    after, idle = all_bytes(gan), set()
    for key, optimizer in optimizers(gan).items():
        idle |= {
            f"{key}.{i}.{memory}"
            for i, p in enumerate(optimizer.parameters)
            if not p.grad.numpy().any()
            for memory in optimizer.remembers
        }
    for key, network in gan.networks().items():
        idle |= {
            f"{key}.{parameter}"
            for parameter, t in network.state().items()
            if t.grad is not None and not t.grad.numpy().any()
        }
    assert {key for key in before if before[key] == after[key]} <= idle
    assert len(idle) <= 3


# --- samples ---------------------------------------------------------------------------------------------------


def labels_for(gan, n):
    """What sample() takes beside the noise: the same class for all, where there are classes."""
    return {"labels": np.ones(n, int)} if "labels" in inspect.signature(gan.sample).parameters else {}


@every_case
def test_samples_come_from_the_average_with_running_statistics(name, kind):
    gan = make(name, kind)
    if not hasattr(gan, "noise_dim"):
        pytest.skip("it draws no noise")
    noise = np.random.default_rng(1).standard_normal((130, gan.noise_dim)).astype(np.float32)
    samples = gan.sample(noise, **labels_for(gan, 130))
    data = tiny_data(kind)
    assert samples.shape == (130, *data.get("images", data.get("points")).shape[1:]) and samples.dtype == np.float32
    one = gan.sample(noise[100:101], **labels_for(gan, 1))
    np.testing.assert_allclose(samples[100:101], one, atol=1e-5)  # no batch statistics
    steps(gan, name, kind)
    trained = gan.sample(noise, **labels_for(gan, 130))
    assert not np.array_equal(samples, trained)
    for key, network in gan.networks().items():
        if key != "average":
            for tensor in network.state().values():
                tensor.data[...] = np.nan
    np.testing.assert_array_equal(gan.sample(noise, **labels_for(gan, 130)), trained)


@every_case
def test_the_preview_can_be_repeated_and_drawn_and_changes_nothing(name, kind):
    gan = make(name, kind)
    steps(gan, name, kind)
    before, modes = all_bytes(gan), [m.training for network in gan.networks().values() for m in network.modules()]
    first, second, other = (gan.preview(np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert first.tobytes() == second.tobytes() and first.dtype == np.float32
    assert other.shape == first.shape and not np.array_equal(first, other)
    data = tiny_data(kind)
    assert plots.draw(first, data.get("points", data.get("images"))).width >= 300
    assert all_bytes(gan) == before
    assert modes == [m.training for network in gan.networks().values() for m in network.modules()]


# --- wrong settings: one sentence each -------------------------------------------------------------------------

WRONG = {
    "batch_size": [0, -1, 1.5, True, "4", None],
    "epochs": [0, -3, 2.0, None],
    "lr_g": [-1, -1e-9, np.nan, np.inf, "much", None],
    "lr_d": [-1, -1e-9, np.nan, np.inf, "much", None],
    "betas": [(1.0, 0.9), (0.5, 1.0), (-0.1, 0.9), (0.5, np.nan), (0.5,), (0.5, 0.9, 0.9), ("a", "b"), 0.5, None],
    "loss": ["mse", "", None, 5, "wasserstein"],
    "width": [0, -4, 1.5, "wide", None],
    "critic_steps": [0, -1, 2.5, None],
    "clip": [0, -0.1, np.nan, np.inf, "none", None],
    "penalty": [-1, np.nan, np.inf, "none", None],
}
WORDS = {
    "lr": "learning rate",
    "lr_g": "learning rate",
    "lr_d": "learning rate",
}  # where a sentence has other words than the setting's name


def of_a_new_setting(default):
    """Values that no setting of this kind can have."""
    if isinstance(default, str):
        return ["no such thing"]
    if isinstance(default, tuple):
        return [default[:-1], (np.nan,) * len(default)]
    return [-1, 1.5] if isinstance(default, int) else [np.nan, np.inf]


@pytest.mark.parametrize(
    ("name", "kind", "setting"),
    [
        pytest.param(*case.values, s, id=f"{case.id}, {s}")
        for case in CASES
        for s in about(GANS[case.values[0]]).settings
    ],
)
def test_wrong_settings_get_a_sentence(name, kind, setting):
    default = about(GANS[name]).settings[setting].default
    for value in WRONG.get(setting) or of_a_new_setting(default):
        with pytest.raises(ValueError) as error:
            make(name, kind, **{setting: value})
        sentence = str(error.value)
        assert WORDS.get(setting, setting) in sentence, f"{value!r}: {sentence}"
        assert "\n" not in sentence and len(sentence) < 200


@every_case
def test_a_batch_of_one_is_refused_where_batch_norm_sees_it(name, kind):
    mixes = any(m.mixes_samples for network in make(name, kind).networks().values() for m in network.modules())
    if mixes:
        with pytest.raises(ValueError, match="batch_size, as batch norm takes the variance over the batch, must be"):
            make(name, kind, batch_size=1)
    else:
        steps(make(name, kind, batch_size=1), name, kind)


@pytest.mark.parametrize("name", GANS)
@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 28, 7), (1, 200, 28), (28, 28), ()])
def test_images_that_no_network_can_make_get_a_sentence(name, shape):
    """Or, where a dense network can make them after all, train."""
    shapes = {need: (CLASSES,) if need == "labels" else shape for need in GANS[name].needs()}
    try:
        GANS[name](shapes, np.random.default_rng(0), **tiny_settings(name))
    except ValueError as error:
        assert str(shape) in str(error), error


# --- the original GAN ------------------------------------------------------------------------------------------

SHAPE = (1, 16, 16)


def two_players(seed=0, norm=True):
    """Two DCGAN networks with few channels, their optimizers, and noise."""
    rng = np.random.default_rng(seed)
    G, D = dcgan_generator(8, SHAPE, width=4, rng=rng), dcgan_discriminator(SHAPE, width=4, rng=rng, norm=norm)
    return G, D, Adam(G.parameters()), Adam(D.parameters()), lambda n: draw_noise(n, 8, rng)


def images(n, seed=0):
    return Tensor(np.random.default_rng(seed).uniform(-1, 1, (n, *SHAPE)).astype(np.float32))


def changed(before, model):
    return {name for name, array in model.state_dict().items() if array.tobytes() != before[name].tobytes()}


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("loss", losses.GAMES)
def test_discriminator_step_changes_all_of_the_discriminator_and_not_a_bit_of_the_generator(loss, norm):
    G, D, _, optimizer, noise = two_players(norm=norm)
    g_before, d_before = G.state_dict(), D.state_dict()
    discriminator_step(G, D, optimizer, losses.GAMES[loss], images(6), noise(6))
    assert changed(g_before, G) == set()
    expected, moved = set(d_before), changed(d_before, D)
    if loss == "hinge":  # while all logits are inside the margins, adding a constant to all of them changes no loss:
        last_bias = list(d_before)[-1]  # the last bias has the gradient 0, or what rounding leaves of it
        expected.discard(last_bias)
        moved.discard(last_bias)
    assert moved == expected
    assert all(p.grad is None for p in G.parameters())


@pytest.mark.parametrize("loss", losses.GAMES)
def test_generator_step_changes_all_of_the_generator_and_not_a_bit_of_the_discriminator(loss):
    G, D, optimizer, _, noise = two_players()
    g_before, d_before = G.state_dict(), D.state_dict()
    generator_step(G, D, optimizer, losses.GAMES[loss], noise(6))
    assert changed(g_before, G) == set(g_before)
    assert changed(d_before, D) == set()
    assert all(p.grad is None and p.requires_grad for p in D.parameters())


def test_each_step_lowers_its_own_loss():
    G, D, g_optimizer, d_optimizer, noise = two_players()
    real, game = images(32), losses.non_saturating
    first = discriminator_step(G, D, d_optimizer, game, real, noise(32))
    for _ in range(30):
        last = discriminator_step(G, D, d_optimizer, game, real, noise(32))
    assert last["d_loss"].item() < first["d_loss"].item() / 2
    assert last["d_real"].item() > 0.8 and last["d_fake"].item() < 0.5
    first = generator_step(G, D, g_optimizer, game, noise(32))
    for _ in range(30):
        last = generator_step(G, D, g_optimizer, game, noise(32))
    assert last["g_loss"].item() < first["g_loss"].item() / 2


@pytest.mark.parametrize("name", [name for name in GANS if "loss" in about(GANS[name]).settings])
def test_every_game_trains_every_paper_that_has_the_choice(name):
    kind = next(case.values[1] for case in CASES if case.values[0] == name)
    trained = set()
    for loss in losses.GAMES:
        gan = make(name, kind, loss=loss)
        steps(gan, name, kind)
        trained.add(b"".join(all_bytes(gan).values()))
    assert len(trained) == len(losses.GAMES)


# --- the conditional GAN ---------------------------------------------------------------------------------------


def conditional():
    return make("conditional", "images 8x8")


@pytest.mark.parametrize("labels", [None, np.full(4, 3), np.full(4, -1), [0, 1, 2, 7], np.zeros((4, 1), int)])
def test_labels_that_do_not_fit_are_refused(labels):
    gan, rng = conditional(), np.random.default_rng(0)
    x = tiny_data("images 8x8")["images"][:4]
    with pytest.raises(ValueError, match="this GAN has 3 classes: give labels from 0 to 2"):
        gan.step(rng, x, labels)
    if labels is not None:
        with pytest.raises(ValueError, match="this GAN has 3 classes: give labels from 0 to 2"):
            gan.sample(np.zeros((4, gan.noise_dim), np.float32), labels)


def test_as_many_labels_as_samples():
    gan = conditional()
    with pytest.raises(ValueError, match=r"4.*3"):
        gan.sample(np.zeros((4, gan.noise_dim), np.float32), np.zeros(3, int))
    with pytest.raises(ValueError, match=r"4.*3"):
        gan.step(np.random.default_rng(0), tiny_data("images 8x8")["images"][:4], np.zeros(3, int))


def test_score_takes_one_hot_rows_of_the_shape_of_the_logits():
    """Anything else would broadcast in silence."""
    gan = conditional()
    gan.D.forward = lambda x: Tensor(np.arange(12.0).reshape(4, 3))
    one_hot, x = Tensor(np.eye(3)[[0, 2, 1, 1]]), Tensor(np.zeros((4, 1, 8, 8)))
    np.testing.assert_array_equal(gan.score(x, one_hot).numpy(), [[0], [5], [7], [10]])
    for wrong in (Tensor(np.ones(3)), Tensor(np.ones((4, 1)))):
        with pytest.raises(ValueError, match="must be one-hot, of the shape of D's output"):
            gan.score(x, wrong)


def test_labels_tell_both_players_the_class():
    """The generator's images and the discriminator's logits depend on the labels."""
    gan = conditional()
    steps(gan, "conditional", "images 8x8")
    a, b, c = gan.sample(np.zeros((3, gan.noise_dim), np.float32))
    assert not np.array_equal(a, b) and not np.array_equal(b, c)
    x = Tensor(tiny_data("images 8x8")["images"][:3])
    with gan.D.frozen():
        of_class = [gan.score(x, Tensor(np.eye(3, dtype=np.float32)[[k] * 3])).numpy() for k in range(3)]
        logits = gan.D(x).numpy()
    np.testing.assert_allclose(np.hstack(of_class), logits, atol=1e-5)


def test_without_labels_the_classes_take_turns():
    gan, noise = conditional(), np.zeros((7, 64), np.float32)
    np.testing.assert_array_equal(gan.sample(noise), gan.sample(noise, np.arange(7) % 3))
    assert not np.array_equal(gan.sample(noise), gan.sample(noise, np.zeros(7, int)))


def test_the_fakes_have_the_labels_of_the_reals():
    """Both when they are made and when they are scored."""
    gan = conditional()
    seen, scored, labels = inputs_of(gan.G), [], np.array([2, 0, 0, 1])
    gan.score = lambda images, y: scored.append(y.numpy()) or ConditionalGAN.score(gan, images, y)
    gan.step(np.random.default_rng(0), tiny_data("images 8x8")["images"][:4], labels)
    rows = [z[:, gan.noise_dim :] for z in seen]
    assert len(rows) == 2 and len(scored) == 3
    for row in rows + scored:
        np.testing.assert_array_equal(row, np.eye(3)[labels])


# --- the Wasserstein GANs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_clipped_critic_stays_clipped(kind):
    gan = make("wgan", kind, clip=0.03, lr_d=0.1)
    for n in range(3):  # from the first step on: its weights start inside too
        assert max(np.abs(p.numpy()).max() for p in gan.D.parameters()) <= np.float32(0.03), n
        assert max(np.abs(p.numpy()).max() for p in gan.G.parameters()) > 0.03
        steps(gan, "wgan", kind, n=1)


@pytest.mark.parametrize("name", ["wgan", "wgan_gp"])
@pytest.mark.parametrize("critic_steps", [1, 3])
def test_the_critic_is_taught_several_times_on_batches_of_its_own(name, critic_steps):
    gan = make(name, "points", critic_steps=critic_steps)
    assert gan.samples_per_step == 4 * critic_steps
    seen, real = inputs_of(gan.D), tiny_data("points")["points"][: gan.samples_per_step]
    with minigan.plain():  # the fast step scores reals and fakes in one pass
        gan.step(np.random.default_rng(0), real)
    assert gan.d_optimizer.steps.tolist() == [critic_steps] * 6 and gan.g_optimizer.steps.tolist() == [1] * 6
    reals = [x for x in seen if x.tobytes() in {r.tobytes() for r in np.split(real, critic_steps)}]
    np.testing.assert_array_equal(np.concatenate(reals), real)


def test_no_critic_has_batch_norm():
    for name, kind in [("wgan", "images 8x8"), ("wgan_gp", "images 8x8")]:
        assert not any(module.mixes_samples for module in make(name, kind).D.modules())


def test_the_penalty_is_taken_between_reals_and_fakes():
    """At other places in each step, somewhere on the line between a real sample and a fake."""
    gan = make("wgan_gp", "points", batch_size=4, critic_steps=1)
    fakes, scored = [], inputs_of(gan.D)

    def forward(z):
        fakes.append(type(gan.G).forward(gan.G, z))
        return fakes[-1]

    gan.G.forward = forward
    real = tiny_data("points")["points"][:4]
    with minigan.plain():
        gan.step(np.random.default_rng(0), real)
    (between,) = [x for x in scored if x.tobytes() not in (real.tobytes(), *(f.numpy().tobytes() for f in fakes))]
    t = (between - fakes[0].numpy()) / (real - fakes[0].numpy())  # the same for both coordinates
    np.testing.assert_allclose(t[:, 0], t[:, 1], rtol=1e-4)
    assert ((t > 0) & (t < 1)).all() and np.ptp(t[:, 0]) > 0.05


def test_the_weight_of_the_penalty_is_used():
    trained = [make("wgan_gp", "points", penalty=p) for p in (0.0, 10.0)]
    figures = [steps(gan, "wgan_gp", "points", n=1)[0] for gan in trained]
    assert all_bytes(trained[0]) != all_bytes(trained[1])
    for penalty, line in zip((0.0, 10.0), figures, strict=True):
        loss = penalty * line["penalty"].item() - line["distance"].item()
        assert line["d_loss"].item() == pytest.approx(loss, rel=1e-5)


def critic_alone(gan, n):
    """Teach the critic n times on reals that all lie at 3 and fakes that all lie at 0; returns the figures."""
    for p in gan.G.parameters():
        p.data[...] = 0
    real = np.full((32, 1), 3, np.float32)
    return [{k: v.item() for k, v in gan.step(np.random.default_rng(i), real).items()} for i in range(n)]


def test_both_critics_learn_how_far_the_fakes_are():
    """The best critic of slope 1 says 3; a clipped one says so too, but in units that the clipping chooses."""
    rng, settings = np.random.default_rng, {"batch_size": 32, "critic_steps": 1, "lr_g": 0.0}
    figures = critic_alone(WGANGP({"samples": (1,)}, rng(0), **settings, lr_d=3e-3), 300)
    assert np.mean([line["distance"] for line in figures[150:]]) == pytest.approx(3, rel=0.2)
    assert np.median([line["penalty"] for line in figures[150:]]) < 0.1
    figures = critic_alone(WGAN({"samples": (1,)}, rng(0), **settings, clip=0.05), 60)
    assert figures[-1]["distance"] > 10 * abs(figures[0]["distance"])
    assert all(line["d_loss"] == -line["distance"] for line in figures)


# --- every paper's data ----------------------------------------------------------------------------------------


def test_a_gan_that_is_no_image_maker_says_which_images_it_makes():
    with pytest.raises(ValueError, match=r"a DCGAN makes images \(C, H, W\) with sides of 8 to 128 pixels, not \(2,\)"):
        GANS["dcgan"]({"images": (2,)}, np.random.default_rng(0))
    assert isinstance(OriginalGAN({"samples": (1, 28, 28)}, np.random.default_rng(0)).G, Module)
    assert isinstance(ConditionalGAN({"images": SHAPE, "labels": (2,)}, np.random.default_rng(0)).D, Module)
