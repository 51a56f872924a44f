"""What our HLS C++ may consist of: pragmas, types and constructs that Vitis HLS 2023.1 and later accepts (AMD UG1399).

A checker of text, not a compiler: it knows the way in which hls/hardware/cpp is written and refuses what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_NUMBER_OR_NAME = r"\d+|[A-Z][A-Z_]*"
_VARIABLE = r"[A-Za-z_][\w.>-]*"
_NUMBER = r"\d+"

PRAGMAS: dict[str, tuple[dict[str, str], set[str]]] = {
    "INTERFACE": (
        {
            "mode": "m_axi|ap_none|ap_vld|ap_ctrl_hs", "port": r"\w+", "bundle": r"\w+", "offset": "off|direct|slave",
            "depth": _NUMBER_OR_NAME, "latency": _NUMBER, "max_read_burst_length": "2|4|8|16|32|64|128|256",
            "max_write_burst_length": "2|4|8|16|32|64|128|256", "num_read_outstanding": _NUMBER,
            "num_write_outstanding": _NUMBER,
        },
        {"mode", "port"},
    ),
    "PIPELINE": ({"II": _NUMBER_OR_NAME}, {"II"}),
    "UNROLL": ({"factor": _NUMBER_OR_NAME}, set()),
    "EXPRESSION_BALANCE": ({"off": ""}, {"off"}),
    "INLINE": ({}, set()),
    "ARRAY_PARTITION": (
        {"variable": _VARIABLE, "type": "complete|cyclic|block", "factor": _NUMBER_OR_NAME, "dim": _NUMBER}, {"variable", "type"},
    ),
    "ARRAY_RESHAPE": (
        {"variable": _VARIABLE, "type": "complete|cyclic|block", "factor": _NUMBER_OR_NAME, "dim": _NUMBER}, {"variable", "type"},
    ),
    "BIND_STORAGE": (
        {"variable": _VARIABLE, "type": "ram_(1p|2p|s2p|t2p)|rom_(1p|2p|np)", "impl": "bram|uram|lutram"},
        {"variable", "type", "impl"},
    ),
    "DEPENDENCE": (
        {"variable": _VARIABLE, "type": "inter|intra", "dependent": "true|false", "direction": "RAW|WAR|WAW"},
        {"variable", "type", "dependent"},
    ),
}  # fmt: skip
"""Pragma to its options, each with the values it takes, and the options it must have."""

_INCLUDES = {"<cstdint>", "<ap_int.h>"}
_BANNED = {
    "new": "dynamic memory", "delete": "dynamic memory", "malloc": "dynamic memory", "free": "dynamic memory",
    "virtual": "dynamic dispatch", "dynamic_cast": "run-time types", "typeid": "run-time types", "throw": "exceptions",
    "try": "exceptions", "catch": "exceptions", "goto": "jumps", "float": "floating point", "double": "floating point",
    "std": "the standard library", "asm": "assembler", "volatile": "volatile accesses", "union": "unions", "do": "do loops",
    "char": "a type whose width or sign is open", "long": "a type whose width is open", "short": "a type whose width is open",
    "size_t": "a type whose width is open", "unsigned": "a type whose width is open", "printf": "output",
}  # fmt: skip


@dataclass
class Source:
    """A file without comments, and without what only the emulator compiles."""

    name: str
    lines: list[str]
    comments: list[str]
    numbers: list[int]


@dataclass
class Function:
    """first: index of the first line of its body. variables: parameters and local variables, name to (type, dimensions)."""

    name: str
    source: Source
    first: int
    body: list[str]
    variables: dict[str, tuple[str, int]]


@dataclass
class Storage:
    """What pragmas say of a variable. bound: BIND_STORAGE; complete: dimensions that are partitioned completely, 0 for all."""

    bound: bool = False
    complete: set[int] = field(default_factory=set)


def read(name: str, text: str) -> Source:
    """Take the branch of synthesis at each #ifdef MOESAIC_AP_TYPES and split comments from code."""
    source = Source(name, [], [], [])
    taken: list[bool] = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.split()[:2] or [""]
        if word[0] in ("#ifdef", "#if", "#ifndef"):
            taken.append(True)
        elif word[0] == "#else":
            taken[-1] = not taken[-1]
        elif word[0] == "#endif":
            taken.pop()
        elif all(taken):
            code, _, comment = line.partition("//")
            source.lines.append(code.rstrip())
            source.comments.append(comment.strip())
            source.numbers.append(number)
    return source


def findings(files: Mapping[str, str]) -> list[str]:
    """Everything that is not of the subset in the files of a kernel, name to text; empty if all is."""
    sources = [read(name, text) for name, text in files.items()]
    found = [finding for source in sources for finding in _check(source)]
    checks = (
        _recursion, _unbound, _unknown_variables, _dependences, _pointers_to_pointers, _static_ultra_ram, _unsure_bursts,
        _balanced_chains,
    )  # fmt: skip
    return [*found, *(finding for check in checks for finding in check(sources))]


def _check(source: Source) -> Iterator[str]:
    for index, line in enumerate(source.lines):
        place = f"{source.name}:{source.numbers[index]}"
        if line.startswith("#pragma"):
            yield from (f"{place}: {problem}" for problem in _pragma_problems(source, index))
        elif line.startswith("#include"):
            target = line.split()[1]
            if target.startswith("<") and target not in _INCLUDES:
                yield f"{place}: {target} is included"
        elif not line.startswith("#"):
            for word in re.findall(r"[A-Za-z_]\w*", re.sub(r'"[^"]*"', "", line)):
                if word in _BANNED:
                    yield f"{place}: {word} ({_BANNED[word]})"
            if re.match(r"\s*(for|while)\b", line) and not _label(source, index):
                yield f"{place}: the loop has no label"
            if "[]" in line or "[&" in line or "[=" in line or "(*" in line:
                yield f"{place}: a lambda, a function pointer or an array without a size"


def _label(source: Source, index: int) -> bool:
    return index > 0 and re.fullmatch(r"\s*\w+:", source.lines[index - 1]) is not None


def _pragma_problems(source: Source, index: int) -> Iterator[str]:
    words = source.lines[index].split()
    if len(words) < 3 or words[:2] != ["#pragma", "HLS"] or words[2] not in PRAGMAS:
        yield f"unknown pragma {' '.join(words[1:3])}"
        return
    name = words[2]
    known, required = PRAGMAS[name]
    options = dict(word.partition("=")[::2] for word in words[3:])
    for option, value in options.items():
        if option not in known:
            yield f"{name} has no option {option}"
        elif not re.fullmatch(known[option], value):
            yield f"{name} takes no {option}={value}"
    for option in sorted(required - set(options)):
        yield f"{name} lacks {option}"
    if name == "PIPELINE" and "II" in options:
        yield from _pipeline_problems(source, index, options["II"])
    if name == "UNROLL" and not any(_is_loop(source.lines[i]) for i in (index - 1, index - 2)):
        yield "UNROLL does not follow a loop's head"
    if options.get("impl") == "uram" and options.get("type", "").startswith("rom"):
        yield "UltraRAM cannot be a ROM"


def _is_loop(line: str) -> bool:
    return re.match(r"\s*(for|while)\b.*\{$", line) is not None


def _pipeline_problems(source: Source, index: int, interval: str) -> Iterator[str]:
    """A comment between the loop's head and the pragma says the II and why it is possible."""
    above, reason = index - 1, []
    while above >= 0 and not source.lines[above] and source.comments[above]:
        reason.insert(0, source.comments[above])
        above -= 1
    if not _is_loop(source.lines[above]):
        yield "PIPELINE does not follow a loop's head"
    if not re.match(rf"II={interval}: \w+", " ".join(reason)):
        yield f"PIPELINE II={interval} has no comment `II={interval}: why`"


_DECLARATION = re.compile(r"\s*(?:static |const |constexpr )*(\w+) &?(\w+)((?:\[[^\]]+\])*)(?: =.*|;)$")
_NO_TYPES = ("return", "struct", "namespace", "using", "typedef")


def _declared(line: str) -> tuple[str, str, int] | None:
    """Type, name and dimensions of what a line declares."""
    found = _DECLARATION.match(line)
    return (found[1], found[2], found[3].count("[")) if found and found[1] not in _NO_TYPES else None


def _functions(sources: list[Source]) -> Iterator[Function]:
    for source in sources:
        text = "\n".join(source.lines)
        for match in re.finditer(
            r"^(?:inline|extern \"C\"|template[^\n]*\n(?:inline)?)[^;{]*?(\w+)\(([^;{]*)\)\s*\{\n", text, re.MULTILINE
        ):
            body = text[match.end() : text.index("\n}", match.end() - 1)].split("\n")
            parameters = re.findall(r"(\w+) ([&*]?)(\w+)(?:,|$)", match[2])
            variables = {name: (type_, int(kind == "*")) for type_, kind, name in parameters}
            variables |= {name: (type_, dimensions) for type_, name, dimensions in filter(None, map(_declared, body))}
            yield Function(match[1], source, text[: match.end()].count("\n"), body, variables)


def _bodies(sources: list[Source]) -> dict[str, str]:
    """Function name to the text of its body (of all its overloads)."""
    bodies: dict[str, str] = {}
    for function in _functions(sources):
        bodies[function.name] = bodies.get(function.name, "") + "\n".join(function.body)
    return bodies


def _recursion(sources: list[Source]) -> Iterator[str]:
    bodies = _bodies(sources)
    calls = {
        name: {w for w in re.findall(r"(\w+)(?:<[^<>;]*>)?\(", body) if w in bodies} for name, body in bodies.items()
    }

    def reaches(name: str, target: str, seen: set[str]) -> bool:
        return any(called == target or reaches(called, target, seen | {called}) for called in calls[name] - seen)

    for name in bodies:
        if reaches(name, name, set()):
            yield f"{name} is recursive"


def _structs(sources: list[Source]) -> dict[str, dict[str, tuple[str, int]]]:
    """Struct to its members: name to (type, dimensions)."""
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for source in sources:
        text = "\n".join(source.lines)
        for match in re.finditer(r"^struct (\w+) \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL):
            members = re.findall(r"^\s+(?:const )?(\w+) \*?(\w+)((?:\[[^\]]+\])*);", match[2], re.MULTILINE)
            found[match[1]] = {name: (type_, dimensions.count("[")) for type_, name, dimensions in members}
    return found


def _arrays_in(type_: str, structs: Mapping[str, dict[str, tuple[str, int]]]) -> Iterator[tuple[str, int]]:
    """Paths of the arrays in a struct, as in .act.block, and their dimensions."""
    for name, (inner, dimensions) in structs.get(type_, {}).items():
        if dimensions:
            yield f".{name}", dimensions
        for path, deeper in _arrays_in(inner, structs):
            yield f".{name}{path}", deeper


def _storage(source: Source) -> dict[str, Storage]:
    found: dict[str, Storage] = {}
    for line in source.lines:
        words = line.split()
        if words[:2] == ["#pragma", "HLS"] and len(words) > 2:
            options = dict(word.partition("=")[::2] for word in words[3:])
            storage = found.setdefault(options.get("variable", "").replace("->", "."), Storage())
            if words[2] == "BIND_STORAGE":
                storage.bound = True
            if words[2] == "ARRAY_PARTITION" and options.get("type") == "complete":
                storage.complete.add(int(options.get("dim", 1)))
    return found


def _unbound(sources: list[Source]) -> Iterator[str]:
    """Arrays of which no pragma says where they lie: neither bound to a kind of RAM nor made registers."""
    structs = _structs(sources)
    everywhere: dict[str, Storage] = {}
    for source in sources:
        everywhere.update(_storage(source))
    for source in sources:
        own, inside = _storage(source), False
        for index, line in enumerate(source.lines):
            inside = (inside or line.startswith("struct ")) and not line.startswith("};")
            declared = _declared(line)
            if inside or declared is None or "&" in line.partition("=")[0]:
                continue
            type_, name, dimensions = declared
            arrays = [(name, dimensions)] if dimensions else []
            arrays += [(name + path, deeper) for path, deeper in _arrays_in(type_, structs)]
            for path, count in arrays:
                storage = own.get(path) or (everywhere.get(path) if line[:1] != " " else None) or Storage()
                if not storage.bound and 0 not in storage.complete and not storage.complete >= set(range(1, count + 1)):
                    yield f"{source.name}:{source.numbers[index]}: {path} is neither bound to a RAM nor made registers"


Array = tuple[str, str]
"""The struct that an array is a member of, "" for a variable, and its name."""


def _resolve(
    path: str, variables: Mapping[str, tuple[str, int]], structs: Mapping[str, dict[str, tuple[str, int]]]
) -> Array | None:
    """The array that a path as machine.act.block leads to, from variables (name to type and dimensions); None if to none."""
    name, *members = path.replace("->", ".").split(".")
    struct, (type_, dimensions) = "", variables.get(name, ("", 0))
    for name in members:
        struct, (type_, dimensions) = type_, structs.get(type_, {}).get(name, ("", 0))
    return (struct, name) if dimensions else None


def _globals(sources: list[Source]) -> dict[str, tuple[str, int]]:
    found = {}
    for source in sources:
        for declared in filter(None, map(_declared, (line for line in source.lines if line[:1] not in (" ", "")))):
            found[declared[1]] = (declared[0], declared[2])
    return found


def _variable(line: str) -> str | None:
    found = re.search(r"#pragma HLS .*\bvariable=(\S+)", line)
    return found[1] if found else None


def _unknown_variables(sources: list[Source]) -> Iterator[str]:
    """Pragmas inside functions whose variable leads to no array: Vitis HLS warns of them and goes on without."""
    structs, outside = _structs(sources), _globals(sources)
    for function in _functions(sources):
        for index, line in enumerate(function.body):
            path = _variable(line)
            if path is not None and _resolve(path, {**outside, **function.variables}, structs) is None:
                place = f"{function.source.name}:{function.source.numbers[function.first + index]}"
                yield f"{place}: {line.split()[2]} names {path}, which is no array of {function.name}"


def _accesses(
    body: str, variables: Mapping[str, tuple[str, int]], structs: Mapping[str, dict[str, tuple[str, int]]]
) -> tuple[set[Array], set[Array]]:
    """The members of structs that some code reads, and those that it writes, by itself."""
    read, written = set(), set()
    for statement in re.split(r"[;{}]", re.sub(r"#pragma.*", "", body)):
        for match in re.finditer(r"\b[A-Za-z_]\w*(?:\.\w+)+", statement):
            array = _resolve(match[0], variables, structs)
            if array is not None:
                assigned = re.match(r"(?:\[[^\]]*\])+ = ", statement[match.end() :])
                packed = re.search(r"\bpack<", statement[: match.start()])
                (written if assigned or packed else read).add(array)
    return read, written


def _block(lines: list[str]) -> list[str]:
    """The lines between the brace at the end of the first and the one that closes it."""
    depth = 0
    for index, line in enumerate(lines):
        depth += line.count("{") - line.count("}")
        if depth <= 0:
            return lines[1:index]
    return lines[1:]


def _called(body: str) -> set[str]:
    return set(re.findall(r"(\w+)(?:<[^<>;]*>)?\(", body))


def _dependences(sources: list[Source]) -> Iterator[str]:
    """Pipelined loops that read and write a RAM, and do not say whether one iteration needs another's result."""
    structs, functions, bodies = _structs(sources), list(_functions(sources)), _bodies(sources)
    rams: set[Array | None] = set()
    reads: dict[str, set[Array]] = {}
    writes: dict[str, set[Array]] = {}
    for function in functions:
        read, written = _accesses("\n".join(function.body), function.variables, structs)
        reads[function.name] = reads.get(function.name, set()) | read
        writes[function.name] = writes.get(function.name, set()) | written
        bound = (line for line in function.body if line.startswith("#pragma HLS BIND_STORAGE"))
        rams |= {_resolve(_variable(line) or "", function.variables, structs) for line in bound}

    def reached(names: set[str], seen: set[str]) -> set[str]:
        for name in names & set(bodies):
            if name not in seen:
                seen = reached(_called(bodies[name]), seen | {name})
        return seen

    for function in functions:
        for index, line in enumerate(function.body):
            if not line.startswith("#pragma HLS PIPELINE"):
                continue
            head = next((i for i in range(index, -1, -1) if _is_loop(function.body[i])), 0)
            lines = _block(function.body[head:])
            body = "\n".join(lines)
            read, written = _accesses(body, function.variables, structs)
            for name in reached(_called(body), set()):
                read, written = read | reads[name], written | writes[name]
            pragmas = (text for text in lines if text.startswith("#pragma HLS DEPENDENCE"))
            said = {_resolve(_variable(text) or "", function.variables, structs) for text in pragmas}
            for struct, name in sorted((read & written & rams) - said):
                place = f"{function.source.name}:{function.source.numbers[function.first + head]}"
                yield f"{place}: the pipelined loop reads and writes {struct}.{name} without DEPENDENCE"


def _pointers_to_pointers(sources: list[Source]) -> Iterator[str]:
    """Pointers in structs, which are passed by reference, and references to or arrays of pointers: [HLS 214-134] ends synthesis.

    Reported for spcl/dace (issue 536) and UCLA-VAST/tapa (issue 55).
    """
    for source in sources:
        within = None
        for index, line in enumerate(source.lines):
            opened = re.match(r"struct (\w+) \{", line)
            within = opened[1] if opened else None if line.startswith("};") else within
            place = f"{source.name}:{source.numbers[index]}"
            if within and re.match(r"\s+(?:const )?\w+ \*", line) and "(" not in line:
                yield f"{place}: struct {within} holds a pointer, to which a reference points [HLS 214-134]"
            if re.search(r"\*\s*(?:const )?[&*]\s*\w|\w \*(?:const )?\w+\[", line):
                yield f"{place}: a pointer to a pointer [HLS 214-134]"


def _static_ultra_ram(sources: list[Source]) -> Iterator[str]:
    """Static objects in UltraRAM: they are given initial values with the bitstream (UG1399, Initializing and Resetting Arrays)."""
    for function in _functions(sources):
        static = {match[1] for line in function.body if (match := re.match(r"\s*static \w+ (\w+)", line))}
        for index, line in enumerate(function.body):
            root = re.split(r"[.-]", _variable(line) or "")[0]
            if "impl=uram" in line and root in static:
                place = f"{function.source.name}:{function.source.numbers[function.first + index]}"
                yield f"{place}: {root} is static, and UltraRAM takes no initial values"


def _in_unrolled_loop(body: list[str], index: int) -> bool:
    """Whether the innermost loop around a line of a function is unrolled."""
    depth = 0
    for above in range(index - 1, -1, -1):
        depth += body[above].count("{") - body[above].count("}")
        if depth > 0 and _is_loop(body[above]):
            return any(line.startswith("#pragma HLS UNROLL") for line in body[above + 1 : above + 3])
        depth = min(depth, 0)
    return False


def _unsure_bursts(sources: list[Source]) -> Iterator[str]:
    """Accesses to DRAM whose index has operators other than +, or variables of fewer than 64 bits, whose sum may wrap.

    Vitis HLS could not analyse the pattern and would make no burst: [HLS 214-229], UG1448, Burst Inference Failure 7.
    """
    for function in _functions(sources):
        ports = {name for name, declared in function.variables.items() if declared == ("Beat", 1)}
        body = "\n".join(function.body)
        counters = {name: type_ for type_, name in re.findall(r"for \((\w+) (\w+) = ", body)}
        for index, line in enumerate(function.body):
            for port, subscript in re.findall(r"\b(\w+)\[([^\]]*)\]", line):
                if port not in ports or _in_unrolled_loop(function.body, index):
                    continue  # all at once is a word of an on-chip memory
                place = f"{function.source.name}:{function.source.numbers[function.first + index]}"
                if re.search(r"[^\w +]", subscript):
                    yield f"{place}: {port}[{subscript}] is no sum, so that no burst is made [HLS 214-229]"
                for name in re.findall(r"[A-Za-z_]\w*", subscript):
                    type_ = counters.get(name) or function.variables.get(name, ("", 0))[0]
                    if type_ != "uint64_t":
                        yield f"{place}: {name}, which indexes {port}, may wrap, so that no burst is made [HLS 214-229]"


def _balanced_chains(sources: list[Source]) -> Iterator[str]:
    """Chains of DSPs, an unrolled sum of products, that expression balancing would make a tree: it is on by default (UG1399)."""
    for function in _functions(sources):
        body = function.body
        for index, line in enumerate(body):
            if _is_loop(line) and any(text.startswith("#pragma HLS UNROLL") for text in body[index + 1 : index + 3]):
                chained = any(re.search(r"\+= [^;]*\w \* \w", text) for text in _block(body[index:]))
                if chained and "#pragma HLS EXPRESSION_BALANCE off" not in body:
                    place = f"{function.source.name}:{function.source.numbers[function.first + index]}"
                    yield f"{place}: {function.name} chains products, and lacks EXPRESSION_BALANCE off"
