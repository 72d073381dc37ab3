"""The GPU cards this project plans for, and which of them a machine has.

Memory is what the driver lists (`nvidia-smi`), rates are dense 16-bit with 32-bit sums and the
memory's bandwidth, as NVIDIA states them; no rate was measured here. A T4 (Turing) computes no
bfloat16: what torch calls support there is emulation in float32.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from selene_lib.models.loading import BF16_CAPABILITY

MIB = 1024**2


@dataclass(frozen=True)
class Card:
    """One GPU card.

    `capability` is CUDA's (major, minor), `flops_per_second` the maker's dense 16-bit rate,
    `bytes_per_second` its memory's bandwidth.
    """

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    flops_per_second: float
    bytes_per_second: float

    @property
    def native_bf16(self) -> bool:
        """Whether the card multiplies bfloat16 itself: from compute capability 8.0 on."""
        return self.capability >= BF16_CAPABILITY


CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        Card("T4", (7, 5), 15_360 * MIB, 65e12, 320e9),
        Card("L4", (8, 9), 23_034 * MIB, 121e12, 300e9),
        Card("A10G", (8, 6), 23_028 * MIB, 70e12, 600e9),
        Card("A100-40GB", (8, 0), 40_960 * MIB, 312e12, 1555e9),
        Card("A100-80GB", (8, 0), 81_920 * MIB, 312e12, 2039e9),
        Card("H100-80GB", (9, 0), 81_559 * MIB, 989e12, 3350e9),
        Card("H200", (9, 0), 143_771 * MIB, 989e12, 4800e9),
        Card("RTX-4090", (8, 9), 24_564 * MIB, 165e12, 1008e9),
        Card("RTX-5090", (12, 0), 32_607 * MIB, 209e12, 1792e9),
    )
}
# words in a device's name that make it another chip than its number says: slower, or laptop-sized
_OTHER_CHIPS = frozenset({"PCIE", "NVL", "LAPTOP", "D", "MIG"})


def card_named(device_name: str, total_memory: int) -> Card | None:
    """Return the card of the table that torch calls `device_name`, of about that many bytes.

    None for a card that is not in the table, a slower variant of one (H100 PCIe, laptop chips) and
    a slice of one (MIG). Torch sees a few hundred MiB less than the driver lists.
    """
    words = re.split(r"[^A-Z0-9]+", device_name.upper())
    for card in CARDS.values():
        chip = card.name.upper().split("-")
        if chip[0] == "RTX":
            is_chip = "RTX" in words and chip[1] in words
        else:
            is_chip = chip[0] in words
        # the A100 behind PCIe computes as fast as the other one, the H100 does not
        odd = _OTHER_CHIPS & set(words) - ({"PCIE"} if chip[0] == "A100" else set())
        if is_chip and not odd and 0.9 < total_memory / card.memory_bytes < 1.1:
            return card
    return None
