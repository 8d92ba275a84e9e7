"""A network from elsewhere: code with weights, a program of ``torch.export``, or an ONNX file."""

from .builder import imported

__all__ = ["imported"]
