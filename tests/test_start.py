"""What starts a network imports no more than that needs."""

import subprocess
import sys

# what compiles, and what reads MATLAB files: seconds together
APPLICATION = """
import sys
from person_search.network import load_network
from person_search.search.indexing import index_files
import torch
unneeded = {"torch._dynamo", "scipy.io"}
if not torch.__version__.startswith("2.4."):  # which imports these with its own checkpointing
    unneeded |= {"torch._inductor", "sympy"}
print(sorted(unneeded & set(sys.modules)))
"""
COMPILER = """
import fully_decoupled_ps, sys, torch, torchvision
assert "torch._dynamo.utils" not in sys.modules
from torchvision.ops import roi_align
import importlib
module = importlib.import_module("torchvision.ops.roi_align")
supported = getattr(module, "is_compile_supported", None)
import torch._dynamo.utils as real
assert supported is None or supported("cuda") == real.is_compile_supported("cuda")
print(torch.compile(lambda x: x + 1, backend="eager")(torch.zeros(1)).item())
"""
ON_DEMAND = """
from fully_decoupled_ps._light_torchvision import without_compiler
with without_compiler():
    from torch._dynamo.utils import is_compile_supported, counters
    is_compile_supported("cuda")
import torch._dynamo.utils
assert torch._dynamo.utils.counters is counters
print("same")
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_application_starts_without_the_compiler():
    assert run(APPLICATION) == "[]"


def test_the_compiler_is_there_for_who_asks_for_it():
    assert run(COMPILER) == "1.0"
    assert run(ON_DEMAND) == "same"
