"""Published figures of other designs, with their sources, for comparison with the benchmark.

Where a publication gives no cycles, they are its milliseconds times its clock frequency.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A design's figures for one model and input. cycles: per frame. note: how it differs from ours."""

    design: str
    source: str
    device: str
    precision: str
    model: str
    cycles: int
    note: str


PUBLISHED = (
    Published(
        "Edge-MoE", "Sarkar et al., ICCAD 2023", "ZCU102, 300 MHz", "W16A32", "M3ViT-T 128x256", 10_400_000, "measured on a board"
    ),
    Published(
        "UbiMoE", "Dong et al., ISCAS 2025", "ZCU102, 300 MHz", "W16A32", "M3ViT-T 128x256", 7_700_000, "1,850 DSP"
    ),
    Published(
        "CoQMoE", "Dong et al., arXiv:2506.08496", "ZCU102, 300 MHz", "int8", "M3ViT-T 128x256", 1_940_000, "1,754 DSP, 0.22 GOPS/DSP"
    ),
    Published(
        "CoQMoE", "Dong et al., arXiv:2506.08496", "Alveo U280, 250 MHz", "int8", "M3ViT-S", 2_290_000, "2,635 DSP"
    ),
    Published(
        "M3ViT", "Fan et al., NeurIPS 2022", "ZCU104, 300 MHz", "not given", "M3ViT-S 480x640", 25_400_000,
        "an estimate, never built",
    ),
    Published(
        "integer-only systolic array", "Huang et al., IEEE TCAS-I 2023", "ZCU102, 300 MHz", "int8", "dense ViT-S 224x224", 3_350_000,
        "another network: no experts; 0.60 GOPS/DSP",
    ),
)  # fmt: skip
