"""The static checks' own parsers and rules, on captured text: no nvcc is needed."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "csrc" / "cuda"
MANGLED = "_ZN7fctfast3gpu16fct_views_kernelIfLi4ELb0ELb1EEEvNS0_11ViewsParamsEPT_"
NAME = "fct_views_kernel<float, 4, false, true>"

# Captured from nvcc 13.0 for sm_80, the last one made to spill.
PTXAS = f"""\
ptxas info    : 28 bytes gmem, 224 bytes cmem[4]
ptxas info    : Compiling entry function '{MANGLED}' for 'sm_80'
ptxas info    : Function properties for {MANGLED}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 128 bytes smem, 600 bytes cmem[0]
ptxas info    : Compile time = 25.924 ms
ptxas info    : Compiling entry function '_Z4bulkPf' for 'sm_80'
ptxas info    : Function properties for _Z4bulkPf
    16 bytes stack frame, 24 bytes spill stores, 36 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 16 bytes cumulative stack size
ptxas info    : Function properties for _Z6calleePf
    8 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
"""

PTX = f"""\
.version 9.0
.target sm_80
.extern .shared .align 16 .b8 bytes[];
.func  (.param .b32 func_retval0) _Z6calleePf(
	.param .b64 p
)
;
.visible .entry {MANGLED}(
	.param .align 8 .b8 p_0[248],
	.param .u64 .ptr .align 1 p_1
)
.maxntid 256, 1, 1
{{
	.reg .pred 	%p<5>;
	ld.param.u64 	%rd1, [p_0+8];
	ld.global.nc.u8 	%rs1, [%rd2];  // atom.global.add.u32 in a comment
	@%p1 bra 	$L__BB0_2;
	// begin inline asm
	{{ cvt.rn.f16.f32 %rs2, %f1;
}}
	// end inline asm
	redux.sync.add.s32 %r7, %r8, %r9;
	st.global.cs.v4.u32 	[%rd3], {{%r1, %r2, %r3, %r4}};
	ret;
}}
.visible .entry _Z4bulkPf(
	.param .u64 p
)
{{
	@!%p2 atom.global.add.f32 %f1, [%rd1], %f2;
	{{ .reg .f32 t; red.global.add.f32 [%rd1], t; }}
	st.global.cs.v2.u32 	[%rd3], {{%r1, %r2}};
	ret;
}}
"""


@pytest.fixture(scope="module")
def checks() -> Iterator[ModuleType]:
    """The script of the clone, which is no part of the installed package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("static_checks")
    for name in ("static_checks", "budget", "claims", "kernel", "ptx_report", "toolchain"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def claims(checks: ModuleType) -> ModuleType:
    return importlib.import_module("claims")


@pytest.fixture(scope="module")
def report(checks: ModuleType) -> ModuleType:
    return importlib.import_module("ptx_report")


def kernel(checks: ModuleType, name: str = NAME, body: str = "", arch: int = 80, **used: int):
    """A kernel that uses 40 registers and nothing else, unless `used` says so."""
    resources = checks.Resources(**{"registers": 40, **used})
    return checks.Kernel(name, arch, resources, threads=256, body=body)


def test_ptxas_report(checks: ModuleType, report: ModuleType) -> None:
    found = report.parse_ptxas(PTXAS)
    assert found[MANGLED] == checks.Resources(registers=40, shared=128)
    bulk = checks.Resources(registers=64, stack=16, spill_stores=24, spill_loads=36)
    assert found["_Z4bulkPf"] == bulk
    assert found["_Z6calleePf"] == checks.Resources(stack=8)


def test_ptx_functions(report: ModuleType) -> None:
    found = report.parse_ptx(PTX)
    assert list(found) == [MANGLED, "_Z4bulkPf"]  # the declaration has no body
    assert found[MANGLED].entry
    assert found[MANGLED].threads == 256
    assert found["_Z4bulkPf"].threads is None
    # The scope of the inline assembly does not end the function.
    assert "st.global.cs.v4.u32" in report.instructions(found[MANGLED].body)


@pytest.mark.parametrize(
    ("opcode", "kind", "space", "size", "cache"),
    [
        ("st.global.cs.v4.u32", "st", "global", 16, {"cs"}),
        ("st.global.cs.v2.b64", "st", "global", 16, {"cs"}),
        ("ld.global.nc.v4.f32", "ld", "global", 16, {"nc"}),
        ("ld.global.nc.L1::no_allocate.L2::128B.v8.b32", "ld", "global", 32, {"nc"}),
        ("ld.volatile.shared::cta.b128", "ld", "shared", 16, set()),
        ("ldu.global.u8", "ld", "global", 1, set()),
        ("st.u16", "st", "generic", 2, set()),
    ],
)
def test_access(report: ModuleType, opcode, kind, space, size, cache) -> None:
    assert report.access(opcode) == report.Access(kind, space, size, frozenset(cache))


@pytest.mark.parametrize(
    "opcode", ["add.s32", "mma.sync.aligned.m16n8k8", "st.async", "ldmatrix.b16"]
)
def test_no_access(report: ModuleType, opcode: str) -> None:
    assert report.access(opcode) is None


@pytest.mark.parametrize(
    ("demangled", "short"),
    [
        (
            "void fctfast::gpu::fct_views_kernel<fctfast::Half, 8, false, true>"
            "(fctfast::gpu::ViewsParams, fctfast::Half*)",
            "fct_views_kernel<Half, 8, false, true>",
        ),
        ("void a::(anonymous namespace)::k<(a::Kind)1>(int (*)(float))", "k<(Kind)1>"),
        ("bulk(float*)", "bulk"),
    ],
)
def test_short_name(report: ModuleType, demangled: str, short: str) -> None:
    assert report.short_name(demangled) == short


def test_flags_without_architecture_and_files(checks: ModuleType) -> None:
    command = (
        'nvcc -DX=1 -O3 "--generate-code=arch=compute_75,code=[sm_75]" -gencode a -arch=sm_80 '
        "-fmad=false -MD -MT a.o -MF a.d -x cu -c /a.cu -o a.o"
    )
    flags = importlib.import_module("toolchain").compile_flags(command)
    assert flags == ["nvcc", "-DX=1", "-O3", "-fmad=false", "-x", "cu"]


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "blocks", "warps", "why"),
    [
        # Worked out with the toolkit's own cuda_occupancy.h.
        (80, 256, 32, 0, 8, 64, "warps, registers"),
        (80, 256, 33, 0, 6, 48, "registers"),
        (86, 256, 40, 0, 6, 48, "warps, registers"),
        (75, 32, 16, 0, 16, 16, "blocks"),
        (90, 128, 32, 48 << 10, 4, 16, "shared memory"),
        (120, 1024, 64, 0, 1, 32, "warps, registers"),
        (75, 256, 191, 3072, 1, 8, "registers"),
        (80, 160, 24, 0, 12, 60, "warps"),  # 5 warps do not fill 4 partitions evenly
        (90, 1024, 65, 0, 0, 0, "registers"),  # cannot be launched
    ],
)
def test_occupancy(
    report: ModuleType, arch, threads, registers, shared, blocks, warps, why
) -> None:
    assert report.occupancy(arch, threads, registers, shared) == (blocks, warps, why)


def test_good_kernel_passes_everything(
    checks: ModuleType, claims: ModuleType, report: ModuleType
) -> None:
    body = report.parse_ptx(PTX)[MANGLED].body
    good = [kernel(checks, body=body)]
    assert checks.check_memory(good) == checks.check_atomics(good) == []
    assert checks.check_budget(good, {"80": {NAME: {"registers": 40, "shared": 0}}}) == []
    assert claims.check_claims(good, claims.CLAIMS[:1]) == ([], [])


def test_spills_and_stack_are_wrong(checks: ModuleType) -> None:
    (spilled,) = checks.check_memory([kernel(checks, spill_stores=24, spill_loads=36, stack=16)])
    assert spilled.startswith(f"sm_80 {NAME}: expected no spills, got 24 bytes stored and 36")
    (framed,) = checks.check_memory([kernel(checks, stack=16)])
    assert "expected no stack frame, got 16 bytes" in framed


def test_atomics_are_wrong(checks: ModuleType, report: ModuleType) -> None:
    bulk = kernel(checks, body=report.parse_ptx(PTX)["_Z4bulkPf"].body)
    (line,) = checks.check_atomics([bulk])
    assert "got atom.global.add.f32, red.global.add.f32" in line


def test_fewer_blocks_than_launches_are_planned_with(checks: ModuleType) -> None:
    name = "supcon_forward_kernel<HalfProducts, false, 2>"

    def found(registers: int, arch: int = 90) -> list[str]:
        resources = checks.Resources(registers=registers)
        kernel = checks.Kernel(name, arch, resources, threads=128, body=())
        wrong: list[str] = checks.check_planned([kernel])
        return wrong

    assert found(168) == []
    assert "expected 3 blocks on a unit, got 2" in found(170)[0]
    assert found(170, arch=80) == []


def test_over_budget(checks: ModuleType) -> None:
    budget = {"80": {NAME: {"registers": 39, "shared": 64}}}
    lines = checks.check_budget([kernel(checks, shared=65)], budget)
    assert [line.split(": find")[0] for line in lines] == [
        f"sm_80 {NAME}: expected at most 39 registers, got 40",
        f"sm_80 {NAME}: expected at most 64 shared, got 65",
    ]


def test_budget_and_kernels_know_each_other(checks: ModuleType) -> None:
    entry = {"registers": 40, "shared": 0}
    (missing,) = checks.check_budget([kernel(checks)], {})
    assert "expected an entry in budget.json, got none" in missing
    (orphan,) = checks.check_budget([kernel(checks)], {"80": {NAME: entry, "gone": entry}})
    assert orphan.startswith("sm_80 gone: expected a kernel of this name")
    # An architecture that was not compiled now is not compared.
    assert checks.check_budget([kernel(checks)], {"80": {NAME: entry}, "90": {"gone": entry}}) == []


def test_missing_wide_store(checks: ModuleType, claims: ModuleType) -> None:
    body = "\n\tst.global.cs.v2.u32 [%rd3], {%r1, %r2};\n\tst.global.v4.u32 [%rd3], {%r1};\n"
    (line,) = claims.check_claims([kernel(checks, body=body)], claims.CLAIMS[:1])[0]
    assert "expected st.global.cs of 16 bytes, got st.global.cs.v2.u32, st.global.v4.u32" in line
    narrow = kernel(checks, name="fct_views_kernel<float, 1, false, true>", body=body)
    assert claims.check_claims([narrow], claims.CLAIMS[:1]) == ([], [])


def test_claims_without_vector_width_hold_for_all(checks: ModuleType, claims: ModuleType) -> None:
    claim = claims.Claim("gram_kernel", ("mma.sync.tf32",))
    good = "\n\tmma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f1}, {%r1};\n"
    assert claims.check_claims([kernel(checks, "gram_kernel", good)], [claim]) == ([], [])
    (line,) = claims.check_claims([kernel(checks, "gram_kernel", "\n\tfma.rn.f32 %f1;")], [claim])[
        0
    ]
    assert "expected mma.sync.tf32, got no global access" in line
    assert claims.check_claims([], [claim])[1] == ["claim gram_kernel: no kernel of this name"]


def test_names_must_differ(checks: ModuleType) -> None:
    assert checks.twins([kernel(checks), kernel(checks, arch=90)]) == []
    assert "expected one kernel of this name, got 2" in checks.twins([kernel(checks)] * 2)[0]


def test_budget_file(checks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path, entry = tmp_path / "budget.json", {"registers": 40, "shared": 0}
    old = {"13.0": {"90": {"kept": entry}, "80": {"gone": entry}}}
    path.write_text(json.dumps(old))
    assert checks.budget_part([kernel(checks)], "13.0", path, update=True) == []
    text = path.read_text()
    assert json.loads(text) == {"13.0": {"80": {NAME: entry}, "90": {"kept": entry}}}
    assert f'   "{NAME}": {{"registers": 40, "shared": 0}}\n' in text  # one line a kernel
    assert [p.name for p in tmp_path.iterdir()] == ["budget.json"]
    assert checks.budget_part([kernel(checks)], "13.0", path, update=False) == []
    assert checks.budget_part([kernel(checks, registers=41)], "12.9", path, update=False) == []
    assert "no budget for this nvcc (12.9" in capsys.readouterr().err


def test_probes(checks: ModuleType) -> None:
    text = "// archs: 75 80\n// expect: mma\\.sync\\S*tf32\n"
    assert checks.probe_archs(text, None) == [75, 80]
    assert checks.probe_archs("", [90]) == [90]
    assert checks.check_probe("a.cu", 80, text, "mma.sync.aligned.tf32") == []
    (line,) = checks.check_probe("a.cu", 80, text, "add.f32")
    assert line.startswith("a.cu sm_80: expected PTX like /mma")


def test_table_says_it_is_not_measured(checks: ModuleType) -> None:
    table = checks.occupancy_table([kernel(checks)])
    assert table.startswith("# Occupancy: computed from the compiler's report, not measured\n")
    row = f"| `{NAME}` | 256 | 40 | 0 + 3072 | 6 | 48 | 75 % | registers |"
    assert row in table.splitlines()


def test_without_nvcc(
    checks: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("CUDACXX", "/nowhere/nvcc")
    assert checks.main([]) == 2
    assert "nvcc was not found" in capsys.readouterr().err
