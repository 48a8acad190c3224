"""Your own images and their labels, from a folder of pictures, an .npz file or an IDX file."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from minigan.checks import check_integer
from minigan.data.idx import check_labels, labels_beside, read_idx_images, read_idx_labels, scale_pixels, train_images

SUFFIXES = (".png", ".jpg", ".jpeg")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # the brightness of red, green and blue (ITU-R BT.601)


def load_images(path: str | Path, size: int | None = None, channels: int | None = None) -> np.ndarray:
    """Load images as float32 `(N, C, H, W)` in [-1, 1].

    path: one of
      - a folder of PNG or JPEG files, sorted by name; other files are ignored;
      - a folder of such folders, one for each class;
      - a folder with the IDX files of MNIST or a relative of it, whose images are `train-images-idx3-ubyte` alone;
      - an .npz file with one array, or one called `images`, of shape (N, H, W), (N, C, H, W) or (N, H, W, C),
        tried in this order, C 1 or 3. uint8 is 0..255; floats are [-1, 1] if any is negative, else [0, 1];
      - an IDX file of uint8 images, plain or gzip. (EMNIST's images come with rows and columns exchanged.)
    size: cut the middle square out and resize it to size x size; without it all pictures must have one size.
    channels: 1 or 3 converts to grey or colour; without it all pictures must be of one kind.
    Raises FileNotFoundError for a missing path, ValueError for anything else that is wrong.
    """
    return load_with_labels(path, size, channels)["images"]


def load_with_labels(path: str | Path, size: int | None = None, channels: int | None = None) -> dict[str, np.ndarray]:
    """Load `{"images": (N, C, H, W)}` as load_images does and, where `path` has labels, `"labels"`, int64 `(N,)`.

    Labels are: the sub-folder's number, in the order of their names; the array `labels` of an .npz file; an IDX
    file's `labels-idx1` beside its `images-idx3`. Raises ValueError where they do not fit; see check_labels.
    """
    path = Path(path)
    if size is not None:
        check_integer("size", size, low=1)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 or 3, not {channels!r}")
    images, labels = _read(path, size, channels)
    if size is not None and images.shape[2:] != (size, size):
        images = _resize(images, size)
    if channels == 3:
        images = np.repeat(images, 3 // images.shape[1], axis=1)
    if channels == 1 and images.shape[1] == 3:
        images = np.einsum("nchw,c->nhw", images, LUMA)[:, None]
    return {"images": images} if labels is None else {"images": images, "labels": labels}


def class_folders(path: Path) -> list[Path]:
    """The sub-folders whose pictures are a class each, sorted by name; none where `path` has no classes of this kind.

    Raises ValueError where pictures lie beside the sub-folders too, or where only some of these hold any.
    """
    if not path.is_dir() or train_images(path):
        return []
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    classes = [folder for folder in folders if _pictures(folder)]
    if classes and (beside := _pictures(path)):
        raise ValueError(
            f"{path}: pictures lie both in it ({beside[0].name}) and in its sub-folder {classes[0].name}: "
            "put all of them into sub-folders, one for each class, or none"
        )
    if classes and len(classes) < len(folders):
        empty = next(folder for folder in folders if folder not in classes)
        raise ValueError(
            f"{empty}: each sub-folder is a class, but this one holds no PNG or JPEG files: fill it or take it away"
        )
    return classes


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


def _read(path: Path, size: int | None, channels: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images, float32 `(N, C, H, W)`, and labels `(N,)` or None; size and channels bring unlike pictures together."""
    if path.is_dir():
        images = train_images(path)
        if images is None:
            pixels, labels = _read_folder(path, size, channels)
            return scale_pixels(pixels), labels
        path = images
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ".npz":
        return _read_npz(path)
    if path.suffix.lower() in ("", ".gz") or "idx" in path.name:
        pixels, labels = read_idx_images(path), labels_beside(path)
        return scale_pixels(pixels)[:, None], None if labels is None else read_idx_labels(labels, len(pixels))
    raise ValueError(f"{path}: give a folder of PNG or JPEG files, an .npz file or an IDX file")


def _pictures(folder: Path) -> list[Path]:
    """The PNG and JPEG files that lie in a folder, sorted by name."""
    paths = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in paths if not path.name.startswith("."))


def _read_folder(folder: Path, size: int | None, channels: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the pictures of a folder, uint8 `(N, C, H, W)`, and their labels `(N,)`: None without class folders."""
    classes = class_folders(folder)
    groups = [_pictures(each) for each in classes or [folder]]
    paths = [path for group in groups for path in group]
    if not paths:
        raise ValueError(
            f"{folder}: holds no PNG or JPEG files, neither itself nor in sub-folders (one for each class), "
            "and no train-images-idx3-ubyte: give another folder"
        )
    pictures, kinds = [], []
    for path in paths:
        picture = open_picture(path)
        if channels:
            picture = picture.convert("L" if channels == 1 else "RGB")
        if size:
            picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
        kinds.append(f"{picture.width}x{picture.height} {'grey' if picture.mode == 'L' else 'colour'}")
        if kinds[-1] != kinds[0]:
            name = path.relative_to(folder)
            raise ValueError(f"{paths[0]} is {kinds[0]}, {name} is {kinds[-1]}: choose size or channels")
        pictures.append(np.atleast_3d(picture).transpose(2, 0, 1))  # (C, H, W)
    labels = np.repeat(np.arange(len(groups), dtype=np.int64), [len(group) for group in groups])
    return np.stack(pictures), labels if classes else None


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images and perhaps labels of an .npz file. Pickled objects are refused: unpickling can run any code."""
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                images = np.asarray(archive[archive.files[0] if len(archive.files) == 1 else "images"])
                labels = np.asarray(archive["labels"]) if {"images", "labels"} <= set(archive.files) else None
        except Exception as error:  # zip, zlib and NumPy raise their own kinds
            what = "one array, or `images` and perhaps `labels`"
            raise ValueError(f"{path}: cannot be read as an .npz file with {what} ({error})") from None
    images = _to_images(images, path)
    return images, None if labels is None else check_labels(labels, len(images), path)


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
