"""The same function in other neurons."""

from .construction import DISGUISES, TOLERANCE, Disguise, check_logits, disguise, disguised

__all__ = ["DISGUISES", "TOLERANCE", "Disguise", "check_logits", "disguise", "disguised"]
