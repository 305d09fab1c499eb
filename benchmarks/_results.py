"""What the benchmarks share: a list of words, a clock, and CSV rows with machine and versions."""

import csv
import os
import platform
import re
import resource
import time
from importlib.metadata import version
from pathlib import Path

import torch

HERE = Path(__file__).parent
WORDS = (HERE / "words.txt").read_text().split()


def append_row(table, denoiser=None, /, **row):
    """Add a row to benchmarks/results/TABLE.csv; a table of other columns is begun anew."""
    path = HERE / "results" / f"{table}.csv"
    path.parent.mkdir(exist_ok=True)
    if denoiser is not None:
        row |= {"dtype": str(denoiser.dtype).removeprefix("torch."), "device": denoiser.device}
    row |= {"machine": machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    row |= {name: version(name) for name in ("torch", "diffusers")}
    known = path.read_text().partition("\n")[0].strip().split(",") if path.exists() else []
    with path.open("a" if known == list(row) else "w", newline="") as stream:
        writer = csv.DictWriter(stream, row)
        if known != list(row):
            writer.writeheader()
        writer.writerow(row)


def markdown(names, rows):
    """A table as a page of the docs has it, with numbers to the right."""
    lines = [f"| {' | '.join(line)} |" for line in [names, *rows]]
    lines.insert(1, f"|---|{'--:|' * (len(names) - 1)}")
    return "\n".join(lines)


def with_interval(facts, name, digits=2):
    """Text "0.307 (0.25 to 0.37)" of a row that has `name`, its `_low` and its `_high`."""
    low, high = (facts.get(f"{name}_{end}", float("nan")) for end in ("low", "high"))
    around = f" ({low:.{digits}f} to {high:.{digits}f})" if low == low else ""  # not NaN
    return f"{facts[name]:.3f}{around}"


def machine():
    """Name of the accelerator, else of the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo")
    model = lines.exists() and re.search(r"model name\s*:\s*(.+)", lines.read_text())
    return model[1] if model else platform.processor() or platform.machine()


def peak_memory():
    """Bytes of resident memory at its highest; ru_maxrss would count the parent's on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def stop_clock(device):
    """Seconds on the clock once everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
