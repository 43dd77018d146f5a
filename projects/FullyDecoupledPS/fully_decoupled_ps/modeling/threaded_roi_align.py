"""RoIAlign on all threads of a CPU, where torchvision's kernel takes one."""

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import torch
from detectron2.layers import ROIAlign
from detectron2.modeling.poolers import ROIPooler
from torch import nn


class ThreadedROIAlign(ROIAlign):
    """Detectron2's, to the bit; without gradients on a CPU the RoIs are shared out to threads."""

    def forward(self, input, rois):
        """See :meth:`ROIAlign.forward`."""
        threads = min(torch.get_num_threads(), len(rois))
        is_traced = torch.jit.is_tracing() or torch.compiler.is_compiling()
        # poolers cast maps to float32; what autocast would cast does not reach the threads
        is_shared_out = input.device.type == "cpu" and input.dtype == torch.float32
        if threads < 2 or not is_shared_out or torch.is_grad_enabled() or is_traced:
            return super().forward(input, rois)
        # threads of its own: what outlives a call would not outlive a fork
        with ThreadPoolExecutor(threads) as pool:
            try:
                parts = pool.map(self._pool, repeat(input), rois.chunk(threads))
            except RuntimeError:  # the interpreter shuts down, and starts no threads any more
                return super().forward(input, rois)
            return torch.cat(list(parts))

    @torch.no_grad()  # which, like autocast, is said for each thread
    def _pool(self, input, rois):
        return super().forward(input, rois)


def pool_on_all_threads(network: nn.Module) -> None:
    """Have all poolers of a network, which is changed in place, share out their RoIs."""
    for pooler in [m for m in network.modules() if isinstance(m, ROIPooler)]:
        for level, old in enumerate(pooler.level_poolers):
            if type(old) is ROIAlign:
                pooler.level_poolers[level] = ThreadedROIAlign(
                    old.output_size, old.spatial_scale, old.sampling_ratio, old.aligned
                )
