"""Your own images, from a folder of pictures, an .npz file or an IDX file."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from minigan.checks import check_integer
from minigan.data.idx import read_idx_images, scale_pixels

SUFFIXES = (".png", ".jpg", ".jpeg")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # the brightness of red, green and blue (ITU-R BT.601)


def load_images(path: str | Path, size: int | None = None, channels: int | None = None) -> np.ndarray:
    """Load images as float32 `(N, C, H, W)` in [-1, 1].

    path: one of
      - a folder of PNG or JPEG files, sorted by name; sub-folders and other files are ignored;
      - an .npz file with one array, or one called `images`, of shape (N, H, W), (N, C, H, W) or (N, H, W, C),
        tried in this order, C 1 or 3. uint8 is 0..255; floats are [-1, 1] if any is negative, else [0, 1];
      - an IDX file of uint8 images, plain or gzip.
    size: cut the middle square out and resize it to size x size; without it all pictures must have one size.
    channels: 1 or 3 converts to grey or colour; without it all pictures must be of one kind.
    Raises FileNotFoundError for a missing path, ValueError for anything else that is wrong.
    """
    path = Path(path)
    if size is not None:
        check_integer("size", size, low=1)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 or 3, not {channels!r}")
    if path.is_dir():
        images = scale_pixels(_read_folder(path, size, channels))
    elif not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    elif path.suffix.lower() == ".npz":
        images = _to_images(_read_npz(path), path)
    elif path.suffix.lower() in ("", ".gz") or "idx" in path.name:
        images = scale_pixels(read_idx_images(path))[:, None]
    else:
        raise ValueError(f"{path}: give a folder of PNG or JPEG files, an .npz file or an IDX file")
    if size is not None and images.shape[2:] != (size, size):
        images = _resize(images, size)
    if channels == 3:
        images = np.repeat(images, 3 // images.shape[1], axis=1)
    if channels == 1 and images.shape[1] == 3:
        images = np.einsum("nchw,c->nhw", images, LUMA)[:, None]
    return images


def open_picture(path: str | Path) -> Image.Image:
    """Open a PNG or JPEG as 8-bit grey ("L") or colour ("RGB"), turned upright, on white if transparent."""
    with open(path, "rb") as file:
        try:
            image = ImageOps.exif_transpose(Image.open(file, formats=("PNG", "JPEG")))
            mode = "L" if image.mode in ("1", "L", "LA", "I", "I;16") else "RGB"
            if image.mode.startswith("I"):  # 16-bit grey
                image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            if image.has_transparency_data:
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
            return image.convert(mode)
        except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
            raise ValueError(f"{path}: cannot be read as a PNG or JPEG picture ({error})") from None


def _read_folder(folder: Path, size: int | None, channels: int | None) -> np.ndarray:
    """Read the pictures of a folder, uint8 `(N, C, H, W)`."""
    paths = sorted(p for p in folder.glob("[!.]*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise ValueError(f"{folder}: holds no PNG or JPEG files (sub-folders are not searched)")
    pictures, kinds = [], []
    for path in paths:
        picture = open_picture(path)
        if channels:
            picture = picture.convert("L" if channels == 1 else "RGB")
        if size:
            picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
        kinds.append(f"{picture.width}x{picture.height} {'grey' if picture.mode == 'L' else 'colour'}")
        if kinds[-1] != kinds[0]:
            raise ValueError(f"{paths[0]} is {kinds[0]}, {path.name} is {kinds[-1]}: choose size or channels")
        pictures.append(np.atleast_3d(picture).transpose(2, 0, 1))  # (C, H, W)
    return np.stack(pictures)


def _read_npz(path: Path) -> np.ndarray:
    """Read the image array of an .npz file. Pickled objects are refused: unpickling can run any code."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return np.asarray(archive[archive.files[0] if len(archive.files) == 1 else "images"])
    except Exception as error:  # zip, zlib and NumPy raise their own kinds
        raise ValueError(f"{path}: no .npz file with one array or one named 'images' ({error})") from None


def _to_images(array: np.ndarray, path: Path) -> np.ndarray:
    """Bring an array of any layout and range that load_images allows to float32 `(N, C, H, W)` in [-1, 1]."""
    images = array[:, None] if array.ndim == 3 else array
    if images.ndim == 4 and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.size == 0:
        raise ValueError(f"{path}: need (N, H, W), (N, C, H, W) or (N, H, W, C), C 1 or 3, not {array.shape}")
    if images.dtype == np.uint8:
        return scale_pixels(images)
    if images.dtype.kind != "f":
        raise ValueError(f"{path}: the images must be uint8 (0..255) or float, not {images.dtype}")
    low, high = images.min(), images.max()
    if not (-1 <= low and high <= 1):  # a NaN fails this too
        raise ValueError(f"{path}: floats must lie in [-1, 1] or [0, 1], but reach from {low} to {high}")
    images = images.astype(np.float32)
    return images if low < 0 else 2 * images - 1


def _resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resize each plane of `(N, C, H, W)`; bilinear weights are positive, so no value leaves [-1, 1]."""
    resized = np.empty((*images.shape[:2], size, size), np.float32)
    for i, c in np.ndindex(images.shape[:2]):
        resized[i, c] = ImageOps.fit(Image.fromarray(images[i, c]), (size, size), Image.Resampling.BILINEAR)
    return resized
