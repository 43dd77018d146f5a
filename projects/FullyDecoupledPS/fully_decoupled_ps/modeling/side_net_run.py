"""Running f_r beside the rest of the detector at inference (the two are parallel in the paper)."""

from collections.abc import Callable

import torch


class SideNetRun:
    """One run of a side-net, which starts as soon as the detector's maps for it are there.

    On a CUDA device it has a stream of its own, so that it is computed beside the detector's
    feature pyramid, proposals and heads. Elsewhere it is computed when it is started. What it
    computes is the same.
    """

    def __init__(self, side_net: Callable, device: torch.device):
        self.side_net = side_net
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, maps) -> None:
        """Called once, with the detector's maps, on the stream that the detector runs on."""
        if self.stream is None:
            self.output = self.side_net(maps)
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            self.output = self.side_net(maps)
        # The caching allocator doesn't know that this stream still reads the maps when the
        # detector's last reference to them is gone.
        self.maps = maps

    def result(self):
        """The side-net's output, for use on the caller's stream."""
        if self.stream is not None:
            stream = torch.cuda.current_stream(self.stream.device)
            stream.wait_stream(self.stream)
            for output in self.output if isinstance(self.output, list) else [self.output]:
                output.record_stream(stream)
        return self.output
