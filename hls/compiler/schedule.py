"""How a program is scheduled: the choices that change its speed and never its results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The defaults are the fast choices; the others show what each technique is worth.

    prefetch: load weights as early as they fit; False: only after all products before their own.
    expert_tokens: tokens that are routed and sent through the experts at a time, whose weights are loaded each time; None: all
        tokens, expert by expert, every expert's weights loaded once (patch reordering).
    query_rows: rows of queries that meet the stream of keys at a time; None: as many as the memory holds (reordered attention).
    softmax_sweeps: passes over the scores; 1: the maxima are found while the scores are written (single-pass softmax).
    gelu_pass: True: between the two layers of an MLP or an expert the vector unit goes over the hidden activations once more, as a GELU
        that is not looked up on their way to memory would. Its results are thrown away; an expert's pass is as long as an even share
        of the tokens takes, because its length has to be known beforehand.
    """

    prefetch: bool = True
    expert_tokens: int | None = None
    query_rows: int | None = None
    softmax_sweeps: int = 1
    gelu_pass: bool = False
