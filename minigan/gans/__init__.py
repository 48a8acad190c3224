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
