"""Small programs around one kind of instruction, with random fields and operands that mix corners in.

Every case loads what it reads from DRAM, runs its instructions one after the other, and stores the region of the activation
memory that it used. State that no store can read is made visible: weight memory by products with an identity matrix, row
maxima by softmax, row scales by a scaled product, queues by gathering and scattering products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moesaic.spec.arithmetic import TABLE_ENTRIES
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import Memory, Program
from moesaic.spec.isa import BY_NAME, END, PARAMETER_ENTRY, Destination, LoadDestination, Space, Unit, semaphore
from moesaic.spec.legality import encode

TABLE_BYTES = 2 * TABLE_ENTRIES
IDENTITY = 64
_MARGIN = 256


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def random_int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Uniform, or nothing but extremes, so that sums reach their bounds."""
    if rng.random() < 0.3:
        return rng.choice(np.array([-128, -127, 0, 127], np.int8), shape, p=[0.45, 0.1, 0.1, 0.35])
    if rng.random() < 0.1:
        return np.full(shape, -128, np.int8)
    return rng.integers(-128, 128, shape, np.int8)


def random_int16(rng: np.random.Generator, *shape: int) -> np.ndarray:
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(np.array([-32768, -1, 0, 1, 32767], np.int16), shape)
    if kind < 0.3:
        return np.full(shape, rng.choice([-32768, 0, 5, 32767]), np.int16)
    if kind < 0.6:
        return rng.integers(-700, 700, shape).astype(np.int16)
    return rng.integers(-32768, 32768, shape).astype(np.int16)


class Case:
    """A program under construction and the memory it needs. Instructions run strictly one after the other.

    Both on-chip memories are used from a random base on (the activation memory above what weights take of it); reserve_* hand
    out regions, which start with random contents.
    """

    def __init__(
        self,
        configuration: HardwareConfiguration,
        rng: np.random.Generator,
        act_limit: int = 49152,
        weight_limit: int = 32768,
        weight_base: int | None = None,
    ) -> None:
        self.configuration, self.rng = configuration, rng
        self.columns, self.depth = configuration.tile_columns, configuration.tile_depth
        self.act_word, self.weight_word = configuration.act_word_bytes, configuration.weight_word_bytes
        act_limit, weight_limit = min(act_limit, configuration.act_bytes), min(weight_limit, configuration.weight_bytes)
        self.weight_base = weight_base
        if weight_base is None:
            self.weight_base = self._random_base(configuration.weight_bytes - weight_limit, self.weight_word)
        shared = max(0, self.weight_base + weight_limit - configuration.weight_bytes)
        self.act_base = shared + self._random_base(configuration.act_bytes - shared - act_limit, self.act_word)
        self.act = rng.integers(0, 256, act_limit, np.uint8)
        self.weight = rng.integers(0, 256, weight_limit, np.uint8)
        self.table = random_int8(rng, TABLE_BYTES).view(np.uint8)
        self._act_used = self._weight_used = 0
        self.instructions: list[tuple[str, dict[str, int]]] = []
        self._identity = -1

    def _random_base(self, room: int, word: int) -> int:
        return word * int(self.rng.choice([0, room // word, self.rng.integers(0, room // word + 1)]))

    def reserve_act(self, size: int) -> int:
        """Address of `size` bytes, aligned to a word."""
        address = self.act_base + self._act_used
        self._act_used += round_up(size, self.act_word) + self.act_word * int(self.rng.integers(0, 3))
        assert self._act_used <= self.act.size, "the case needs a larger act_limit"
        return address

    def reserve_weight(self, size: int) -> int:
        address = self.weight_base + self._weight_used
        self._weight_used += round_up(size, self.weight_word) + self.weight_word * int(self.rng.integers(0, 3))
        assert self._weight_used <= self.weight.size, "the case needs a larger weight_limit"
        return address

    def put_act(self, address: int, content: np.ndarray) -> None:
        data = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
        self.act[address - self.act_base :][: data.size] = data

    def put_weight(self, address: int, content: np.ndarray) -> None:
        data = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
        self.weight[address - self.weight_base :][: data.size] = data

    def put_rows(self, address: int, pitch: int, rows: np.ndarray) -> None:
        for r, row in enumerate(rows):
            self.put_act(address + r * pitch, row)

    def parameters(self, channels: int, depth: int) -> int:
        """Address of random parameter blocks for `channels` channels; their scale suits sums of `depth` products."""
        rng = self.rng
        block = np.zeros(round_up(channels, self.columns), PARAMETER_ENTRY)
        block["bias"] = rng.integers(-(1 << 18), 1 << 18, block.size)
        block["multiplier"] = rng.integers(1 << 15, 1 << 16, block.size)
        block["shift"] = rng.integers(16, 32, block.size) + int(np.log2(depth)) // 2
        corners = rng.random(block.size) < 0.15
        block["bias"][corners] = rng.choice([-(1 << 31), (1 << 31) - 1, 0, -(1 << 26)], corners.sum())
        block["multiplier"][corners] = rng.choice([0, 1, 65535], corners.sum())
        block["shift"][corners] = rng.choice([0, 1, 26, 43, 44, 47, 63, 64, 66, 127, 255], corners.sum())
        block["zero"][corners] = rng.integers(0, 256, corners.sum())
        address = self.reserve_weight(block.nbytes)
        self.put_weight(address, block)
        return address

    def emit(self, name: str, **fields: int) -> None:
        self.instructions.append((name, {key: int(value) for key, value in fields.items()}))

    def dump_weight(self, address: int, size: int) -> None:
        """Copy a region of the weight memory into the activation memory: identity matrix times region."""
        if self._identity < 0:
            self._identity = self.reserve_act(IDENTITY * IDENTITY)
            self.put_act(self._identity, np.eye(IDENTITY, dtype=np.int8))
            one = np.zeros(self.columns, PARAMETER_ENTRY)
            one["multiplier"] = 1
            self._one = self.reserve_weight(one.nbytes)
            self.put_weight(self._one, one)
        while size > 0:
            depth = min(size // self.columns, IDENTITY)
            self.emit(
                "matmul", rows=depth, columns=self.columns, depth=depth, a_address=self._identity, a_pitch=IDENTITY,
                b_address=address, param_address=self._one, d_address=self.reserve_act(depth * self.columns),
                d_pitch=self.columns,
            )  # fmt: skip
            address, size = address + depth * self.columns, size - depth * self.columns

    def finish(self) -> tuple[Program, Memory]:
        """Add the loads before and the store after, semaphores that put all instructions in one order, and the end."""
        before: list[tuple[str, dict[str, int]]] = []
        constants = bytearray(64)
        for content, used, destination, address in (
            (self.act, self._act_used, LoadDestination.ACT, self.act_base),
            (self.weight, self._weight_used, LoadDestination.WEIGHT, self.weight_base),
            (self.table, TABLE_BYTES, LoadDestination.TABLE, 0),
        ):
            size = round_up(used, 16)
            if size:
                fields = {"destination": int(destination), "dram_offset": len(constants), "local_address": address}
                before.append(("load", {**fields, "bytes": size, "count_1": 1, "count_2": 1, "count_3": 1}))
                constants += content[:size].tobytes()
        stored = {
            "space": int(Space.FRAME),
            "dram_offset": _MARGIN,
            "local_address": self.act_base,
            "bytes": self._act_used,
        }
        after = [("store", {**stored, "count_1": 1, "count_2": 1, "count_3": 1})]
        code = encode_in_order(self.configuration, [*before, *self.instructions, *after])
        offset = round_up(len(constants), 64)
        constants += bytes(offset - len(constants)) + code
        frame = self.rng.integers(0, 256, round_up(self._act_used, 16) + 2 * _MARGIN, np.uint8)
        return Program(offset, len(code)), Memory(np.frombuffer(bytes(constants), np.uint8).copy(), frame)


def encode_in_order(configuration: HardwareConfiguration, instructions: list[tuple[str, dict[str, int]]]) -> bytes:
    """Code in which each instruction waits for the one before it, and `end`."""
    units = [BY_NAME[name].unit for name, _ in instructions]
    code = b""
    for index, (name, fields) in enumerate(instructions):
        masks = {}
        if index > 0 and units[index - 1] != units[index]:
            masks["wait_mask"] = 1 << semaphore(units[index - 1], units[index])
        if index + 1 < len(units) and units[index + 1] != units[index]:
            masks["signal_mask"] = 1 << semaphore(units[index], units[index + 1])
        code += encode(name, configuration, tag=index + 1, **masks, **fields)
    return code + encode(END.name, configuration)


# --- matmul -----------------------------------------------------------------------------------------------------------


def random_product(case: Case, rows: int, *, source_rows: int = 0, columns: int = 0, depth: int = 0) -> dict[str, int]:
    """Fields of a product with random operands, all but those that say where its results go."""
    rng = case.rng
    columns = columns or int(rng.choice([1, case.columns, case.columns + 1, rng.integers(1, 3 * case.columns + 2)]))
    depth = depth or case.depth * int(rng.choice([1, 2, rng.integers(1, 13), rng.integers(1, 13)]))
    tiles = -(-columns // case.columns)
    skew = case.depth * int(rng.integers(0, 2 * case.act_word // case.depth))
    pitch = round_up(skew + depth, case.act_word) + case.act_word * int(rng.integers(0, 2))
    source_rows = max(source_rows or rows, 1)
    a_address = case.reserve_act(source_rows * pitch) + skew
    case.put_rows(a_address, pitch, random_int8(rng, source_rows, depth))
    b_stride = depth * case.columns + case.weight_word * int(rng.integers(0, 2))
    b_address = case.reserve_weight(tiles * b_stride)
    case.put_weight(b_address, random_int8(rng, tiles * b_stride))
    repeat = rng.random() < 0.2
    param_address = case.parameters(case.columns if repeat else columns, depth)
    return {
        "rows": rows, "columns": columns, "depth": depth, "a_address": a_address, "a_pitch": pitch,
        "b_address": b_address, "b_stride": b_stride,
        "param_address": param_address, "param_stride": 0 if repeat else 8 * case.columns,
    }  # fmt: skip


def random_rows(case: Case) -> int:
    tile = case.configuration.tile_rows
    return int(
        case.rng.choice([0, 1, tile, tile + 1, *case.rng.integers(1, 3 * tile + 2, 4)], p=[0.05] + [0.95 / 7] * 7)
    )


def into_act(case: Case, destination: Destination, rows: int, columns: int) -> dict[str, int]:
    """Destination fields for results in the activation memory."""
    size = 1 if destination == Destination.INT8 else 2
    align = case.columns * size
    pitch = round_up(columns * size, align) + align * int(case.rng.integers(0, 3))
    skew = case.columns * int(case.rng.integers(0, 2)) if destination == Destination.INT8 else 0
    address = case.reserve_act(max(rows, 1) * pitch + skew) + skew
    if destination == Destination.RESIDUAL:
        case.put_rows(address, pitch, random_int16(case.rng, rows, columns))
    return {"destination": int(destination), "d_address": address, "d_pitch": pitch}


def matmul_to_act(case: Case) -> None:
    """Every destination in the activation memory, with and without the table."""
    for destination in (Destination.INT8, Destination.INT16, Destination.RESIDUAL):
        rows = random_rows(case)
        product = random_product(case, rows)
        table = case.rng.random() < 0.5 and destination == Destination.INT8
        case.emit(
            "matmul", **product, **into_act(case, destination, rows, product["columns"]),
            table_enable=int(table), table_index=int(case.rng.integers(0, 2)),
        )  # fmt: skip


def matmul_to_weight(case: Case) -> None:
    """Keys and values, then all of the weight memory around them."""
    for destination in (Destination.KEYS, Destination.VALUES):
        rows = random_rows(case)
        product = random_product(case, rows)
        columns, slack = product["columns"], case.weight_word * int(case.rng.integers(0, 2))
        if destination == Destination.KEYS:
            tiles, words = -(-max(rows, 1) // case.columns), -(-columns // case.depth)
        else:
            tiles, words = -(-columns // case.columns), -(-max(rows, 1) // case.depth)
        pitch = words * case.weight_word + slack
        address = case.reserve_weight(tiles * pitch)
        case.emit("matmul", **product, destination=int(destination), d_address=address, d_pitch=pitch)
        case.dump_weight(address, tiles * pitch)


def attention(case: Case, rows: int = 0, keys: int = 0, width: int = 0) -> None:
    """Q.K^T with tracked maxima, softmax, P.V scaled by row: keys and values are first made by products."""
    rng = case.rng
    keys = keys or int(rng.integers(1, 4 * case.columns))
    width = width or case.depth * int(rng.integers(1, 5))
    rows = rows or int(rng.integers(1, 2 * case.configuration.tile_rows + 2))
    key_tiles, width_tiles = -(-keys // case.columns), -(-width // case.columns)
    key_stride = width // case.depth * case.weight_word
    padded_keys = round_up(keys, case.columns)
    value_stride = padded_keys // case.depth * case.weight_word
    key_address = case.reserve_weight(key_tiles * key_stride)
    value_address = case.reserve_weight(width_tiles * value_stride)
    for destination, address, pitch in (
        (Destination.KEYS, key_address, key_stride),
        (Destination.VALUES, value_address, value_stride),
    ):
        product = random_product(case, keys, columns=width, depth=2 * case.depth)
        case.emit("matmul", **product, destination=int(destination), d_address=address, d_pitch=pitch)
    last = (case.configuration.row_entries - rows) // 2 * 2
    base = int(rng.choice([0, last, rng.integers(0, last) // 2 * 2]))
    score = random_product(case, rows, columns=keys, depth=width)
    scores = into_act(case, Destination.INT16, rows, keys)
    case.emit(
        "matmul", **{**score, "b_address": key_address, "b_stride": key_stride}, **scores, track_max=1, row_base=base
    )
    pitch = round_up(padded_keys, case.act_word) + case.act_word
    probability = case.reserve_act(rows * pitch)
    case.emit(
        "softmax", rows=rows, columns=keys, source_address=scores["d_address"], source_pitch=scores["d_pitch"],
        destination_address=probability, destination_pitch=pitch, row_base=base,
    )  # fmt: skip
    for output_shift in (0, int(rng.choice([3, 8, 40, 255]))):
        case.emit(
            "matmul", rows=rows, columns=width, depth=padded_keys, a_address=probability, a_pitch=pitch,
            b_address=value_address, b_stride=value_stride, row_scale=1, row_base=base, output_shift=output_shift,
            **into_act(case, Destination.INT8, rows, width),
        )  # fmt: skip


def equal_scores(case: Case, keys: int, score: int) -> int:
    """Softmax of one row of `keys` equal scores, made by a product, and a product scaled by its sum; the row's entry."""
    tiles, width = -(-keys // case.columns), case.columns + 1
    padded_keys = round_up(keys, case.columns)
    parameters = np.zeros(tiles * case.columns, PARAMETER_ENTRY)
    parameters["bias"], parameters["multiplier"] = score, 1
    param_address = case.reserve_weight(parameters.nbytes)
    case.put_weight(param_address, parameters)
    query = case.reserve_act(case.act_word)
    case.put_act(query, np.zeros(case.act_word, np.uint8))
    scores, entry = into_act(case, Destination.INT16, 1, keys), case.configuration.row_entries - 2
    case.emit(
        "matmul", rows=1, columns=keys, depth=case.depth, a_address=query, a_pitch=case.act_word,
        b_address=case.reserve_weight(case.weight_word), b_stride=0, param_address=param_address,
        param_stride=8 * case.columns, **scores, track_max=1, row_base=entry,
    )  # fmt: skip
    pitch = round_up(keys, case.act_word)
    probability = case.reserve_act(pitch)
    case.emit(
        "softmax", rows=1, columns=keys, source_address=scores["d_address"], source_pitch=scores["d_pitch"],
        destination_address=probability, destination_pitch=pitch, row_base=entry,
    )  # fmt: skip
    product = random_product(case, 1, columns=width, depth=padded_keys)
    case.emit(
        "matmul", **{**product, "a_address": probability, "a_pitch": pitch}, **into_act(case, Destination.INT16, 1, width),
        row_scale=1, row_base=entry, output_shift=6,
    )  # fmt: skip
    return entry


# --- vector -----------------------------------------------------------------------------------------------------------


def layer_norm(case: Case) -> None:
    rng = case.rng
    for columns in (int(rng.choice([1, 2, case.columns, 1024])), int(rng.integers(1, 5 * case.columns))):
        rows = int(rng.integers(0, 6))
        pitch = round_up(2 * columns, case.act_word) + case.act_word * int(rng.integers(0, 2))
        source = case.reserve_act(max(rows, 1) * pitch)
        for r in range(rows):
            row = random_int16(rng, columns)
            if rng.random() < 0.3:  # one outlier: the largest normalised values there are
                row[:] = rng.integers(-2, 3)
                row[rng.integers(0, columns)] = rng.choice([-32768, 32767])
            case.put_act(source + r * pitch, row)
        groups = -(-columns // case.columns)
        parameters = case.reserve_act(groups * 2 * case.act_word)
        case.put_act(parameters, random_int16(rng, groups * 2 * case.columns))
        destination_pitch = round_up(columns, case.columns) + case.columns * int(rng.integers(0, 3))
        skew = case.columns * int(rng.integers(0, 2))
        case.emit(
            "layer_norm", rows=rows, columns=columns, source_address=source, source_pitch=pitch,
            destination_address=case.reserve_act(max(rows, 1) * destination_pitch + skew) + skew,
            destination_pitch=destination_pitch, param_address=parameters, shift=int(rng.choice([0, 31, *rng.integers(8, 22, 4)])),
        )  # fmt: skip


def softmax(case: Case) -> None:
    """Scores that have nothing to do with the tracked maxima, so some lie above; the scales are seen through a product."""
    rng = case.rng
    rows = int(rng.integers(1, 2 * case.configuration.tile_rows + 2))
    base = int(rng.integers(0, case.configuration.row_entries - rows + 1)) // 2 * 2
    product = random_product(case, rows)
    case.emit(
        "matmul", **product, **into_act(case, Destination.INT16, rows, product["columns"]), track_max=1, row_base=base
    )
    columns = int(rng.choice([1, case.columns, rng.integers(1, 6 * case.columns)]))
    pitch = round_up(2 * columns, case.act_word)
    source = case.reserve_act(rows * pitch)
    for r in range(rows):
        case.put_act(source + r * pitch, random_int16(rng, columns))
    destination_pitch = round_up(columns, case.act_word) + case.act_word * int(rng.integers(0, 2))
    case.emit(
        "softmax", rows=rows, columns=columns, source_address=source, source_pitch=pitch,
        destination_address=case.reserve_act(rows * destination_pitch), destination_pitch=destination_pitch, row_base=base,
    )  # fmt: skip
    scaled = random_product(case, rows)
    case.emit(
        "matmul", **scaled, **into_act(case, Destination.INT16, rows, scaled["columns"]), row_scale=1, row_base=base,
        output_shift=int(rng.choice([0, 5, 15, 31, 255])),
    )  # fmt: skip


# --- route ------------------------------------------------------------------------------------------------------------


def random_logits(rng: np.random.Generator, tokens: int, experts: int) -> np.ndarray:
    """Plain random, one expert that wins every token, nothing but ties, few values, extremes, or whole octaves."""
    kind = int(rng.integers(0, 6))
    logits = rng.integers(-3000, 3000, (tokens, experts))
    if kind == 1:
        logits[:, int(rng.integers(0, experts))] = 32767
    elif kind == 2:
        logits[:] = rng.integers(-32768, 32768, (tokens, 1))
    elif kind == 3:
        logits = rng.integers(0, 2, (tokens, experts))
    elif kind == 4:
        logits = random_int16(rng, tokens, experts)
    elif kind == 5:
        logits = 256 * rng.integers(-11, 11, (tokens, experts))
    return logits.astype(np.int16)


def route(case: Case) -> None:
    """Queues of all experts, seen through gathering, scattering and both; loads that look at the queues."""
    rng, configuration = case.rng, case.configuration
    tokens = int(rng.integers(1, 3 * configuration.tile_rows + 6))
    experts = int(rng.integers(1, configuration.experts + 1))
    pitch = round_up(2 * experts, case.act_word) + case.act_word * int(rng.integers(0, 2))
    source = case.reserve_act(tokens * pitch)
    case.put_rows(source, pitch, random_logits(rng, tokens, experts))
    fields = {"columns": experts, "source_address": source, "source_pitch": pitch}
    # A first routing fills other queues, which the second must empty.
    case.emit("route", rows=tokens, top_k=configuration.experts, **fields)
    rows, top_k = int(rng.choice([tokens, rng.integers(1, tokens + 1)])), int(rng.integers(1, 5))
    cut = int(rng.choice([0, rows, rng.integers(0, rows + 1)]))
    # In either part of the second one, tokens may choose among some of the experts only.
    some, others = (
        {"absent_low": mask, "absent_high": mask}
        for mask in rng.integers(0, 1 << 32, 2) * rng.integers(0, 4, 2).clip(0, 1)
    )
    case.emit("route", rows=cut, top_k=top_k, **some, **fields)
    rest = {**fields, "source_address": source + cut * pitch}
    case.emit("route", append=1, first=cut, rows=rows - cut, top_k=top_k, **others, **rest)
    product = random_product(case, tokens, columns=case.columns + 1, depth=2 * case.depth)
    residual = into_act(case, Destination.RESIDUAL, tokens, product["columns"])
    for expert in range(configuration.experts):
        kind = expert % 3
        part = {"queue": expert, "queue_first": int(rng.choice([0, 0, rng.integers(0, tokens + 2)])), "rows": tokens}
        if rng.random() < 0.3:
            part["rows"] = int(rng.integers(0, tokens))
        if kind == 0:
            case.emit("matmul", **{**product, **part}, **residual, gather=1, scatter=1, score_shift=expert % 8)
        elif kind == 1:
            case.emit(
                "matmul",
                **{**product, **part},
                **into_act(case, Destination.INT8, tokens, product["columns"]),
                gather=1,
            )
        else:
            case.emit("matmul", **{**product, **part}, **residual, scatter=1, score_shift=expert % 8)
        case.emit(
            "load", dram_offset=64, local_address=case.reserve_act(16), bytes=16, count_1=1, count_2=1, count_3=1,
            skip_if_empty=1, queue=expert,
        )  # fmt: skip


DEGENERATE_ROUTES = (
    "one expert gets every token",
    "most experts get none",
    "all logits equal",
    "top_k is all experts",
    "top_k exceeds the experts",
)


def degenerate_route(case: Case, kind: str, tokens: int, sizes: tuple[int, int] | None = None) -> list[int]:
    """Route `tokens` tokens as `kind` says, then let each expert gather and scatter. Returns the tokens of each expert.

    sizes: width and hidden width of the experts, multiples of the array's depth; default small ones with parts of tiles.
    """
    rng, experts = case.rng, case.configuration.experts
    logits, top_k, chosen = rng.integers(-3000, 3000, (tokens, experts)).astype(np.int16), 1, [experts - 1]
    match kind:
        case "one expert gets every token":
            logits[:, experts - 1] = 32767
        case "most experts get none":
            logits[:, 1:3], top_k, chosen = 30_000, 2, [1, 2]
        case "all logits equal":  # ties go to the first experts
            logits[:], top_k, chosen = -5, 2, [0, 1]
        case "top_k is all experts":
            top_k, chosen = experts, list(range(experts))
        case "top_k exceeds the experts":
            top_k, chosen = 255, list(range(experts))
        case _:
            raise ValueError(kind)
    pitch = round_up(2 * experts, case.act_word)
    source = case.reserve_act(tokens * pitch)
    case.put_rows(source, pitch, logits)
    case.emit("route", rows=tokens, columns=experts, top_k=top_k, source_address=source, source_pitch=pitch)
    hidden_columns, width = (case.columns + 1, 2 * case.columns - 1) if sizes is None else (sizes[1], sizes[0])
    depths = (2 * case.depth, case.depth) if sizes is None else sizes
    first = random_product(case, tokens, columns=hidden_columns, depth=depths[0])
    second = random_product(case, tokens, columns=width, depth=depths[1])
    residual = into_act(case, Destination.RESIDUAL, tokens, second["columns"])
    for expert in range(experts):
        # As in a network: the first product gathers the queue's tokens, the second scatters into the residual stream.
        hidden = into_act(case, Destination.INT8, tokens, first["columns"])
        case.emit("matmul", **first, **hidden, gather=1, queue=expert)
        case.emit("matmul", **second, **residual, scatter=1, queue=expert, score_shift=expert % 8)
        case.emit("matmul", **second, **residual, gather=1, scatter=1, queue=expert)
    return [tokens if expert in chosen else 0 for expert in range(experts)]


# --- load and store ---------------------------------------------------------------------------------------------------


def random_strides(
    rng: np.random.Generator, prefix: str, counts: list[int], size: int, limit: int
) -> tuple[dict[str, int], int]:
    """Strides of a transfer that reaches at most `limit` bytes, and how many it reaches."""
    fields, reach = {}, size
    for level, count in enumerate(counts, 1):
        most = (limit - reach) // max(count - 1, 1) // 16
        stride = 16 * int(min(rng.choice([0, size // 16, rng.integers(0, most + 1), reach // 16]), most))
        fields[f"{prefix}_stride_{level}"] = stride
        reach += (count - 1) * stride
    return fields, reach


def separate_strides(rng: np.random.Generator, prefix: str, counts: list[int], size: int) -> tuple[dict[str, int], int]:
    """Strides of three loops whose runs of `size` bytes do not overlap, and the bytes from the first to the last."""
    reach, fields = size, {}
    for level, count in enumerate(counts, 1):
        stride = reach + 16 * int(rng.integers(0, 3))
        fields[f"{prefix}_stride_{level}"] = stride
        reach += (count - 1) * stride
    return fields, reach


def load(case: Case) -> None:
    """Three nested loops into each memory, weights also unpacked. Runs may overlap in DRAM; on chip the order of writes is free."""
    rng = case.rng
    for destination, unpack in (*((destination, 0) for destination in LoadDestination), (LoadDestination.WEIGHT, 1)):
        local_reach = TABLE_BYTES + 1
        while local_reach > TABLE_BYTES:
            counts = [int(rng.integers(1, 5)) for _ in range(3)]
            size = 16 * int(rng.choice([1, 2, rng.integers(1, 12)]))
            local, local_reach = separate_strides(rng, "local", counts, size)
        local, local_reach = {name: stride << unpack for name, stride in local.items()}, local_reach << unpack
        dram, reach = random_strides(rng, "dram", counts, size, 8192)
        if destination == LoadDestination.ACT:
            address = case.reserve_act(local_reach)
        elif destination == LoadDestination.WEIGHT:
            address = case.reserve_weight(local_reach)
        else:
            address = 16 * int(rng.integers(0, (TABLE_BYTES - local_reach) // 16 + 1))
        source = case.reserve_act(reach)  # the act image lies first in the constants, after 64 bytes
        case.emit(
            "load", destination=int(destination), dram_offset=64 + source - case.act_base, local_address=address, bytes=size,
            unpack=unpack, **{f"count_{level}": count for level, count in enumerate(counts, 1)}, **dram, **local,
        )  # fmt: skip
        if destination == LoadDestination.WEIGHT:
            case.dump_weight(address, round_up(local_reach, case.weight_word))
    product = random_product(case, case.columns, columns=3 * case.columns)
    for index in range(2):
        case.emit(
            "matmul", **product, **into_act(case, Destination.INT8, case.columns, 3 * case.columns), table_enable=1,
            table_index=index,
        )  # fmt: skip


def store(case: Case) -> None:
    """Three nested loops out of the activation memory, into the frame that the last store of the case then half covers."""
    rng = case.rng
    counts = [int(rng.integers(1, 5)) for _ in range(3)]
    size = 16 * int(rng.choice([1, 2, rng.integers(1, 12)]))
    local, reach = random_strides(rng, "local", counts, size, 4096)
    source = case.reserve_act(reach)
    dram, dram_reach = separate_strides(rng, "dram", counts, size)  # the order of writes is free there
    case.reserve_act(dram_reach)  # the frame is as large as the region used
    case.emit(
        "store", space=int(Space.FRAME), dram_offset=0, local_address=source, bytes=size,
        **{f"count_{level}": count for level, count in enumerate(counts, 1)}, **dram, **local,
    )  # fmt: skip


# --- several units at once --------------------------------------------------------------------------------------------


def overlapped(case: Case) -> tuple[Program, Memory]:
    """A pipeline over two buffers, more instructions than the queues hold: load, multiply, normalise, store, all at once."""
    rng, columns = case.rng, case.columns
    rows, depth, rounds = case.configuration.tile_rows + 1, 4 * columns, 3 * case.configuration.instruction_queue
    product = random_product(case, rows, columns=depth, depth=depth)
    stage = [{name: case.reserve_act(rows * 2 * depth) for name in ("input", "sum", "norm")} for _ in range(2)]
    parameters = case.reserve_act(4 * 2 * case.act_word)
    constants = bytearray(rng.integers(0, 256, 64 + rounds * rows * depth, np.uint8).tobytes())
    images = ((case.act, case._act_used, case.act_base, 0), (case.weight, case._weight_used, case.weight_base, 1))
    code = b""
    one = {"count_1": 1, "count_2": 1, "count_3": 1}
    for image, used, address, destination in images:
        code += encode(
            "load", case.configuration, destination=destination, dram_offset=len(constants), local_address=address,
            bytes=round_up(used, 16),
            signal_mask=0 if destination == 0 else 1 << semaphore(Unit.LOAD, Unit.MATMUL), **one,
        )  # fmt: skip
        constants += image[: round_up(used, 16)].tobytes()

    def masks(waits: list[tuple[Unit, Unit]], signals: list[tuple[Unit, Unit]]) -> dict[str, int]:
        return {
            "wait_mask": sum(1 << semaphore(*pair) for pair in waits),
            "signal_mask": sum(1 << semaphore(*pair) for pair in signals),
        }

    for i in range(rounds):
        buffer, late = stage[i % 2], i >= 2
        last = i + 2 >= rounds
        # A producer that writes a buffer again first waits for the consumer of two rounds ago.
        code += encode(
            "load", case.configuration, dram_offset=64 + i * rows * depth, local_address=buffer["input"], bytes=rows * depth, tag=i, **one,
            **masks([(Unit.MATMUL, Unit.LOAD)] if late else [], [(Unit.LOAD, Unit.MATMUL)]),
        )  # fmt: skip
        waits = [(Unit.LOAD, Unit.MATMUL)] + ([(Unit.VECTOR, Unit.MATMUL)] if late else [])
        signals = [(Unit.MATMUL, Unit.VECTOR)] + ([] if last else [(Unit.MATMUL, Unit.LOAD)])
        code += encode(
            "matmul", case.configuration, **{**product, "a_address": buffer["input"], "a_pitch": depth}, destination=int(Destination.INT16),
            d_address=buffer["sum"], d_pitch=2 * depth, tag=i, **masks(waits, signals),
        )  # fmt: skip
        waits = [(Unit.MATMUL, Unit.VECTOR)] + ([(Unit.STORE, Unit.VECTOR)] if late else [])
        signals = [(Unit.VECTOR, Unit.STORE)] + ([] if last else [(Unit.VECTOR, Unit.MATMUL)])
        code += encode(
            "layer_norm", case.configuration, rows=rows, columns=depth, source_address=buffer["sum"], source_pitch=2 * depth,
            destination_address=buffer["norm"], destination_pitch=depth, param_address=parameters, shift=17, tag=i,
            **masks(waits, signals),
        )  # fmt: skip
        code += encode(
            "store", case.configuration, space=int(Space.FRAME), dram_offset=i * rows * depth, local_address=buffer["norm"],
            bytes=rows * depth, tag=i, **one, **masks([(Unit.VECTOR, Unit.STORE)], [] if last else [(Unit.STORE, Unit.VECTOR)]),
        )  # fmt: skip
    # The first product also waits for the weights: a second signal of load, taken by an empty product.
    offset = round_up(len(constants), 64)
    guard = encode(
        "matmul", case.configuration, **{**product, "rows": 0}, wait_mask=1 << semaphore(Unit.LOAD, Unit.MATMUL)
    )
    code = code[:128] + guard + code[128:] + encode(END.name, case.configuration)
    constants += bytes(offset - len(constants)) + code
    frame = rng.integers(0, 256, rounds * rows * depth + _MARGIN, np.uint8)
    return Program(offset, len(code)), Memory(np.frombuffer(bytes(constants), np.uint8).copy(), frame)


SCENARIOS: dict[str, Callable[[Case], None]] = {
    "load": load,
    "store": store,
    "matmul_to_act": matmul_to_act,
    "matmul_to_weight": matmul_to_weight,
    "attention": attention,
    "layer_norm": layer_norm,
    "softmax": softmax,
    "route": route,
}
