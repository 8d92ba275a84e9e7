"""The inner step of the elimination: 64 images side by side, one byte each, written in LLVM's vector types.

LLVM splits ``<64 x i8>`` into the registers of the machine: one of AVX-512, two of AVX2, four of SSE or NEON. numba does not emit
saturating byte arithmetic for plain loops: they take 2.5 to 8 times as long for the whole match
(``tests/benchmarks/matching.py``, row "plain numba", 100 tiles, ε = 5).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 64
STEP = 4  # blocks between two comparisons with the limit

_BYTES = ir.VectorType(ir.IntType(8), LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES // 4)


@intrinsic  # type: ignore[untyped-decorator]
def lanes_below(context, planes, corner, offset, low, high, first, last, limit):  # type: ignore[no-untyped-def]
    """Return, one bit a lane, where Σ_blocks max(0, x − high, low − x) stays below a limit.

    Parameters
    ----------
    planes : array of uint8, shape (places · LANES,)
        Quantised block sums, lanes last, aligned to 64 bytes.
    corner : int64
        Place of the window's top left corner.
    offset : array of int64
        Place of each block from the corner.
    low, high : array of uint32
        Each block's interval, the byte four times over: a word is broadcast to a register at no cost, a byte is not.
    first, last : int64
        The blocks to add; ``last − first`` is a multiple of STEP, and at least STEP.
    limit : uint8

    Returns
    -------
    uint64
        0 as soon as no lane is below. Sums stop at 255, so that they never wrap around.
    """
    signature = types.uint64(planes, types.int64, offset, low, high, types.int64, types.int64, types.uint8)
    return signature, _emit


@intrinsic  # type: ignore[untyped-decorator]
def lanes_last(context, bytes_, stride, planes, place):  # type: ignore[no-untyped-def]
    """Transpose a square of LANES × LANES bytes: row i becomes lane i of LANES places.

    Parameters
    ----------
    bytes_ : array of uint8
        Row i begins at ``i · stride``.
    stride : int64
    planes : array of uint8
        Aligned to 64 bytes; LANES² bytes are written.
    place : int64
        Where in ``planes`` they begin, a multiple of LANES.
    """
    return types.void(bytes_, types.int64, planes, types.int64), _emit_transpose


def _emit_transpose(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    long = ir.IntType(64)
    source, target = (context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2))
    rows = []
    for i in range(LANES):
        begin = builder.mul(args[1], ir.Constant(long, i))
        rows.append(builder.load(builder.bitcast(builder.gep(source, [begin]), _BYTES.as_pointer()), align=1))
    # A perfect shuffle of the rows and within each pair of them, as often as LANES has binary digits, is a transpose.
    indices = ir.VectorType(ir.IntType(32), LANES)
    half = LANES // 2
    lower, upper = (ir.Constant(indices, [b + i // 2 + LANES * (i % 2) for i in range(LANES)]) for b in (0, half))
    for _ in range(LANES.bit_length() - 1):
        rows = [builder.shuffle_vector(rows[i], rows[i + half], order) for i in range(half) for order in (lower, upper)]
    for i, row in enumerate(rows):
        at = builder.add(args[3], ir.Constant(long, i * LANES))
        builder.store(row, builder.bitcast(builder.gep(target, [at]), _BYTES.as_pointer()), align=64)
    return context.get_dummy_value()


def _emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    word, long = ir.IntType(32), ir.IntType(64)
    planes, offset, low, high = (context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2, 3, 4))
    corner, first, last = args[1], args[5], args[6]
    none = ir.Constant(long, 0)

    def binary(name: str) -> Any:
        kind = ir.FunctionType(_BYTES, (_BYTES, _BYTES))
        name = f"llvm.{name}.v{LANES}i8"
        known = builder.module.globals.get(name)
        return known if known is not None else ir.Function(builder.module, kind, name)

    add, subtract = binary("uadd.sat"), binary("usub.sat")

    def spread(value: Any, lanes: ir.VectorType) -> Any:
        undefined = ir.Constant(lanes, ir.Undefined)
        single = builder.insert_element(undefined, value, ir.Constant(word, 0))
        return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(word, lanes.count), None))

    def load(pointer: Any, index: Any, align: int) -> Any:
        return builder.load(builder.gep(pointer, [index]), align=align)

    limits = spread(args[7], _BYTES)
    entry = builder.block
    body, done = builder.append_basic_block("blocks"), builder.append_basic_block("done")
    builder.branch(body)
    builder.position_at_end(body)
    block, total = builder.phi(long), builder.phi(_BYTES)
    block.add_incoming(first, entry)
    total.add_incoming(ir.Constant(_BYTES, None), entry)
    summed = total
    for step in range(STEP):
        k = builder.add(block, ir.Constant(long, step))
        place = builder.mul(builder.add(corner, load(offset, k, 8)), ir.Constant(long, LANES))
        x = builder.load(builder.bitcast(builder.gep(planes, [place]), _BYTES.as_pointer()), align=64)
        above = builder.call(subtract, (x, builder.bitcast(spread(load(high, k, 4), _WORDS), _BYTES)))
        below = builder.call(subtract, (builder.bitcast(spread(load(low, k, 4), _WORDS), _BYTES), x))
        summed = builder.call(add, (summed, builder.or_(above, below)))  # one of the two is 0
    following = builder.add(block, ir.Constant(long, STEP))
    mask = builder.bitcast(builder.icmp_unsigned("<", summed, limits), long)
    going = builder.and_(builder.icmp_unsigned("!=", mask, none), builder.icmp_signed("<", following, last))
    block.add_incoming(following, body)
    total.add_incoming(summed, body)
    builder.cbranch(going, body, done)
    builder.position_at_end(done)
    return mask
