"""What one step of a mined loss over many devices moves and holds: a model on paper (docs/devices.md).

    python -m benchmarks.traffic        the table of the page

The row block is meant: each device compares its own rows with those of all. Its bytes are counted in tests, at 2 and 4
devices, and are the model's to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass

LABEL, MASK, COUNT = 8, 8, 8  # bytes of a label, of its mask and of a number of rows: they travel as int64
ARITHMETIC = 4  # bytes of a number that is added up: gradients and denominators travel in float32
ARRAYS = {"batch_hard": 1, "circle": 9, "semi_hard": 11, "batch_all": 15}  # of n x N float32 numbers, held at once
LINKS = {"100 Gbit/s Ethernet": 12.5e9, "400 Gbit/s InfiniBand": 50e9, "NVLink, 450 GB/s": 450e9}  # bytes a second
PEAK = 100e12  # floating-point operations a second of a device, for the products


@dataclass(frozen=True)
class Step:
    """One step: N rows of D features over W devices, which hold equally many; `width` bytes a number on the wire."""

    rows: int
    features: int
    devices: int
    width: int = 4

    @property
    def own(self) -> int:
        """Return the rows of a device."""
        return self.rows // self.devices

    @property
    def foreign(self) -> int:
        """Return the rows of the other devices."""
        return self.rows - self.own

    @property
    def gathered(self) -> int:
        """Return the bytes that a device receives forward: rows, labels and masks of the others."""
        return self.foreign * (self.features * self.width + LABEL + MASK)

    @property
    def scattered(self) -> int:
        """Return the bytes that a device receives backward: what the others have for its rows, in a ring."""
        return self.foreign * self.features * ARITHMETIC

    def held(self, loss: str) -> int:
        """Return the bytes that a device holds: the rows of all, and its blocks of n x N numbers."""
        return (self.rows * self.features + ARRAYS[loss] * self.own * self.rows) * ARITHMETIC

    @property
    def operations(self) -> int:
        """Return the floating-point operations of a device: a product forward, and two backward."""
        return 3 * 2 * self.own * self.rows * self.features

    def seconds(self, link: float) -> tuple[float, float]:
        """Return how long the device sends and receives at so many bytes a second, and how long it multiplies."""
        return (self.gathered + self.scattered) / link, self.operations / PEAK


def table() -> list[str]:
    """Return the table of the page, in Markdown."""
    named = [*(f"sent, {name}" for name in LINKS), "multiplied"]
    head = ["rows N", "devices W", "received", *(f"held by {loss}" for loss in ("batch_hard", "batch_all")), *named]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for power in (12, 15, 18, 20):
        for devices in (8, 64, 1024):
            step = Step(2**power, 512, devices)
            sizes = step.gathered + step.scattered, step.held("batch_hard"), step.held("batch_all")
            times = [*(step.seconds(link)[0] for link in LINKS.values()), step.seconds(1.0)[1]]
            cells = [f"2^{power}", str(devices), *map(_size, sizes), *(f"{1e3 * time:.3g} ms" for time in times)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _size(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size < 2**31 else f"{size / 2**30:,.0f} GiB"


if __name__ == "__main__":
    print("\n".join(table()))
