// What the explorer draws with: elements, colours, pictures of images and of layers, and what neurons mean.
"use strict";

const tmiPictures = (() => {
  const N = tmiNetwork;
  const COLOURS = { constructed: [0, 114, 178], trained: [213, 94, 0], imported: [0, 158, 115] };
  const CHOSEN = "#E69F00";

  // --- Elements and text ------------------------------------------------------------------------------------------------

  /** Make an element with properties (role, for and aria-… are attributes) and children. */
  function el(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (/^(aria-|role$|for$)/.test(name)) element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children);
    return element;
  }

  /** Make an element with a text. */
  const text = (tag, textContent, className = "") => el(tag, { textContent, className });

  /** Change an element's text, if it is another one. */
  function say(element, words) {
    if (element.textContent !== words) element.textContent = words;
  }

  const option = (value, words) => el("option", { value, textContent: words });
  let lastId = 0;
  const newId = () => `tmi-explorer-${++lastId}`;

  /** A labelled select; `change` is called with its value. */
  function select(label, options, change) {
    const id = newId(), control = el("select", { id }, ...options);
    control.addEventListener("change", () => change(control.value));
    return { control, box: el("div", { className: "field" }, el("label", { for: id, textContent: label }), control) };
  }

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const inThousands = new Intl.NumberFormat("en");
  const many = (count) => inThousands.format(count);

  /** Three digits. */
  function number(value) {
    if (value === 0) return "0";
    return Math.abs(value) < 0.001 ? value.toExponential(1) : String(+value.toPrecision(3));
  }

  // --- Colours and images -----------------------------------------------------------------------------------------------

  /** The red, green and blue of a CSS variable of the page, which differs between light and dark. */
  function colourOf(element, name, otherwise) {
    const probe = el("span", { hidden: true });
    probe.style.color = `var(${name}, ${otherwise})`;
    element.append(probe);
    const rgb = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    probe.remove();
    return rgb;
  }

  /** A colour as the 32 bits of a pixel. Numbers, not arrays: a frame has some ten thousand of them. */
  const packed = (red, green, blue) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

  /** 256 colours from one to another. */
  function palette(from, to) {
    const between = (share) => from.map((value, c) => Math.round(value + share * (to[c] - value)));
    return Uint32Array.from({ length: 256 }, (_, i) => packed(...between(i / 255)));
  }

  /** The colour of a value in [0, most]: that of 0, or well apart from it. */
  const shade = (colours, value, most) => colours[value > 0 ? Math.round(76 + (179 * value) / most) : 0];

  /** Fill a canvas of rows × cols pixels; `colour(i)` returns a packed colour, or 0 for a pixel that shows what is below. */
  function paint(canvas, rows, cols, colour) {
    if (!canvas.picture || canvas.width !== cols || canvas.height !== rows) {
      Object.assign(canvas, { width: cols, height: rows });
      canvas.picture = canvas.getContext("2d").createImageData(cols, rows);
    }
    const pixels = new Uint32Array(canvas.picture.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = colour(i);
    canvas.getContext("2d").putImageData(canvas.picture, 0, 0);
  }

  /** The colours of an image's pixels: three channels as colours, others as their mean grey; ink is dark. */
  function pixelColour(world, image, places) {
    const channels = image.length / places;
    return (i) => {
      if (channels === 3) return packed(...[0, 1, 2].map((c) => Math.round(255 * image[c * places + i])));
      let grey = 0;
      for (let c = 0; c < channels; c++) grey += image[c * places + i] / channels;
      grey = Math.round(255 * (world.ink ? 1 - grey : grey));
      return packed(grey, grey, grey);
    };
  }

  /** A small picture of a tile; the pixels that do not count have the colour of the ground. */
  function thumbnail(world, tile, ground, properties) {
    const canvas = el("canvas", { className: "thumbnail", ...properties });
    const [channels, rows, cols] = tile.shape, places = rows * cols, colour = pixelColour(world, tile.values, places);
    const counts = (i) => Array.from({ length: channels }, (_, c) => tile.support[c * places + i]).some(Boolean);
    paint(canvas, rows, cols, (i) => (counts(i) ? colour(i) : ground));
    return canvas;
  }

  /** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
  function noise(seed, length) {
    let state = seed >>> 0;
    return Float32Array.from({ length }, () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    });
  }

  // --- What neurons mean ------------------------------------------------------------------------------------------------

  /** Decode the columns of a table; the result gives the value of a row, undefined for a column that is not there. */
  function table(columns) {
    const read = new Map(Object.entries(columns).map(([name, { index, names }]) => [name, { index: N.unpack(index), names }]));
    return (name, row) => {
      const column = read.get(name);
      return column && (column.names ? column.names[column.index[row]] : column.index[row]);
    };
  }

  function decodeLayer(layer) {
    if (layer.neurons) layer.meaning = table(layer.neurons);
    if (!layer.directions) return;
    for (const name of ["starts", "columns", "values"]) layer.directions[name] = N.unpack(layer.directions[name]);
    layer.directions.feature = table(layer.directions.features);
  }

  /** The tile and place that a neuron stands for, or null. */
  function placeOf(layer, neuron) {
    if (!layer.meaning) return null;
    const [tile, row, col] = ["tile", "row", "col"].map((name) => layer.meaning(name, neuron));
    return tile === undefined || row === undefined || col === undefined ? null : { tile, row, col };
  }

  /** The channel, row and column of a neuron in a layer of maps, or null. */
  function channelOf(layer, neuron) {
    if (layer.shape.length !== 3) return null;
    const [, rows, cols] = layer.shape;
    return [Math.floor(neuron / (rows * cols)), Math.floor(neuron / cols) % rows, neuron % cols];
  }

  /** The features that a neuron carries, with their weights: [{feature, weight}]. */
  function carried(layer, neuron) {
    const { starts, columns, values, by_place: byPlace } = layer.directions, found = [];
    const wanted = byPlace ? channelOf(layer, neuron)[0] : neuron;
    for (let feature = 0; feature + 1 < starts.length; feature++) {
      for (let i = starts[feature]; i < starts[feature + 1]; i++) {
        if (columns[i] === wanted) found.push({ feature, weight: values[i] });
      }
    }
    return found;
  }

  // --- Layers as pictures: maps side by side, one for each channel or tile --------------------------------------------------

  /** How many maps of this shape stand side by side: few gaps, and about twice as wide as high. */
  function columnsOf(count, shape) {
    const score = (across) => {
      const down = Math.ceil(count / across);
      return (across * down - count) / count + Math.abs(Math.log(across / (down * shape) / 2));
    };
    let best = 1;
    for (let across = 2; across <= count; across++) if (score(across) < score(best)) best = across;
    return best;
  }

  /** The rows and columns of the maps: one for each channel, for each tile, or one of all neurons. */
  function mapsOf(world, layer) {
    const count = layer.shape.reduce((a, b) => a * b, 1);
    if (layer.shape.length === 3) return Array.from({ length: layer.shape[0] }, () => layer.shape.slice(1));
    if (placeOf(layer, 0) && count === N.windowsOf(world.tiles)) return world.tiles.map((tile) => tile.windows);
    const cols = Math.ceil(Math.sqrt(2 * count));
    return [[Math.ceil(count / cols), cols]];
  }

  /** Where each neuron is in the picture of its layer, and which neuron each pixel is; −1 between the maps. */
  function montage(world, layer) {
    const count = layer.shape.reduce((a, b) => a * b, 1), maps = mapsOf(world, layer);
    const height = Math.max(...maps.map((map) => map[0])), width = Math.max(...maps.map((map) => map[1]));
    const gap = Math.max(height, width) > 1 ? 1 : 0, across = columnsOf(maps.length, height / width);
    const rows = Math.ceil(maps.length / across) * (height + gap) - gap, cols = across * (width + gap) - gap;
    const neuronAt = new Int32Array(rows * cols).fill(-1), pixelOf = new Int32Array(count);
    let neuron = 0;
    maps.forEach(([mapRows, mapCols], m) => {
      const top = Math.floor(m / across) * (height + gap), left = (m % across) * (width + gap);
      for (let r = 0; r < mapRows; r++) {
        for (let c = 0; c < mapCols && neuron < count; c++) {
          const pixel = (top + r) * cols + left + c;
          neuronAt[pixel] = neuron;
          pixelOf[neuron++] = pixel;
        }
      }
    });
    return { rows, cols, neuronAt, pixelOf };
  }

  /** The pixels around the few neurons that fire in a picture of many, where a single pixel would hardly be seen. */
  function halo(grid, values, firing) {
    const around = new Set();
    if (firing > 40 || grid.cols < 60) return around;
    for (let neuron = 0; neuron < values.length; neuron++) {
      if (values[neuron] <= 0) continue;
      for (const down of [-grid.cols, 0, grid.cols]) for (const across of [-1, 0, 1]) around.add(grid.pixelOf[neuron] + down + across);
    }
    return around;
  }

  /** The neuron at a pixel; in a gap between maps the nearest one to the left or above. */
  function neuronNear(grid, pixel) {
    const near = [0, 1, grid.cols, grid.cols + 1].map((back) => grid.neuronAt[pixel - back] ?? -1);
    return near.find((neuron) => neuron >= 0) ?? -1;
  }

  return {
    COLOURS, CHOSEN, el, text, say, option, newId, select, clamp, many, number,
    colourOf, packed, palette, shade, paint, pixelColour, thumbnail, noise,
    decodeLayer, placeOf, channelOf, carried, montage, halo, neuronNear,
  };
})();
