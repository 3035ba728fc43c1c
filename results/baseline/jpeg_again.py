"""Every image of the binary version of CIFAR-10 through JPEG once more, on a grid of blocks shifted by 4 pixels.

    python3 jpeg_again.py FROM TO        # folders; quality 75, colour at half the resolution

On the old grid a second pass would change next to nothing. Prints the root mean square of the change of a pixel (of
255). Needs NumPy and Pillow.
"""

import io
import os
import sys
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

RECORD, MARGIN = 3073, 12


def again(record):
    image = np.frombuffer(record[1:], np.uint8).reshape(3, 32, 32).transpose(1, 2, 0)
    image = np.pad(image, ((MARGIN, 4), (MARGIN, 4), (0, 0)), mode="edge")
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=75, subsampling=2)
    image = np.asarray(Image.open(packed).convert("RGB"))[MARGIN : MARGIN + 32, MARGIN : MARGIN + 32]
    return record[:1] + image.transpose(2, 0, 1).tobytes()


def main(source, target):
    os.makedirs(target, exist_ok=True)
    squares = []
    with Pool() as pool:
        for path in sorted(Path(source).glob("*.bin")):
            old = path.read_bytes()
            records = [old[i : i + RECORD] for i in range(0, len(old), RECORD)]
            new = b"".join(pool.map(again, records, chunksize=500))
            (Path(target) / path.name).write_bytes(new)
            a, b = (np.frombuffer(x, np.uint8).reshape(-1, RECORD)[:, 1:].astype(float) for x in (old, new))
            squares.append(((a - b) ** 2).mean())
    print(f"changed by {np.mean(squares) ** 0.5:.2f} of 255 (root mean square)")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
