"""What tools/ablation.py runs, and what it makes of the figures."""
