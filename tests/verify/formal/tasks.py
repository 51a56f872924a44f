"""What is proved of the RTL: one task per harness in properties/, with its sizes, its way of proof and how deep that looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.source_closure import source_closure

PROPERTIES = Path(__file__).with_name("properties")
INDUCTION = "smtbmc z3"
"""k-induction: proved for runs of any length."""
BIT_INDUCTION = "abc ind"
"""k-induction, too, decided on bits: where z3 takes long."""
REACHABILITY = "abc pdr"
"""Property-directed reachability: proved for runs of any length; finds its own invariants, where there are few bits."""

BOUNDED = "abc bmc3"
"""All runs of so many cycles from the reset on, and no more."""


@dataclass(frozen=True)
class ProofTask:
    """One harness with fixed sizes.

    top: its module, in properties/. engine: INDUCTION, BIT_INDUCTION, REACHABILITY or BOUNDED. depth: of the induction or
    of what is bounded. cover_depth: within which every cover statement must be
    reached, or the proof counts as vacuous. cuts: wires that the harness constrains in place of what drives them. ignored: assertions that
    are not this task's, by names with *; only: those that alone are. covered_by: the task that has the same cover statements and reaches
    them. timeout: seconds for each of proof and covers.
    """

    name: str
    top: str
    doc: str
    parameters: dict[str, int] = field(default_factory=dict)
    engine: str = INDUCTION
    depth: int = 2
    cover_depth: int = 24
    cuts: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    covered_by: str = ""
    timeout: int = 900

    @property
    def bounded(self) -> bool:
        """Whether this looks at a number of cycles only."""
        return self.engine == BOUNDED

    def sources(self, rtl: Path = RTL_DIRECTORY) -> list[Path]:
        """Its SystemVerilog files, each after those that it uses."""
        return source_closure(self.top, [PROPERTIES, rtl])


FETCH_CUTS = ("u_fetch.beat_legal", "u_fetch.buffer_data", "u_fetch.buffer_error")
"""What a program says, and whether it is legal."""
KERNEL_RULES = ("u_rules.*", "responses_are_okay")
"""What is about the bus; the rest of that module is `control`."""
STORE_CUTS = tuple(
    f"u_store.{name}" for name in ("cut_valid", "cut_address", "cut_local", "cut_length", "splitter_busy")
)
"""What the splitter of the store unit offers."""
STORE_FRONT = ("u_store.u_loop.*", "u_store.u_splitter.*")
"""What is in front of the cut."""

TASKS = (
    ProofTask("fifo", "fifo_proof", "order, fill and flags of a queue of 64", {"Width": 8, "Depth": 64}, covered_by="fifo_slices"),
    ProofTask("fifo_slices", "fifo_proof", "the same where an entry lies in two slices", {"Width": 449, "Depth": 2, "Ends": 1}),
    ProofTask("skid_buffer", "skid_buffer_proof", "order and flags of two entries"),
    ProofTask("port_buffer", "port_buffer_proof", "each port takes, in order, the entries that want it"),
    ProofTask("payload_pair", "payload_pair_proof", "the payload of the older entry is shown", {"Width": 8}),
    ProofTask("payload_pair_slices", "payload_pair_proof", "the same in two slices", {"Width": 257}),
    ProofTask("word_buffer", "word_buffer_proof", "words with tag, strobe and the data of each lane, in order"),
    ProofTask("queue", "queue_proof", "queue_level beside queue_memory: order and flags"),
    ProofTask("expert_queue", "expert_queue_proof", "entries are read as they were pushed; counts; never full"),
    ProofTask("round_robin", "round_robin_proof", "mutual exclusion, and fairness within a round", engine=REACHABILITY),
    ProofTask("semaphores", "semaphores_proof", "counts, readiness, overflow"),
    ProofTask("unit_state", "unit_state_proof", "every instruction ends once, none follows a fault"),
    ProofTask(
        "issue", "issue_proof", "instructions start in order with their semaphores, and signal when completed", engine=REACHABILITY,
        ignored=("u_issue.u_dispatch_rules.*", "u_issue.u_instr_rules.*", "u_issue.u_header.*"),
    ),
    ProofTask(
        "transfer_loop", "transfer_loop_proof", "runs are those of the loop nest; no address wraps; one fault, none behind it",
        engine=BIT_INDUCTION, depth=4,
    ),
    ProofTask("burst_splitter", "burst_splitter_proof", "bursts cover a run and stay in pages and blocks"),
    ProofTask("control", "control_proof", "AXI4-Lite subordinate; registers; the life of a run", depth=5),
    ProofTask(
        "kernel_control", "kernel_control_proof", "AXI4-Lite subordinate in front of a kernel", engine=REACHABILITY,
        only=KERNEL_RULES,
    ),
    ProofTask(
        "fetch", "fetch_proof", "AXI4 manager that reads the program; its beats asked for, on their way, buffered; room for all",
        cuts=FETCH_CUTS,
    ),
    ProofTask(
        "load_port", "load_port_proof", "AXI4 manager that reads data, cut to bursts of 2 and 2 of them",
        {"MaxBeats": 2, "Outstanding": 2}, engine=REACHABILITY,
    ),
    ProofTask(
        "store", "store_proof", "AXI4 manager that writes, cut to bursts of 2, 2 of them and 4 beats of data",
        {"MaxBeats": 2, "DataBeats": 4, "Bursts": 2}, engine=BIT_INDUCTION, depth=4, cuts=STORE_CUTS, ignored=STORE_FRONT,
    ),
    ProofTask("isqrt", "isqrt_proof", "the floor of the root of all 32-bit radicands"),
    ProofTask("reciprocal_16", "reciprocal_proof", "of all values below 2**16 (layer norm)", {"Width": 16}),
    ProofTask("requantise_operands", "requantise_proof", "sum and bias, clipped, meet their multiplier", {"Part": 1}, depth=9),
    ProofTask("requantise_product", "requantise_proof", "the slice multiplies the two", {"Part": 2}, depth=3),
    ProofTask(
        "requantise_result", "requantise_proof", "every product is shifted, rounded and saturated as defined", {"Part": 3}, depth=4,
        cuts=("u_lane.product",),
    ),
    *(
        ProofTask(
            f"packed_dot_{depth}", "packed_dot_proof", f"both sums of {depth} products, all of them", {"TileDepth": depth}, depth=4,
            cuts=tuple(f"u_dot.gen_dsp[{k}].u_slice.product_q" for k in range(depth)),
        )
        for depth in (4, 8)
    ),
)  # fmt: skip
