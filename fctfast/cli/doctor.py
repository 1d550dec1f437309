"""``fctfast doctor``: what this installation can do on this machine, and why not more."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

import typer

from fctfast.cli import common
from fctfast.cli.common import guarded

NEEDED = ("torch", "torchvision", "numpy", "pillow", "pyarrow", "safetensors", "scikit-learn")
OPTIONAL = ("timm", "kornia")


@guarded
def run(as_json: common.Json = False, debug: common.Debug = False) -> None:
    """Show versions, instruction set, compiled libraries, DALI and devices.

    Exits 2 when the compiled ops cannot be loaded.

    \b
    Examples:
      fctfast doctor
      fctfast doctor --json
    """
    found = {
        "versions": _versions(),
        "machine": _machine(),
        "libraries": _libraries(),
        "dali": _dali(),
        "devices": _devices(),
    }
    common.emit(found, _lines(found), as_json=as_json)
    if not found["libraries"]["loaded"]:
        raise typer.Exit(common.FAILED)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _versions() -> dict[str, str | None]:
    import fctfast

    packages = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    return {"fctfast": fctfast.__version__, "python": platform.python_version(), **packages}


def _machine() -> dict[str, Any]:
    import torch

    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch_instruction_set": torch.backends.cpu.get_cpu_capability(),
    }


def _libraries() -> dict[str, Any]:
    """What the ops room says about its compiled libraries, or why there are none."""
    try:
        from fctfast import ops
    except ImportError as error:
        return {"loaded": False, "reason": str(error)}
    return {"loaded": True, **asdict(ops.library_status())}


def _dali() -> dict[str, Any]:
    installed = {
        str(d.metadata["Name"]): d.version
        for d in metadata.distributions()
        if str(d.metadata["Name"]).lower().startswith("nvidia-dali-cuda")
    }
    if not installed:
        return {"usable": False, "reason": "not installed (only bench/gpu.py uses it, as a peer)"}
    name, version = next(iter(installed.items()))
    try:
        importlib.import_module("nvidia.dali")
    except Exception as error:  # its loader raises whatever the missing library raises
        return {"usable": False, "package": name, "version": version, "reason": str(error)}
    return {"usable": True, "package": name, "version": version}


def _devices() -> dict[str, Any]:
    import torch

    built_for = torch.version.cuda
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return {"torch_cuda": built_for, "gpus": names}
    reason = "no GPU is visible" if built_for else "torch is built without CUDA"
    return {"torch_cuda": built_for, "gpus": [], "reason": reason}


def _lines(found: Mapping[str, Any]) -> list[str]:
    missing = dict.fromkeys(OPTIONAL, "not installed (optional)")
    versions = {k: v or missing.get(k, "MISSING") for k, v in found["versions"].items()}
    machine, dali, devices = found["machine"], found["dali"], found["devices"]
    gpus = ", ".join(devices["gpus"]) or f"none: {devices['reason']}"
    about_dali = f"{dali['version']}" if dali["usable"] else f"not usable: {dali['reason']}"
    return [
        "Versions",
        *common.table(versions),
        "Machine",
        *common.table({name.replace("_", " "): value for name, value in machine.items()}),
        "Compiled libraries",
        *_library_lines(found["libraries"]),
        "Devices",
        *common.table({"DALI": about_dali, "GPUs": gpus, "CUDA of torch": devices["torch_cuda"]}),
    ]


def _library_lines(status: Mapping[str, Any]) -> list[str]:
    if not status["loaded"]:
        return common.table({"ops": f"not loaded: {status['reason']}"})
    cuda = "loaded" if status["cuda_loaded"] else status["cuda_reason"]
    if status["cuda_built"] and not status["cuda_loaded"]:
        cuda = f"built, not loaded: {cuda}"
    ops = f"loaded, kernels for {status['instruction_set']}"
    return common.table({"ops": ops, "cuda": cuda, "folder": status["folder"]})
