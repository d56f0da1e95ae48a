"""What training may take of a GPU, and what it took."""

from dataclasses import dataclass
from typing import Self

import torch


def limit_gpu(device: torch.device, share: float) -> None:
    """Let this process use at most this share of the GPU's memory; what needs more fails with an error of torch's."""
    if device.type == "cuda" and share < 1:
        torch.cuda.set_per_process_memory_fraction(share, device)


def gpus() -> list[tuple[str, int]]:
    """Name every CUDA device with its memory in bytes."""
    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [(str(one.name), int(one.total_memory)) for one in found]


@dataclass(slots=True)
class GpuUse:
    """Watches a GPU while a block runs; on leaving, all work that was started there is done.

    Attributes:
        device: where the block computes.
        peak_bytes: most memory in tensors, afterwards; None without a GPU.
    """

    device: torch.device
    peak_bytes: int | None = None

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        return self

    def __exit__(self, *error: object) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            self.peak_bytes = int(torch.cuda.max_memory_allocated(self.device))
