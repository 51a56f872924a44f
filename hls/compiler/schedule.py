"""How a program is scheduled: the choices that change its speed but never its results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The defaults are the fast choices; the alternatives show what each technique is worth.

    prefetch: load weights as soon as they fit; False: only after all products that precede the one that uses them.
    expert_tokens: tokens that are routed and sent through the experts at a time; the experts' weights are loaded again each time;
        None: all tokens, expert by expert, so that every expert's weights are loaded once (patch reordering).
    query_rows: most query rows that meet the stream of keys at a time; None: as many as the memory holds (reordered attention).
    softmax_sweeps: passes over the scores; 1: the maxima are found while the scores are written (single-pass softmax).
    gelu_pass: True: between the two layers of an MLP or an expert, the vector unit passes over the hidden activations once more, as
        it would for a GELU that is not looked up on the way to memory. Its results are thrown away. The pass of an expert is as
        long as an even share of the tokens takes, because its length must be known beforehand.
    """

    prefetch: bool = True
    expert_tokens: int | None = None
    query_rows: int | None = None
    softmax_sweeps: int = 1
    gelu_pass: bool = False
