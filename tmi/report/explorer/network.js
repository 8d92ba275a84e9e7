// Computes networks: the operations that operations.py writes, forward and backward, on plain typed arrays.
// It draws nothing and touches no page, so that it runs in a browser and in Node alike.
"use strict";

const tmiNetwork = (() => {
  // --- Arrays ---------------------------------------------------------------------------------------------------------

  const TYPES = { u1: Uint8Array, u2: Uint16Array, i4: Int32Array, f4: Float32Array };

  /** An array that payload.py packed; null stays null. */
  function unpack(packed) {
    if (packed === null || packed === undefined) return null;
    const bytes = Uint8Array.from(atob(packed.data), (character) => character.charCodeAt(0));
    const values = new TYPES[packed.type](bytes.buffer);
    return packed.scale ? Float32Array.from(values, (value) => value / packed.scale) : values;
  }

  const product = (shape) => shape.reduce((a, b) => a * b, 1);

  // --- Tiles ----------------------------------------------------------------------------------------------------------

  /** The pixels of a tile's support: where in the flat image, seen from the window's corner, which value, which 2×2 patch. */
  function pixelsOf(tile, shape) {
    const [channels, rows, cols] = tile.shape, offset = [], value = [], patch = [], known = new Map();
    for (let i = 0; i < tile.values.length; i++) {
      if (!tile.support[i]) continue;
      const channel = Math.floor(i / (rows * cols)), row = Math.floor(i / cols) % rows, col = i % cols;
      const corner = `${row >> 1} ${col >> 1}`;
      if (!known.has(corner)) known.set(corner, known.size);
      offset.push((channel * shape[1] + row) * shape[2] + col);
      value.push(tile.values[i]);
      patch.push(known.get(corner));
    }
    const [offsets, patchOf] = [offset, patch].map((one) => Int32Array.from(one));
    return { offset: offsets, value: Float32Array.from(value), patch: patchOf, patches: known.size };
  }

  /** Decode a data set and its networks, once. */
  function prepare(world) {
    for (const tile of world.tiles) {
      tile.values = unpack(tile.values);
      const bits = unpack(tile.support);
      tile.support = Uint8Array.from(tile.values, (_, i) => (bits[i >> 3] >> (7 - (i & 7))) & 1);
      tile.windows = [world.shape[1] - tile.shape[1] + 1, world.shape[2] - tile.shape[2] + 1];
      tile.pixels = pixelsOf(tile, world.shape);
    }
    for (const scene of world.scenes) scene.background = unpack(scene.background);
    for (const network of world.networks) {
      let shape = world.shape;
      for (const operation of network.operations) {
        for (const [name, entry] of Object.entries(operation)) {
          if (entry && entry.data !== undefined) operation[name] = unpack(entry);
        }
        operation.tiles = world.tiles;
        operation.image = world.shape;
        operation.from = shape;
        operation.output = new Float64Array(product(operation.shape));
        shape = operation.shape;
      }
    }
    return world;
  }

  /** Write a scene's image: the background with a tile's values at a place, pasted as tmi.Scenes does. */
  function render(world, background, tile, values, row, col, image) {
    image.set(background);
    const [, rows, cols] = world.shape, [channels, height, width] = tile.shape;
    const share = world.paste === "blend" ? ((2 * tile.epsilon) / tile.pixels.value.length) * (1 - 2 ** -10) : 0;
    for (let channel = 0, i = 0; channel < channels; channel++) {
      for (let r = 0; r < height; r++) {
        for (let c = 0; c < width; c++, i++) {
          if (world.paste !== "rectangle" && !tile.support[i]) continue;
          const at = (channel * rows + row + r) * cols + col + c;
          image[at] = share ? Math.min(1, Math.max(0, values[i] + share * (image[at] - 0.5))) : values[i];
        }
      }
    }
    return image;
  }

  /** t(window): the summed difference of a window from a tile, over the tile's support. It may stop above `enough`. */
  function distance(tile, image, corner, enough = Infinity) {
    const { offset, value } = tile.pixels;
    let sum = 0;
    for (let i = 0; i < offset.length && sum < enough; i++) sum += Math.abs(image[corner + offset[i]] - value[i]);
    return sum;
  }

  /** How many pairs of a tile and a window there are. */
  const windowsOf = (tiles) => tiles.reduce((sum, tile) => sum + tile.windows[0] * tile.windows[1], 0);

  /** Call `visit(neuron, tile, row, col, corner)` for every tile and window, in the order of the theorems' hidden layer. */
  function eachWindow(tiles, shape, visit) {
    let neuron = 0;
    for (let t = 0; t < tiles.length; t++) {
      const [rows, cols] = tiles[t].windows;
      for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) visit(neuron++, t, r, c, r * shape[2] + c);
    }
  }

  // --- Operations: `forward` fills y; `backward` adds to gx what the gradient gy with respect to y amounts to ----------------

  /** Call `visit(weight, first of y, first of x, count, step in x)` for each kernel's weight and row of the output. */
  function eachKernelRow(op, visit) {
    const [, height, width] = op.from, [outputs, rows, cols] = op.shape;
    const inputs = op.from[0] / op.groups, [down, across] = op.kernel;
    for (let o = 0, at = 0; o < outputs; o++) {
      const first = Math.floor(o / (outputs / op.groups)) * inputs;
      for (let i = 0; i < inputs; i++) {
        for (let k = 0; k < down * across; k++, at++) {
          const below = Math.floor(k / across) * op.dilation[0] - op.padding[0];
          const right = (k % across) * op.dilation[1] - op.padding[1];
          const left = Math.max(0, Math.ceil(-right / op.stride[1]));
          const count = Math.min(cols, Math.floor((width - 1 - right) / op.stride[1]) + 1) - left;
          if (op.weight[at] === 0 || count <= 0) continue;
          for (let r = 0; r < rows; r++) {
            const row = r * op.stride[0] + below;
            if (row < 0 || row >= height) continue;
            const x = ((first + i) * height + row) * width + left * op.stride[1] + right;
            visit(op.weight[at], (o * rows + r) * cols + left, x, count, op.stride[1]);
          }
        }
      }
    }
  }

  /** Call `visit(y, rows and columns of x, from and to)` for each output of a pooling. */
  function eachPool(op, visit) {
    const [channels, height, width] = op.from, [, rows, cols] = op.shape;
    const range = (i, axis, side) => {
      const parts = op.shape[axis + 1];
      if (op.kind === "adaptive-average-pool") return [Math.floor((i * side) / parts), Math.ceil(((i + 1) * side) / parts)];
      const start = i * op.stride[axis] - op.padding[axis];
      return [Math.max(0, start), Math.min(side, start + op.size[axis])];
    };
    for (let c = 0, y = 0; c < channels; c++) {
      for (let i = 0; i < rows; i++) {
        const [top, bottom] = range(i, 0, height);
        for (let j = 0; j < cols; j++, y++) {
          const [left, right] = range(j, 1, width);
          visit(y, c * height * width, width, top, bottom, left, right);
        }
      }
    }
  }

  function largestOf(x, base, width, top, bottom, left, right) {
    let best = -1;
    for (let r = top; r < bottom; r++) {
      for (let c = left; c < right; c++) {
        const at = base + r * width + c;
        if (best < 0 || x[at] > x[best]) best = at;
      }
    }
    return best;
  }

  const poolSize = (op, top, bottom, left, right) => (op.size ? op.size[0] * op.size[1] : (bottom - top) * (right - left));

  const averagePool = {
    forward(op, x, y) {
      eachPool(op, (at, base, width, top, bottom, left, right) => {
        let sum = 0;
        for (let r = top; r < bottom; r++) for (let c = left; c < right; c++) sum += x[base + r * width + c];
        y[at] = sum / poolSize(op, top, bottom, left, right);
      });
    },
    backward(op, x, y, gy, gx) {
      eachPool(op, (at, base, width, top, bottom, left, right) => {
        const share = gy[at] / poolSize(op, top, bottom, left, right);
        for (let r = top; r < bottom; r++) for (let c = left; c < right; c++) gx[base + r * width + c] += share;
      });
    },
  };

  const KINDS = {
    conv: {
      forward(op, x, y) {
        const places = op.shape[1] * op.shape[2];
        for (let o = 0; o < op.shape[0]; o++) y.fill(op.bias ? op.bias[o] : 0, o * places, (o + 1) * places);
        eachKernelRow(op, (weight, to, from, count, step) => {
          for (let i = 0; i < count; i++) y[to + i] += weight * x[from + i * step];
        });
      },
      backward(op, x, y, gy, gx) {
        eachKernelRow(op, (weight, to, from, count, step) => {
          for (let i = 0; i < count; i++) gx[from + i * step] += weight * gy[to + i];
        });
      },
    },
    linear: {
      forward(op, x, y) {
        for (let o = 0; o < y.length; o++) {
          let sum = op.bias ? op.bias[o] : 0;
          for (let i = 0, at = o * x.length; i < x.length; i++, at++) sum += op.weight[at] * x[i];
          y[o] = sum;
        }
      },
      backward(op, x, y, gy, gx) {
        for (let o = 0; o < y.length; o++) {
          if (gy[o] === 0) continue;
          for (let i = 0, at = o * gx.length; i < gx.length; i++, at++) gx[i] += op.weight[at] * gy[o];
        }
      },
    },
    sparse: {
      forward(op, x, y) {
        for (let o = 0; o < y.length; o++) {
          let sum = op.bias ? op.bias[o] : 0;
          for (let i = op.starts[o]; i < op.starts[o + 1]; i++) sum += op.values[i] * x[op.columns[i]];
          y[o] = sum;
        }
      },
      backward(op, x, y, gy, gx) {
        for (let o = 0; o < y.length; o++) {
          for (let i = op.starts[o]; gy[o] !== 0 && i < op.starts[o + 1]; i++) gx[op.columns[i]] += op.values[i] * gy[o];
        }
      },
    },
    match: {
      // σ(ε − t(window)) for every tile and window.
      forward(op, x, y) {
        eachWindow(op.tiles, op.image, (neuron, t, row, col, corner) => {
          y[neuron] = Math.max(0, op.epsilon[t] - distance(op.tiles[t], x, corner, op.epsilon[t]));
        });
      },
      // |y − c| = σ(2y − 2c) − σ(y) + c, so a pixel's slope is 1[y > 0] − 2·1[y > c]; for Theorem 2 none passes a 2×2 patch
      // that equals the tile's.
      backward(op, x, y, gy, gx) {
        eachWindow(op.tiles, op.image, (neuron, t, row, col, corner) => {
          if (y[neuron] <= 0 || gy[neuron] === 0) return;
          const { offset, value, patch, patches } = op.tiles[t].pixels, differs = new Uint8Array(patches);
          for (let i = 0; i < offset.length; i++) if (x[corner + offset[i]] !== value[i]) differs[patch[i]] = 1;
          for (let i = 0; i < offset.length; i++) {
            const pixel = x[corner + offset[i]];
            if (!op.patches || differs[patch[i]]) gx[corner + offset[i]] += gy[neuron] * ((pixel > 0) - 2 * (pixel > value[i]));
          }
        });
      },
    },
    scale: {
      forward(op, x, y) {
        const places = y.length / op.scale.length;
        for (let i = 0; i < y.length; i++) y[i] = op.scale[Math.floor(i / places)] * x[i] + op.shift[Math.floor(i / places)];
      },
      backward(op, x, y, gy, gx) {
        const places = y.length / op.scale.length;
        for (let i = 0; i < y.length; i++) gx[i] += op.scale[Math.floor(i / places)] * gy[i];
      },
    },
    relu: {
      forward: (op, x, y) => { for (let i = 0; i < y.length; i++) y[i] = x[i] > 0 ? x[i] : 0; },
      backward: (op, x, y, gy, gx) => { for (let i = 0; i < y.length; i++) if (x[i] > 0) gx[i] += gy[i]; },
    },
    reshape: {
      forward: (op, x, y) => y.set(x),
      backward: (op, x, y, gy, gx) => { for (let i = 0; i < y.length; i++) gx[i] += gy[i]; },
    },
    "max-pool": {
      forward: (op, x, y) => eachPool(op, (at, ...where) => { y[at] = x[largestOf(x, ...where)]; }),
      backward: (op, x, y, gy, gx) => eachPool(op, (at, ...where) => { gx[largestOf(x, ...where)] += gy[at]; }),
    },
    "average-pool": averagePool,
    "adaptive-average-pool": averagePool,
  };

  // --- Networks -------------------------------------------------------------------------------------------------------

  /** Compute a network on an image, up to an operation; return the output of that operation. The outputs stay in place. */
  function forward(network, image, last = network.operations.length - 1) {
    let x = image;
    for (const operation of network.operations.slice(0, last + 1)) {
      KINDS[operation.kind].forward(operation, x, operation.output);
      x = operation.output;
    }
    return x;
  }

  /** The gradient of one logit with respect to the image, after `forward` on this image. */
  function backward(network, image, logit) {
    let gradient = new Float64Array(network.operations.at(-1).output.length);
    gradient[logit] = 1;
    for (let i = network.operations.length - 1; i >= 0; i--) {
      const operation = network.operations[i], x = i ? network.operations[i - 1].output : image;
      const below = new Float64Array(x.length);
      KINDS[operation.kind].backward(operation, x, operation.output, gradient, below);
      gradient = below;
    }
    return gradient;
  }

  const STEPS = 64;

  /** Add one step of integrated gradients from the black image: the gradient at its middle (Captum's "riemann_middle"). */
  function integrate(network, image, logit, step, total) {
    const part = image.map((value) => (value * (step + 0.5)) / STEPS);
    forward(network, part);
    backward(network, part, logit).forEach((value, i) => { total[i] += (value * image[i]) / STEPS; });
  }

  /** Attribution maps of one logit, one value a channel and pixel; after `forward` on the image. */
  const ATTRIBUTIONS = {
    gradient: backward,
    "input × gradient": (network, image, logit) => backward(network, image, logit).map((value, i) => value * image[i]),
    "integrated gradients": (network, image, logit) => {
      const total = new Float64Array(image.length);
      for (let step = 0; step < STEPS; step++) integrate(network, image, logit, step, total);
      return total;
    },
  };

  /** φ of each class, and the tiles that the image contains: the truth of which class it shows. */
  function truth(world, image) {
    const phi = new Float64Array(world.classes.length), tiles = new Set();
    eachWindow(world.tiles, world.shape, (neuron, t, row, col, corner) => {
      const slack = world.tiles[t].epsilon - distance(world.tiles[t], image, corner, world.tiles[t].epsilon);
      if (slack <= 0) return;
      phi[world.tiles[t].class] += slack;
      tiles.add(t);
    });
    return { phi, tiles };
  }

  return { unpack, prepare, render, distance, windowsOf, forward, backward, truth, integrate, STEPS, ATTRIBUTIONS };
})();

if (typeof module !== "undefined") module.exports = tmiNetwork;
