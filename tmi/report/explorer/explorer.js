// The explorer: a scene whose tile is moved and morphed, and networks that answer at once. network.js computes; this file draws.
"use strict";

const tmiExplorer = (() => {
  const N = tmiNetwork;
  const COLOURS = { constructed: [0, 114, 178], trained: [213, 94, 0], imported: [0, 158, 115] };
  const CHOSEN = [230, 159, 0];
  const MOST_CLASSES = 20, MOST_MAPS = 24, MOST_TRIES = 4000;

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
  const many = (count) => count.toLocaleString("en");
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const option = (value, text) => el("option", { value, textContent: text });
  let lastId = 0;

  /** A labelled select; `change` is called with the value. */
  function select(label, options, change) {
    const id = `tmi-explorer-${++lastId}`, control = el("select", { id }, ...options);
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

  /** Fill a canvas of rows × cols pixels; `colour(i)` returns [r, g, b], or null for a pixel that shows what is below. */
  function paint(canvas, rows, cols, colour) {
    if (canvas.width !== cols || canvas.height !== rows) Object.assign(canvas, { width: cols, height: rows });
    const context = canvas.getContext("2d"), picture = context.createImageData(cols, rows);
    for (let i = 0; i < rows * cols; i++) {
      const rgb = colour(i);
      if (rgb) picture.data.set([rgb[0], rgb[1], rgb[2], 255], 4 * i);
    }
    context.putImageData(picture, 0, 0);
  }

  const mixed = (from, to, share) => from.map((value, i) => Math.round(value + share * (to[i] - value)));

  /** The colours of an image's pixels: three channels as colours, others as the mean grey; ink is dark. */
  function pixelColour(world, image, places) {
    const channels = image.length / places;
    return (i) => {
      if (channels === 3) return [0, 1, 2].map((c) => Math.round(255 * image[c * places + i]));
      let grey = 0;
      for (let c = 0; c < channels; c++) grey += image[c * places + i] / channels;
      grey = Math.round(255 * (world.ink ? 1 - grey : grey));
      return [grey, grey, grey];
    };
  }

  function paintTile(world, canvas, tile, colours) {
    const [, rows, cols] = tile.shape, colour = pixelColour(world, tile.values, rows * cols);
    const counts = (i) => { for (let at = i; at < tile.support.length; at += rows * cols) if (tile.support[at]) return true; return false; };
    paint(canvas, rows, cols, (i) => (counts(i) ? colour(i) : colours.wash));
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

  function montage(world, layer) {
    const count = layer.shape.reduce((a, b) => a * b, 1);
    let maps;
    if (layer.shape.length === 3) maps = Array.from({ length: layer.shape[0] }, () => [layer.shape[1], layer.shape[2]]);
    else if (placeOf(layer, 0) && count === world.tiles.reduce((sum, tile) => sum + tile.windows[0] * tile.windows[1], 0)) maps = world.tiles.map((tile) => tile.windows);
    else { const cols = Math.ceil(Math.sqrt(2 * count)); maps = [[Math.ceil(count / cols), cols]]; }
    const height = Math.max(...maps.map((map) => map[0])), width = Math.max(...maps.map((map) => map[1]));
    const gap = Math.max(height, width) > 1 ? 1 : 0;
    const across = clamp(Math.round(Math.sqrt((maps.length * 2 * height) / width)), 1, maps.length);
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

  // --- The explorer -------------------------------------------------------------------------------------------------------

  class Explorer {
    constructor(root, world, pick) {
      this.root = root;
      this.world = N.prepare(world);
      for (const network of world.networks) network.layers.forEach(decodeLayer);
      this.pixels = world.shape[1] * world.shape[2];
      this.image = new Float32Array(world.shape[0] * this.pixels);
      this.state = { background: "0", tile: 0, row: 0, col: 0, morph: 0, target: "noise", method: "gradient", logit: "tile", seed: 1 };
      this.chosen = null;
      this.firing = null;
      this.build(pick);
      this.readColours();
      this.setScene(0);
    }

    get tile() { return this.world.tiles[this.state.tile]; }

    readColours() {
      this.colours = { wash: colourOf(this.root, "--wash", "#f3f5f7"), ink: colourOf(this.root, "--ink", "#1a1a1a") };
    }

    // --- Controls ---

    build(pick) {
      const { world } = this;
      const classes = world.classes.map((name, c) => option(`class ${c}`, name));
      this.scene = select("Scene", world.scenes.map((scene, i) => option(i, `${i + 1}: ${world.tiles[scene.tile].name}`)), (value) => this.setScene(+value));
      const groups = world.classes.map((name, c) => el("optgroup", { label: name },
        ...world.tiles.flatMap((tile, t) => (tile.class === c ? [option(t, tile.name)] : []))));
      this.tileField = select("Tile", groups, (value) => this.set({ tile: +value }));
      this.background = select("Background", [
        ...world.scenes.map((_, i) => option(String(i), `of scene ${i + 1}`)),
        option("black", "all 0"), option("grey", "all 0.5"), option("white", "all 1"), option("noise", "uniform noise"),
      ], (value) => this.set({ background: value }));
      const again = el("button", { type: "button", textContent: "New noise" });
      again.addEventListener("click", () => this.set({ background: "noise", seed: this.state.seed + 1 }));
      this.target = select("Morph towards", [], (value) => this.set({ target: value }));
      this.method = select("Attribution", [...Object.keys(N.ATTRIBUTIONS).map((name) => option(name, name)), option("", "none")], (value) => this.set({ method: value }));
      this.logit = select("of logit", [option("tile", "class of the tile"), option("predicted", "predicted class"), ...classes], (value) => this.set({ logit: value }));

      this.canvas = el("canvas", { className: "scene", tabIndex: 0, role: "application",
        "aria-label": "Scene. Drag the tile, or move it with the arrow keys; with Shift by five pixels." });
      this.overlay = el("canvas", { className: "overlay", "aria-hidden": "true" });
      this.drags();
      const sliderId = `tmi-explorer-${++lastId}`;
      this.slider = el("input", { id: sliderId, type: "range", min: 0, max: 100, step: 0.5, value: 0 });
      this.slider.addEventListener("input", () => this.set({ morph: +this.slider.value / 100 }));
      this.mark = el("span", { className: "mark", textContent: "ε", title: "The tile's distance reaches ε: its neuron stops firing" });
      this.morphText = el("p", { className: "note" });
      this.caption = el("p", { className: "caption" });
      this.status = el("p", { className: "status", role: "status", "aria-live": "polite" });
      this.cards = world.networks.map((network) => this.card(network));
      this.panel = el("section", { className: "neuron", "aria-label": "A neuron" },
        el("p", { className: "note", textContent: "Click a neuron in a layer's picture to see what it stands for and what it fires for." }));
      const leftOut = world.left_out.map(({ name, why }) => el("li", { textContent: `${name}: ${why}` }));
      this.root.replaceChildren(...(pick ? [pick] : []),
        el("div", { className: "bar" }, this.scene.box, this.tileField.box, this.background.box, again, this.method.box, this.logit.box),
        el("div", { className: "stage" },
          el("div", { className: "left" }, el("div", { className: "view" }, this.canvas, this.overlay), this.caption,
            el("div", { className: "morph" }, this.target.box,
              el("label", { for: sliderId, textContent: "Morph the tile" }), el("div", { className: "track" }, this.slider, this.mark), this.morphText)),
          el("div", { className: "cards" }, ...this.cards.map((card) => card.box))),
        this.panel, this.status,
        ...(leftOut.length ? [el("details", { className: "left-out" }, el("summary", { textContent: `Networks that are not shown (${leftOut.length})` }), el("ul", {}, ...leftOut))] : []));
    }

    /** The column of a network. */
    card(network) {
      const { world } = this, colour = COLOURS[network.origin] || COLOURS.imported;
      const verdict = el("p", { className: "verdict" }), time = el("span", { className: "time" });
      const rows = world.classes.slice(0, world.classes.length > MOST_CLASSES ? 12 : MOST_CLASSES).map(() => {
        const name = el("th", { scope: "row" }), bar = el("div", { className: "fill" }), value = el("td", { className: "value" });
        bar.style.background = `rgb(${colour})`;
        return { name, bar, value, row: el("tr", {}, name, el("td", { className: "bar-cell" }, el("div", { className: "zero" }, bar)), value) };
      });
      const map = el("canvas", { className: "map", role: "img" });
      const attribution = el("figure", {}, el("figcaption"), map);
      const layers = network.layers.slice(0, -1).map((layer) => this.layerPicture(network, layer));
      const box = el("article", { className: "card", "aria-label": network.name },
        el("h3", {}, el("span", { textContent: network.name }), el("span", { className: "origin", textContent: network.origin })), verdict,
        el("table", { className: "logits" }, el("caption", { textContent: "Logits" }), el("tbody", {}, ...rows.map(({ row }) => row))),
        attribution, ...layers.map(({ figure }) => figure), ...(network.note ? [el("p", { className: "note", textContent: network.note })] : []), time);
      box.style.setProperty("--origin", `rgb(${colour})`);
      return { network, colour, box, verdict, rows, attribution, map, layers, time };
    }

    layerPicture(network, layer) {
      const grid = montage(this.world, layer), ring = el("span", { className: "ring", hidden: true }), caption = el("figcaption");
      const canvas = el("canvas", { className: "layer", tabIndex: 0, role: "application",
        "aria-label": `Layer ${layer.name} of ${network.name}. Click a neuron, or choose one with the arrow keys.` });
      const figure = el("figure", { className: "layer-figure" }, caption, el("div", { className: "picture" }, canvas, ring));
      figure.querySelector(".picture").style.maxWidth = `${Math.max(6, Math.min(grid.cols * 16, 560))}px`;
      canvas.addEventListener("click", (event) => {
        const box = canvas.getBoundingClientRect();
        const x = Math.floor(((event.clientX - box.left) / box.width) * grid.cols), y = Math.floor(((event.clientY - box.top) / box.height) * grid.rows);
        const neuron = grid.neuronAt[clamp(y, 0, grid.rows - 1) * grid.cols + clamp(x, 0, grid.cols - 1)];
        if (neuron >= 0) this.choose(network, layer, neuron);
      });
      canvas.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.cols, ArrowDown: grid.cols }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        const mine = this.chosen && this.chosen.layer === layer ? this.chosen.neuron : this.strongest(network, layer) - 0;
        let pixel = grid.pixelOf[mine];
        if (this.chosen && this.chosen.layer === layer) do pixel += step; while (grid.neuronAt[pixel] === -1);  // gaps between maps
        if (grid.neuronAt[pixel] >= 0) this.choose(network, layer, grid.neuronAt[pixel]);
      });
      return { layer, grid, canvas, caption, figure, ring };
    }

    strongest(network, layer) {
      const values = network.operations[layer.operation].output;
      return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
    }

    /** Pointer and keys on the scene. */
    drags() {
      const { canvas, world } = this;
      let grabbed = null;
      const place = (event) => {
        const box = canvas.getBoundingClientRect();
        return [((event.clientY - box.top) / box.height) * world.shape[1], ((event.clientX - box.left) / box.width) * world.shape[2]];
      };
      canvas.addEventListener("pointerdown", (event) => {
        const [y, x] = place(event), { row, col } = this.state, [, rows, cols] = this.tile.shape;
        const inside = y >= row && y < row + rows && x >= col && x < col + cols;
        grabbed = inside ? [y - row, x - col] : [rows / 2, cols / 2];
        canvas.setPointerCapture(event.pointerId);
        if (!inside) this.moveTo(y - grabbed[0], x - grabbed[1]);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (!grabbed) return;
        const [y, x] = place(event);
        this.moveTo(y - grabbed[0], x - grabbed[1]);
      });
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { grabbed = null; });
      canvas.addEventListener("keydown", (event) => {
        const step = event.shiftKey ? 5 : 1, by = { ArrowLeft: [0, -step], ArrowRight: [0, step], ArrowUp: [-step, 0], ArrowDown: [step, 0] }[event.key];
        if (!by) return;
        event.preventDefault();
        this.moveTo(this.state.row + by[0], this.state.col + by[1]);
      });
    }

    moveTo(row, col) {
      const [rows, cols] = this.tile.windows;
      this.set({ row: clamp(Math.round(row), 0, rows - 1), col: clamp(Math.round(col), 0, cols - 1) });
    }

    setScene(index) {
      const { tile, row, col } = this.world.scenes[index];
      this.scene.control.value = index;
      this.set({ background: String(index), tile, row, col, morph: 0 });
    }

    /** Change the state, and draw at the next frame. */
    set(changes) {
      const before = this.state, state = (this.state = { ...before, ...changes });
      const [rows, cols] = this.tile.windows;
      state.row = clamp(state.row, 0, rows - 1);
      state.col = clamp(state.col, 0, cols - 1);
      if (!this.targets || before.tile !== state.tile) this.setTargets();
      if (!this.pixelsOfBackground || before.background !== state.background || before.seed !== state.seed) {
        this.pixelsOfBackground = this.makeBackground();
        this.firing = null;
      }
      for (const [field, value] of [[this.tileField, state.tile], [this.background, state.background], [this.target, state.target], [this.method, state.method]]) field.control.value = value;
      this.slider.value = 100 * state.morph;
      if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
    }

    setTargets() {
      const { world, tile } = this;
      const same = world.tiles.map((other, t) => [other, t]).filter(([other]) => other !== tile && String(other.shape) === String(tile.shape));
      this.targets = same.map(([, t]) => `tile ${t}`);
      this.target.control.replaceChildren(option("noise", "noise"), option("background", "the background"), ...same.map(([other, t]) => option(`tile ${t}`, other.name)));
      if (this.state.target.startsWith("tile") && !this.targets.includes(this.state.target)) this.state.target = "noise";
    }

    makeBackground() {
      const { background, seed } = this.state, flat = { black: 0, grey: 0.5, white: 1 }[background];
      if (background === "noise") return noise(seed, this.image.length);
      return flat === undefined ? this.world.scenes[+background].background : new Float32Array(this.image.length).fill(flat);
    }

    /** The tile's values, morphed, and the distance at the far end of the morph. */
    morphed() {
      const { tile, state, world } = this, [channels, rows, cols] = tile.shape;
      const target = state.target === "noise" ? noise(7, tile.values.length)
        : state.target === "background" ? Float32Array.from(tile.values, (_, i) => {
          const channel = Math.floor(i / (rows * cols)), r = Math.floor(i / cols) % rows, c = i % cols;
          return this.pixelsOfBackground[(channel * world.shape[1] + state.row + r) * world.shape[2] + state.col + c];
        })
        : world.tiles[+state.target.slice(5)].values;
      let far = 0;
      for (let i = 0; i < target.length; i++) if (tile.support[i]) far += Math.abs(target[i] - tile.values[i]);
      return { far, values: state.morph ? tile.values.map((value, i) => value + state.morph * (target[i] - value)) : tile.values };
    }

    // --- Drawing ---

    draw() {
      const start = performance.now(), { world, state, tile } = this, { values, far } = this.morphed();
      N.render(world, this.pixelsOfBackground, tile, values, state.row, state.col, this.image);
      const truth = N.truth(world, this.image);
      const shown = [...truth.phi].flatMap((value, c) => (value > 0 ? [c] : []));
      this.drawScene(shown, far);
      for (const card of this.cards) this.drawCard(card, shown);
      if (this.chosen) this.drawNeuron();
      this.frameTime = performance.now() - start;
      clearTimeout(this.later);
      this.later = setTimeout(() => this.settle(), 150);
    }

    /** What waits until the reader pauses: slow attributions, what a neuron fires for, and the announcement. */
    settle() {
      for (const card of this.cards) this.drawAttribution(card, true);
      this.status.textContent = `Tile ${this.tile.name} at row ${this.state.row}, column ${this.state.col}. ${this.cards.map((card) => `${card.network.name}: ${card.answer}`).join(", ")}.`;
      if (this.chosen && !this.firing) this.fire();
    }

    drawScene(shown, far) {
      const { world, state, tile } = this, [, rows, cols] = world.shape;
      paint(this.canvas, rows, cols, pixelColour(world, this.image, this.pixels));
      const scale = Math.max(2, Math.ceil(480 / cols)), outline = this.overlay;
      Object.assign(outline, { width: cols * scale, height: rows * scale });
      const context = outline.getContext("2d");
      const frame = (one, row, col, colour, dash) => {
        for (const [stroke, width] of [["rgba(255, 255, 255, .9)", 5], [colour, 2.5]]) {
          Object.assign(context, { strokeStyle: stroke, lineWidth: width });
          context.setLineDash(dash);
          context.strokeRect(col * scale, row * scale, one.shape[2] * scale, one.shape[1] * scale);
        }
      };
      frame(tile, state.row, state.col, "#0072B2", []);
      const meant = this.chosen && placeOf(this.chosen.layer, this.chosen.neuron);
      if (meant) frame(world.tiles[meant.tile], meant.row, meant.col, `rgb(${CHOSEN})`, [8, 6]);
      const t = N.distance(tile, this.image, state.row * cols + state.col);
      this.shownText = shown.length ? shown.map((c) => world.classes[c]).join(", ") : "no class";
      this.caption.textContent = `Tile ${tile.name} at row ${state.row}, column ${state.col}. The image shows: ${this.shownText}.`;
      this.morphText.textContent = `${number(100 * state.morph)} %: t = ${number(t)} from the tile; contained while t < ε = ${number(tile.epsilon)}`;
      this.mark.hidden = world.paste === "blend" || !(far > tile.epsilon);
      this.mark.style.setProperty("--at", clamp(tile.epsilon / far, 0, 1));
    }

    drawCard(card, shown) {
      const { network, rows } = card, { world } = this, start = performance.now();
      const logits = N.forward(network, this.image);
      const spent = performance.now() - start;
      const order = world.classes.map((_, c) => c);
      if (order.length > rows.length) order.sort((a, b) => logits[b] - logits[a]);
      const low = Math.min(0, ...logits), high = Math.max(0, ...logits), span = high - low || 1;
      const best = logits.reduce((top, value, c) => (value > logits[top] ? c : top), 0);
      card.predicted = high === 0 && low === 0 ? -1 : best;
      card.answer = card.predicted < 0 ? "no class" : world.classes[best];
      const right = card.predicted < 0 ? !shown.length : shown.length === 1 && shown[0] === best;
      card.verdict.textContent = `${right ? "✓" : "✗"} predicts ${card.answer}`;
      card.verdict.classList.toggle("wrong", !right);
      card.verdict.title = `The image shows: ${this.shownText}`;
      rows.forEach(({ name, bar, value, row }, i) => {
        const c = order[i], share = logits[c] / span;
        name.textContent = world.classes[c];
        value.textContent = number(logits[c]);
        row.classList.toggle("shown", shown.includes(c));
        Object.assign(bar.style, { left: `${(100 * (Math.min(logits[c], 0) - low)) / span}%`, width: `${100 * Math.abs(share)}%` });
      });
      for (const picture of card.layers) this.drawLayer(card, picture);
      card.spent = spent;
      card.time.textContent = `${spent < 1 ? "under 1" : Math.round(spent)} ms an image`;
      this.drawAttribution(card, false);
    }

    drawLayer(card, { layer, grid, canvas, caption, ring }) {
      const values = card.network.operations[layer.operation].output, { wash } = this.colours;
      let most = 0, firing = 0;
      for (const value of values) { if (value > 0) firing++; if (value > most) most = value; }
      paint(canvas, grid.rows, grid.cols, (i) => {
        const neuron = grid.neuronAt[i];
        if (neuron < 0) return null;
        return values[neuron] > 0 ? mixed(wash, card.colour, 0.3 + (0.7 * values[neuron]) / most) : wash;
      });
      caption.textContent = `${layer.name}: ${many(firing)} of ${many(values.length)} fire${most ? `, up to ${number(most)}` : ""}`;
      const mine = this.chosen && this.chosen.layer === layer;
      ring.hidden = !mine;
      if (mine) {
        const pixel = grid.pixelOf[this.chosen.neuron];
        ring.style.left = `${(100 * ((pixel % grid.cols) + 0.5)) / grid.cols}%`;
        ring.style.top = `${(100 * (Math.floor(pixel / grid.cols) + 0.5)) / grid.rows}%`;
      }
    }

    /** Gradients are drawn with each frame; integrated gradients, and gradients of slow networks, when the reader pauses. */
    drawAttribution(card, paused) {
      const { state, world } = this, { network, map, attribution } = card;
      attribution.hidden = !state.method;
      if (!state.method) return;
      const slow = state.method === "integrated gradients" || card.spent > 8;
      if (slow !== paused) { map.classList.toggle("old", slow); return; }
      const logit = state.logit === "tile" ? this.tile.class : state.logit === "predicted" ? Math.max(0, card.predicted) : +state.logit.slice(6);
      const values = N.ATTRIBUTIONS[state.method](network, this.image, logit), sums = new Float64Array(this.pixels);
      values.forEach((value, i) => { sums[i % this.pixels] += value; });
      const most = sums.reduce((top, value) => Math.max(top, Math.abs(value)), 0), { wash } = this.colours;
      paint(map, world.shape[1], world.shape[2], (i) => mixed(wash, sums[i] > 0 ? COLOURS.trained : COLOURS.constructed, most ? Math.abs(sums[i]) / most : 0));
      map.classList.remove("old");
      map.setAttribute("aria-label", `${state.method} of logit ${world.classes[logit]} for ${network.name}`);
      attribution.firstChild.textContent = `${state.method} of logit ${world.classes[logit]}: ` + (most ? `orange + , blue −, up to ${number(most)}` : "0 everywhere");
    }

    // --- A neuron ---

    choose(network, layer, neuron) {
      this.chosen = { network, layer, neuron };
      this.firing = null;
      const { world } = this, place = placeOf(layer, neuron), parts = [];
      const thumbnail = (tile) => { const canvas = el("canvas", { className: "thumbnail", role: "img", "aria-label": `Tile ${tile.name}` }); paintTile(world, canvas, tile, this.colours); return canvas; };
      const where = layer.shape.length === 3 ? [Math.floor(neuron / (layer.shape[1] * layer.shape[2])), Math.floor(neuron / layer.shape[2]) % layer.shape[1], neuron % layer.shape[2]] : null;
      const title = `${network.name}, layer ${layer.name}, neuron ${many(neuron)}${where ? ` (channel ${where[0]}, row ${where[1]}, column ${where[2]})` : ""}`;
      if (place) {
        const tile = world.tiles[place.tile];
        parts.push(el("div", { className: "meaning" }, thumbnail(tile), el("p", { textContent: `Stands for tile ${tile.name} (class ${world.classes[tile.class]}) with its corner at row ${place.row}, column ${place.col}: the dashed outline in the scene.` })));
      } else if (layer.directions) {
        const features = carried(layer, neuron), at = layer.directions.by_place ? ` at row ${where[1]}, column ${where[2]}` : "";
        parts.push(el("p", { textContent: `Stands for no single feature: it is shared by ${features.length} of ${layer.directions.starts.length - 1} features${at}. Each adds its activation times a weight:` }),
          el("div", { className: "features" }, ...features.slice(0, MOST_MAPS).map(({ feature, weight }) => {
            const tile = world.tiles[layer.directions.feature("tile", feature)], [row, col] = ["row", "col"].map((name) => layer.directions.feature(name, feature));
            return el("figure", {}, thumbnail(tile), el("figcaption", { textContent: `${tile.name}${row === undefined ? "" : ` at ${row}, ${col}`}: ${number(weight)}` }));
          })));
      } else if (layer.meaning) {
        const columns = Object.keys(layer.neurons).map((name) => { const value = layer.meaning(name, neuron); return `${name} ${typeof value === "number" ? number(value) : value}`; });
        parts.push(el("p", { textContent: `Computes: ${columns.join(", ")}.` }));
      } else {
        parts.push(el("p", { textContent: `What it stands for is not known: the network is ${network.origin}.` }));
      }
      this.now = el("p");
      this.fires = el("div", { className: "fires" }, el("p", { className: "note", textContent: "What it fires for is being computed …" }));
      this.panel.replaceChildren(el("h3", { textContent: title }), ...parts, this.now, el("h4", { textContent: "What it fires for on this background" }), this.fires);
      this.set({});
    }

    drawNeuron() {
      const { network, layer, neuron } = this.chosen, value = network.operations[layer.operation].output[neuron], place = placeOf(layer, neuron);
      const near = place ? ` The window there is t = ${number(N.distance(this.world.tiles[place.tile], this.image, place.row * this.world.shape[2] + place.col))} from the tile.` : "";
      this.now.textContent = `${value > 0 ? "Fires" : "Does not fire"} now: activation ${number(value)}.${near}`;
    }

    /** Paste every tile at every place of the background, some at a time, and note where the chosen neuron fires. */
    fire() {
      const { world, chosen } = this, token = (this.firing = {}), image = new Float32Array(this.image.length);
      const total = world.tiles.reduce((sum, tile) => sum + tile.windows[0] * tile.windows[1], 0), step = Math.ceil(Math.sqrt(total / MOST_TRIES));
      const maps = world.tiles.map((tile) => ({ tile, rows: Math.ceil(tile.windows[0] / step), cols: Math.ceil(tile.windows[1] / step), count: 0, most: 0 }));
      for (const map of maps) map.values = new Float32Array(map.rows * map.cols);
      let t = 0, place = 0;
      const work = () => {
        if (this.firing !== token || this.chosen !== chosen) return;
        for (const until = performance.now() + 12; t < maps.length && performance.now() < until; place++) {
          const map = maps[t];
          if (place === map.values.length) { t++; place = -1; continue; }
          const row = Math.floor(place / map.cols) * step, col = (place % map.cols) * step;
          N.render(world, this.pixelsOfBackground, map.tile, map.tile.values, row, col, image);
          const value = N.forward(chosen.network, image, chosen.layer.operation)[chosen.neuron];
          if (value > 0) { map.values[place] = value; map.count++; map.most = Math.max(map.most, value); }
        }
        // The outputs of the layers are those of the last image: those of the scene are drawn with the next frame.
        if (t < maps.length) requestAnimationFrame(work);
        else this.showFiring(maps, step);
      };
      work();
    }

    showFiring(maps, step) {
      const tries = maps.reduce((sum, map) => sum + map.values.length, 0), fired = maps.reduce((sum, map) => sum + map.count, 0);
      const active = maps.filter((map) => map.count).sort((a, b) => b.count - a.count), most = Math.max(0, ...active.map((map) => map.most));
      const colour = COLOURS[this.chosen.network.origin] || COLOURS.imported;
      this.fires.replaceChildren(
        el("p", { textContent: `Fires for ${many(fired)} of ${many(tries)} pairs of a tile and a place${step > 1 ? ` (every ${step} pixels)` : ""}, of ${active.length} of ${maps.length} tiles.${fired ? ` A map shows the places of a tile's corner; the darkest is ${number(most)}.` : ""}` }),
        el("div", { className: "features" }, ...active.slice(0, MOST_MAPS).map((map) => {
          const canvas = el("canvas", { className: "places", role: "img", "aria-label": `Places at which tile ${map.tile.name} makes the neuron fire` });
          paint(canvas, map.rows, map.cols, (i) => (map.values[i] > 0 ? mixed(this.colours.wash, colour, 0.3 + (0.7 * map.values[i]) / most) : this.colours.wash));
          const picture = el("canvas", { className: "thumbnail", "aria-hidden": "true" });
          paintTile(this.world, picture, map.tile, this.colours);
          return el("figure", {}, el("div", { className: "pair" }, picture, canvas), el("figcaption", { textContent: `${map.tile.name}: ${many(map.count)} of ${many(map.values.length)}` }));
        })),
        ...(active.length > MOST_MAPS ? [el("p", { className: "note", textContent: `and ${active.length - MOST_MAPS} more tiles` })] : []));
    }
  }

  /** Put an explorer into an element; of several data sets the reader chooses one. */
  function mount(root, worlds) {
    const explorers = new Map();
    let pick = null;
    const show = (index) => {
      explorers.set(index, root.explorer = new Explorer(root, structuredClone(worlds[index]), pick && pick.box));
    };
    if (worlds.length > 1) pick = select("Data set", worlds.map((world, i) => option(i, world.name)), (value) => show(+value));
    show(0);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { root.explorer.readColours(); root.explorer.set({}); });
  }

  function start() {
    document.querySelectorAll(".tmi-explorer").forEach((root, i) => {
      mount(root, JSON.parse(document.querySelectorAll(".tmi-explorer-data")[i].textContent));
    });
  }

  return { start };
})();

tmiExplorer.start();
