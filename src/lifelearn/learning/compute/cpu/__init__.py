"""The hand-written decoder, for models of the Llama type; with kernels in C on processors with bfloat16.

Other rooms import the modules that `__all__` names.
"""

__all__ = ["adapter", "decoder", "kernels", "network"]
