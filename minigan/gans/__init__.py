"""The papers, one a file. GANS is their list: to add one, write its file and name it here."""

from minigan.gan import GAN
from minigan.gans.conditional import ConditionalGAN
from minigan.gans.dcgan import DCGAN
from minigan.gans.gan import OriginalGAN
from minigan.gans.wgan import WGAN
from minigan.gans.wgan_gp import WGANGP

GANS: dict[str, type[GAN]] = {
    "gan": OriginalGAN,
    "dcgan": DCGAN,
    "conditional": ConditionalGAN,
    "wgan": WGAN,
    "wgan_gp": WGANGP,
}


def find_gan(name: str) -> type[GAN]:
    """The GAN of this name; raises ValueError if there is none."""
    if not isinstance(name, str) or name not in GANS:
        raise ValueError(f"there is no GAN {name!r}: choose one of {', '.join(GANS)}")
    return GANS[name]
