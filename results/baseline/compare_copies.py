"""How a copy of CIFAR-10 differs from the official images.

    python3 compare_copies.py OFFICIAL COPY     # files of the binary version; OFFICIAL may end early

Finds for every official image the nearest one of the copy. Prints the root mean square of their difference (of 255),
and the share of the power that the copy keeps at each spatial frequency, of brightness and of colour. Needs NumPy.
"""

import sys

import numpy as np

BANDS = [(0, 0.125), (0.125, 0.25), (0.25, 0.375), (0.375, 0.8)]


def images(file):
    raw = np.fromfile(file, np.uint8)
    return raw[: len(raw) // 3073 * 3073].reshape(-1, 3073)[:, 1:].astype(np.float32)


def channels(x):
    red, green, blue = x.reshape(-1, 3, 1024).transpose(1, 0, 2)
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    return {"brightness": brightness, "red": red - brightness, "blue": blue - brightness}


def power(channel):
    spectrum = np.abs(np.fft.fft2((channel - channel.mean(1, keepdims=True)).reshape(-1, 32, 32))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    bands = [(frequency >= low) & (frequency < high) for low, high in BANDS]
    return np.array([spectrum[:, band].sum(1).mean() for band in bands])


def main(official, copy):
    a, b = images(official), images(copy)
    distance = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    b = b[distance.argmin(1)]
    print(f"{len(a)} images: {((a - b) ** 2).mean() ** 0.5:.2f} of 255 (root mean square)")
    print("power kept, cycles per pixel:", "   ".join(f"{low} to {high}" for low, high in BANDS))
    kept = channels(b)
    for name, channel in channels(a).items():
        print(f"  {name}:", "  ".join(f"{100 * share:.0f} %" for share in power(kept[name]) / power(channel)))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
