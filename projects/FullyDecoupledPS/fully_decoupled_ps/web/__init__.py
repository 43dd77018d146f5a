"""The search page: what it shows, made from an index, apart from the Gradio layout (``page``).

Only ``page`` and ``server`` import Gradio, which is an optional extra.
"""
