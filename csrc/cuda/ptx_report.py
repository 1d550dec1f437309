"""What nvcc says of a kernel: ptxas' -v report, the PTX, and the occupancy that follows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace

from toolchain import NoEnvironment, run


@dataclass(frozen=True)
class Resources:
    """What ptxas gave one kernel (registers of a thread, bytes of a block or a thread)."""

    registers: int = 0
    shared: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0


@dataclass(frozen=True)
class Function:
    """One function of a PTX file; `threads` is its largest block, None without launch bounds."""

    entry: bool
    threads: int | None
    body: str


@dataclass(frozen=True)
class Access:
    """One load or store: `kind` is ld or st, `size` the bytes it moves, `cache` such as cs."""

    kind: str
    space: str
    size: int
    cache: frozenset[str]


# ---- ptxas -v


def parse_ptxas(text: str) -> dict[str, Resources]:
    """Resources by mangled name; functions that were not inlined are reported like kernels."""
    found: dict[str, Resources] = {}
    compiling = described = ""
    for line in text.splitlines():
        if m := re.search(r"Compiling entry function '([^']+)'", line):
            compiling = m[1]
            found.setdefault(compiling, Resources())
        elif m := re.search(r"Function properties for (\S+)", line):
            # Quoted by some versions of ptxas; a .func stands here without a line of its own above.
            described = m[1].strip("'")
        elif m := re.search(r"(\d+) bytes stack frame, (\d+) \D+ stores, (\d+) \D+ loads", line):
            stack, stores, loads = map(int, m.groups())
            before = found.get(described, Resources())
            found[described] = replace(before, stack=stack, spill_stores=stores, spill_loads=loads)
        elif m := re.search(r"Used (\d+) registers", line):
            # A called function's frame is counted in its kernel's cumulative stack only.
            before = found[compiling]
            local = max(_bytes(line, "cumulative stack size"), _bytes(line, "lmem"))
            found[compiling] = replace(
                before,
                registers=int(m[1]),
                shared=_bytes(line, "smem"),
                stack=max(before.stack, local),
            )
    return found


def _bytes(line: str, what: str) -> int:
    m = re.search(rf"(\d+)(?:\+(\d+))? bytes {what}\b", line)
    return int(m[1]) + int(m[2] or 0) if m else 0


# ---- PTX

_FUNCTION = re.compile(r"^(?:\.\w+\s+)*\.(entry|func)\b([^{;]*)\{", re.M)
# Inline assembly puts several instructions on a line and brings scopes of its own.
_INSTRUCTION = re.compile(r"(?:^|[;{}])\s*(?:@!?[%\w]+\s+)?([a-z]\w*(?:\.[\w:]+)+)", re.M)
_ATOMIC = re.compile(r"(?:multimem\.)?(?:atom|red)\.|multimem\.ld_reduce|cp\.reduce\.")
_SPACES = frozenset({"global", "shared", "local", "param", "const"})
_CACHE = frozenset({"ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc"})


def parse_ptx(text: str) -> dict[str, Function]:
    """Functions of a PTX file by mangled name; declarations without a body are left out."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
    found = {}
    for m in _FUNCTION.finditer(text):
        kind, head = m.groups()
        # A function's name stands after its return value in brackets, a kernel's comes first.
        name = re.match(r"\s*(?:\([^)]*\)\s*)?([\w$]+)", head)
        bound = re.search(r"\.(?:maxntid|reqntid)\s+([\d\s,]+)", head)
        threads = None
        if bound:
            threads = 1
            for size in bound[1].split(","):
                threads *= int(size)
        if name:
            found[name[1]] = Function(kind == "entry", threads, _block(text, m.end()))
    return found


def _block(text: str, start: int) -> str:
    depth = 1
    for brace in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[start : brace.start()]
    return text[start:]


def instructions(body: str) -> list[str]:
    """The opcodes of a function in their order, operands left out."""
    return _INSTRUCTION.findall(body)


def atomics(body: str) -> list[str]:
    """The opcodes whose result depends on the order in which threads arrive."""
    return sorted({op for op in instructions(body) if _ATOMIC.match(op)})


def access(opcode: str) -> Access | None:
    """What a load or store moves; None for every other instruction."""
    kind, *parts = opcode.split(".")
    width = re.fullmatch(r"[busf](\d+)", parts[-1]) if parts else None
    if kind not in ("ld", "ldu", "st") or width is None:
        return None
    count = next((int(p[1:]) for p in parts if re.fullmatch(r"v\d", p)), 1)
    # shared::cta and the like are sub-spaces; without a space the address is generic.
    space = next((p.split("::")[0] for p in parts if p.split("::")[0] in _SPACES), "generic")
    return Access(kind[:2], space, count * int(width[1]) // 8, frozenset(parts) & _CACHE)


def accesses(body: str) -> set[Access]:
    """The different loads and stores of a function."""
    return {a for op in instructions(body) if (a := access(op)) is not None}


# ---- names


def demangle(names: Iterable[str]) -> dict[str, str]:
    """`_ZN7fctfast...` -> `fct_views_kernel<float, 4, false, true>`, the mangled name the key."""
    mangled = list(names)
    if not mangled:
        return {}
    program = shutil.which("c++filt") or shutil.which("cu++filt")
    if program is None:
        raise NoEnvironment("neither c++filt (binutils) nor cu++filt was found on PATH")
    lines = run([program], input="\n".join(mangled)).stdout.splitlines()
    return dict(zip(mangled, map(short_name, lines), strict=True))


def short_name(demangled: str) -> str:
    """Leave out the return type, the namespaces and the parameters."""
    text = demangled.replace("(anonymous namespace)::", "")
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            text = text[:at]
            break
    return re.sub(r"(?:\b\w+::)+", "", re.sub(r"^void ", "", text))


# ---- occupancy


@dataclass(frozen=True)
class Limits:
    """What one SM holds; `reserved` shared bytes of each block belong to the system."""

    warps: int
    blocks: int
    shared: int
    reserved: int = 1024
    registers: int = 65536


# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
LIMITS = {
    75: Limits(warps=32, blocks=16, shared=64 << 10, reserved=0),
    80: Limits(warps=64, blocks=32, shared=164 << 10),
    86: Limits(warps=48, blocks=16, shared=100 << 10),
    89: Limits(warps=48, blocks=24, shared=100 << 10),
    90: Limits(warps=64, blocks=32, shared=228 << 10),
    100: Limits(warps=64, blocks=32, shared=228 << 10),
    103: Limits(warps=64, blocks=32, shared=228 << 10),
    120: Limits(warps=48, blocks=24, shared=100 << 10),
}
_PARTITIONS = 4  # of an SM, each with its own quarter of the registers; a warp lives in one


def occupancy(arch: int, threads: int, registers: int, shared: int) -> tuple[int, int, str]:
    """Blocks and warps on an SM, and what allows no more; as in the toolkit's cuda_occupancy.h."""
    limits = LIMITS[arch]
    warps = -(-threads // 32)
    bounds = {"warps": limits.warps // warps, "blocks": limits.blocks}
    if registers:
        of_warp = -(-registers * 32 // 256) * 256
        room = limits.registers // _PARTITIONS // of_warp * _PARTITIONS
        # A launch is checked as if its warps filled every partition evenly.
        checked = -(-warps // _PARTITIONS) * _PARTITIONS * of_warp
        bounds["registers"] = room // warps if checked <= limits.registers else 0
    unit = 256 if arch < 80 else 128
    of_block = -(-(shared + limits.reserved) // unit) * unit
    if of_block:
        bounds["shared memory"] = limits.shared // of_block
    blocks = min(bounds.values())
    return blocks, blocks * warps, ", ".join(k for k, v in bounds.items() if v == blocks)
