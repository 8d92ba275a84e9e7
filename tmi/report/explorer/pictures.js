// What the explorer draws with: elements, colours, pictures of images and layers, and what neurons mean.
"use strict";

const tmiPictures = (() => {
  const N = tmiNetwork;
  const COLOURS = { constructed: [0, 114, 178], trained: [213, 94, 0], imported: [0, 158, 115] };
  const CHOSEN = [230, 159, 0];

  // --- Small helpers ----------------------------------------------------------------------------------------------------

  /** Make an element with properties (aria-… and data-… are attributes) and children. */
  function el(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (/^(aria-|role$|for$)/.test(name)) element.setAttribute(name, value);
      else element[name] = value;
    }
    element.append(...children);
    return element;
  }

  const number = (value) => (value === 0 ? "0" : Math.abs(value) < 0.001 ? value.toExponential(1) : String(+value.toPrecision(3)));
  const inThousands = new Intl.NumberFormat("en");
  const many = (count) => inThousands.format(count);
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const option = (value, text) => el("option", { value, textContent: text });
  let lastId = 0;
  const newId = () => `tmi-explorer-${++lastId}`;

  /** A labelled select; `change` is called with the value. */
  function select(label, options, change) {
    const id = newId(), control = el("select", { id }, ...options);
    control.addEventListener("change", () => change(control.value));
    return { control, box: el("div", { className: "field" }, el("label", { for: id, textContent: label }), control) };
  }

  /** The red, green and blue of a CSS variable of the page, which may change with light and dark. */
  function colourOf(element, name, otherwise) {
    const context = el("canvas", { width: 1, height: 1 }).getContext("2d");
    context.fillStyle = getComputedStyle(element).getPropertyValue(name).trim() || otherwise;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
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

  /** A colour as the 32 bits of a pixel. Numbers, not arrays: a frame has some ten thousand of them. */
  const packed = (red, green, blue) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

  /** 256 colours from one to another. */
  const palette = (from, to) =>
    Uint32Array.from({ length: 256 }, (_, i) => packed(...from.map((value, c) => Math.round(value + (i / 255) * (to[c] - value)))));

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

  /** Change an element's text, if it is another one. */
  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  /** The colours of an image's pixels: three channels as colours, others as the mean grey; ink is dark. */
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

  function paintTile(world, canvas, tile, colours) {
    const [, rows, cols] = tile.shape, colour = pixelColour(world, tile.values, rows * cols);
    const counts = (i) => { for (let at = i; at < tile.support.length; at += rows * cols) if (tile.support[at]) return true; return false; };
    paint(canvas, rows, cols, (i) => (counts(i) ? colour(i) : colours.wash[0]));
  }

  // --- What neurons mean ------------------------------------------------------------------------------------------------

  /** Decode the columns of a table; the result gives the value of a row. */
  function table(columns) {
    const read = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, [N.unpack(column.index), column.names]]));
    return (name, row) => (read[name] ? (read[name][1] ? read[name][1][read[name][0][row]] : read[name][0][row]) : undefined);
  }

  function decodeLayer(layer) {
    if (layer.neurons) layer.meaning = table(layer.neurons);
    if (layer.directions) {
      const { starts, columns, values, features } = layer.directions;
      Object.assign(layer.directions, { starts: N.unpack(starts), columns: N.unpack(columns), values: N.unpack(values), feature: table(features) });
    }
  }

  /** The tile and place that a neuron stands for, or null. */
  function placeOf(layer, neuron) {
    const [tile, row, col] = ["tile", "row", "col"].map((name) => layer.meaning && layer.meaning(name, neuron));
    return tile === undefined || row === undefined || col === undefined ? null : { tile, row, col };
  }

  /** The features that a neuron carries, with their weights: [{feature, weight}]. */
  function carried(layer, neuron) {
    const { starts, columns, values, by_place: byPlace } = layer.directions, found = [];
    const wanted = byPlace ? Math.floor(neuron / (layer.shape[1] * layer.shape[2])) : neuron;
    for (let feature = 0; feature + 1 < starts.length; feature++) {
      for (let i = starts[feature]; i < starts[feature + 1]; i++) if (columns[i] === wanted) found.push({ feature, weight: values[i] });
    }
    return found;
  }

  // --- Layers as pictures: maps side by side, one for each channel or tile ------------------------------------------------

  /** How many maps of this shape stand side by side: few gaps, and about twice as wide as high. */
  function columnsOf(count, shape) {
    const score = (across) => {
      const down = Math.ceil(count / across);
      return (across * down - count) / count + Math.abs(Math.log(across / (down * shape) / 2));
    };
    return Array.from({ length: count }, (_, i) => i + 1).reduce((best, across) => (score(across) < score(best) ? across : best), 1);
  }

  function montage(world, layer) {
    const count = layer.shape.reduce((a, b) => a * b, 1);
    let maps;
    if (layer.shape.length === 3) maps = Array.from({ length: layer.shape[0] }, () => [layer.shape[1], layer.shape[2]]);
    else if (placeOf(layer, 0) && count === world.tiles.reduce((sum, tile) => sum + tile.windows[0] * tile.windows[1], 0)) maps = world.tiles.map((tile) => tile.windows);
    else { const cols = Math.ceil(Math.sqrt(2 * count)); maps = [[Math.ceil(count / cols), cols]]; }
    const height = Math.max(...maps.map((map) => map[0])), width = Math.max(...maps.map((map) => map[1]));
    const gap = Math.max(height, width) > 1 ? 1 : 0;
    const across = columnsOf(maps.length, height / width);
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

  return { COLOURS, CHOSEN, number, many, clamp, el, option, select, colourOf, noise, packed, palette, paint, say, pixelColour, paintTile, decodeLayer, placeOf, carried, montage, newId };
})();
