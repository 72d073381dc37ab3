"""The table of cards, and what torch calls them."""

import pytest

from selene_lib.training.cards import CARDS, MIB, card_named

GIB = 1024 * MIB


@pytest.mark.parametrize(
    "device_name, total_memory, expected",
    [
        ("Tesla T4", 14.74, "T4"),
        ("NVIDIA L4", 22.03, "L4"),
        ("NVIDIA A10G", 22.07, "A10G"),
        ("NVIDIA A100-SXM4-40GB", 39.39, "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", 79.15, "A100-80GB"),
        ("NVIDIA A100 80GB PCIe", 79.14, "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", 79.19, "H100-80GB"),
        ("NVIDIA H200", 139.8, "H200"),
        ("NVIDIA GeForce RTX 4090", 23.64, "RTX-4090"),
        ("NVIDIA GeForce RTX 5090", 31.36, "RTX-5090"),
        # other chips whose names look alike
        ("NVIDIA L40S", 44.4, None),
        ("NVIDIA A10", 22.07, None),
        ("NVIDIA H100 PCIe", 79.19, None),
        ("NVIDIA GH200 480GB", 94.5, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.9, None),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19.5, None),
        ("NVIDIA RTX 5000 Ada Generation", 31.5, None),
    ],
)
def test_a_card_is_known_by_its_chip_and_its_memory(device_name, total_memory, expected):
    card = card_named(device_name, int(total_memory * GIB))
    assert (card and card.name) == expected


def test_only_the_t4_lacks_bf16():
    assert [name for name, card in CARDS.items() if not card.native_bf16] == ["T4"]
    assert all(name == card.name for name, card in CARDS.items())
