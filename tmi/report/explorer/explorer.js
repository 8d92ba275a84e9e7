// The explorer: a scene whose tile is moved and morphed, and networks that answer at once. network.js computes, pictures.js draws.
"use strict";

const tmiExplorer = (() => {
  const N = tmiNetwork;
  const { COLOURS, CHOSEN, number, many, clamp, el, option, select, colourOf, noise, packed, palette, paint, say, pixelColour, paintTile, decodeLayer, placeOf, carried, montage, newId } = tmiPictures;
  const MOST_CLASSES = 20, MOST_MAPS = 24, MOST_TRIES = 4000;

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
      const wash = colourOf(this.root, "--wash", "#f3f5f7");
      this.colours = Object.fromEntries(Object.entries(COLOURS).map(([origin, colour]) => [origin, palette(wash, colour)]));
      this.colours.wash = [packed(...wash)];
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
      const sliderId = newId();
      this.slider = el("input", { id: sliderId, type: "range", min: 0, max: 100, step: 0.5, value: 0 });
      this.slider.addEventListener("input", () => this.set({ morph: (this.slider.value / 100) ** 2 }));
      this.mark = el("span", { className: "mark", textContent: "ε", title: "The tile's distance reaches ε: its neuron stops firing" });
      this.morphText = el("p", { className: "note" });
      this.caption = el("p", { className: "caption" });
      this.status = el("p", { className: "status", role: "status", "aria-live": "polite" });
      this.cards = world.networks.map((network) => this.card(network));
      this.panel = el("section", { className: "neuron", "aria-label": "The chosen neuron" });
      const leftOut = world.left_out.map(({ name, why }) => el("li", { textContent: `${name}: ${why}` }));
      this.root.replaceChildren(...(pick ? [pick] : []),
        el("div", { className: "bar" }, this.scene.box, this.tileField.box, this.background.box, again, this.method.box, this.logit.box),
        el("div", { className: "stage" },
          el("div", { className: "left" }, el("div", { className: "view" }, this.canvas, this.overlay), this.caption,
            el("div", { className: "morph" }, this.target.box,
              el("label", { for: sliderId, textContent: "Morph the tile" }), el("div", { className: "track" }, this.slider, this.mark), this.morphText)),
          el("div", {}, el("p", { className: "note", textContent: "Click a neuron in the picture of a layer to see what it stands for and what it fires for." }),
            el("div", { className: "cards" }, ...this.cards.map((card) => card.box)))),
        this.status,
        ...(leftOut.length ? [el("details", { className: "left-out" }, el("summary", { textContent: `Networks that are not shown (${leftOut.length})` }), el("ul", {}, ...leftOut))] : []));
    }

    /** The column of a network. */
    card(network) {
      const { world } = this, origin = COLOURS[network.origin] ? network.origin : "imported", colour = `rgb(${COLOURS[origin]})`;
      const verdict = el("p", { className: "verdict" }), time = el("span", { className: "time" });
      const rows = world.classes.slice(0, world.classes.length > MOST_CLASSES ? 12 : MOST_CLASSES).map(() => {
        const name = el("th", { scope: "row" }), bar = el("div", { className: "fill" }), value = el("td", { className: "value" });
        bar.style.background = colour;
        return { name, bar, value, row: el("tr", {}, name, el("td", { className: "bar-cell" }, el("div", { className: "zero" }, bar)), value) };
      });
      const map = el("canvas", { className: "map", role: "img", "aria-label": `Attribution map of ${network.name}` });
      const attribution = el("figure", {}, el("figcaption"), map);
      const layers = network.layers.slice(0, -1).map((layer) => this.layerPicture(network, layer));
      const box = el("article", { className: "card", "aria-label": network.name },
        el("h3", {}, el("span", { textContent: network.name }), el("span", { className: "origin", textContent: network.origin })), verdict,
        el("table", { className: "logits" }, el("caption", { textContent: "Logits" }), el("tbody", {}, ...rows.map(({ row }) => row))),
        attribution, ...layers.map(({ figure }) => figure), ...(network.note ? [el("p", { className: "note", textContent: network.note })] : []), time);
      box.style.setProperty("--origin", colour);
      return { network, origin, box, verdict, rows, attribution, map, layers, time };
    }

    layerPicture(network, layer) {
      const grid = montage(this.world, layer), ring = el("span", { className: "ring", hidden: true }), caption = el("figcaption");
      const canvas = el("canvas", { className: "layer", tabIndex: 0, role: "application",
        "aria-label": `Layer ${layer.name} of ${network.name}. Click a neuron, or choose one with the arrow keys.` });
      const figure = el("figure", { className: "layer-figure" }, caption, el("div", { className: "picture" }, canvas, ring));
      figure.querySelector(".picture").style.maxWidth = `${Math.max(6, Math.min(grid.cols * 16, 560))}px`;
      const picture = { layer, grid, canvas, caption, figure, ring };
      const under = (event) => {
        const box = canvas.getBoundingClientRect();
        const [x, y] = [((event.clientX - box.left) / box.width) * grid.cols, ((event.clientY - box.top) / box.height) * grid.rows].map(Math.floor);
        const pixel = clamp(y, 0, grid.rows - 1) * grid.cols + clamp(x, 0, grid.cols - 1);
        // In a gap between maps the nearest neuron to the left or above is meant.
        return Math.max(...[0, 1, grid.cols, grid.cols + 1].map((back) => grid.neuronAt[pixel - back] ?? -1).filter((neuron, i, all) => i === 0 || all[0] < 0));
      };
      canvas.addEventListener("pointermove", (event) => {
        const neuron = under(event), place = neuron < 0 ? null : placeOf(layer, neuron);
        canvas.title = neuron < 0 ? "" : `neuron ${many(neuron)}${place ? `: ${this.world.tiles[place.tile].name} at row ${place.row}, column ${place.col}` : ""}`;
      });
      canvas.addEventListener("click", (event) => { if (under(event) >= 0) this.choose(network, picture, under(event)); });
      canvas.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.cols, ArrowDown: grid.cols }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        const mine = this.chosen && this.chosen.layer === layer;
        let pixel = grid.pixelOf[mine ? this.chosen.neuron : this.strongest(network, layer)];
        if (mine) do pixel += step; while (grid.neuronAt[pixel] === -1);  // the gaps between maps
        if (grid.neuronAt[pixel] >= 0) this.choose(network, picture, grid.neuronAt[pixel]);
      });
      return picture;
    }

    strongest(network, layer) {
      const values = N.forward(network, this.image, layer.operation);
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
      for (const [field, name] of [[this.tileField, "tile"], [this.background, "background"], [this.target, "target"], [this.method, "method"]]) {
        if (field.control.value !== String(state[name])) field.control.value = state[name];
      }
      this.slider.value = 100 * Math.sqrt(state.morph);
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
      if (outline.width !== cols * scale) Object.assign(outline, { width: cols * scale, height: rows * scale });
      const context = outline.getContext("2d");
      context.clearRect(0, 0, outline.width, outline.height);
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
      say(this.caption, `Tile ${tile.name} at row ${state.row}, column ${state.col}. The image shows: ${this.shownText}.`);
      say(this.morphText, `Morphed by ${number(100 * state.morph)} %: t = ${number(t)} from the tile, which the image contains while t < ε = ${number(tile.epsilon)}.`);
      this.mark.hidden = world.paste === "blend" || !(far > tile.epsilon);
      this.mark.style.setProperty("--at", Math.sqrt(clamp(tile.epsilon / far, 0, 1)));  // as the slider, on which the start is wider
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
      say(card.verdict, `${right ? "✓" : "✗"} predicts ${card.answer}`);
      card.verdict.classList.toggle("wrong", !right);
      card.verdict.title = `The image shows: ${this.shownText}`;
      rows.forEach(({ name, bar, value, row }, i) => {
        const c = order[i], share = logits[c] / span;
        say(name, world.classes[c]);
        say(value, number(logits[c]));
        row.classList.toggle("shown", shown.includes(c));
        Object.assign(bar.style, { left: `${(100 * (Math.min(logits[c], 0) - low)) / span}%`, width: `${100 * Math.abs(share)}%` });
      });
      for (const picture of card.layers) this.drawLayer(card, picture);
      card.spent = card.spent === undefined ? Math.min(spent, 4) : 0.8 * card.spent + 0.2 * spent;  // the first frame is slower
      say(card.time, `${card.spent < 1 ? "less than 1" : Math.round(card.spent)} ms an image`);
      this.drawAttribution(card, false);
    }

    drawLayer(card, { layer, grid, canvas, caption, ring }) {
      const values = card.network.operations[layer.operation].output, colours = this.colours[card.origin];
      let most = 0, firing = 0;
      for (const value of values) { if (value > 0) firing++; if (value > most) most = value; }
      paint(canvas, grid.rows, grid.cols, (i) => {
        const neuron = grid.neuronAt[i];
        if (neuron < 0) return 0;
        return values[neuron] > 0 ? colours[Math.round(76 + (179 * values[neuron]) / most)] : colours[0];
      });
      say(caption, `${layer.name}: ${many(firing)} of ${many(values.length)} neurons fire${most ? `, up to ${number(most)}` : ""}`);
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
      if (paused) N.forward(network, this.image);
      const logit = state.logit === "tile" ? this.tile.class : state.logit === "predicted" ? Math.max(0, card.predicted) : +state.logit.slice(6);
      const values = N.ATTRIBUTIONS[state.method](network, this.image, logit), sums = new Float64Array(this.pixels);
      values.forEach((value, i) => { sums[i % this.pixels] += value; });
      const most = sums.reduce((top, value) => Math.max(top, Math.abs(value)), 0), { constructed: blue, trained: orange } = this.colours;
      paint(map, world.shape[1], world.shape[2], (i) => (sums[i] > 0 ? orange : blue)[most ? Math.round((255 * Math.abs(sums[i])) / most) : 0]);
      map.classList.remove("old");
      map.setAttribute("aria-label", `${state.method} of logit ${world.classes[logit]} for ${network.name}`);
      say(attribution.firstChild, `${state.method} of logit ${world.classes[logit]}: ${most ? `orange +, blue −, up to ${number(most)}` : "0 everywhere"}`);
    }

    // --- A neuron ---

    choose(network, picture, neuron) {
      const { layer } = picture;
      this.chosen = { network, layer, neuron };
      this.firing = null;
      const { world } = this, place = placeOf(layer, neuron), parts = [];
      const thumbnail = (tile) => { const canvas = el("canvas", { className: "thumbnail", role: "img", "aria-label": `Tile ${tile.name}` }); paintTile(world, canvas, tile, this.colours); return canvas; };
      const where = layer.shape.length === 3 ? [Math.floor(neuron / (layer.shape[1] * layer.shape[2])), Math.floor(neuron / layer.shape[2]) % layer.shape[1], neuron % layer.shape[2]] : null;
      const title = `Layer ${layer.name}, neuron ${many(neuron)}${where ? ` (channel ${where[0]}, row ${where[1]}, column ${where[2]})` : ""}`;
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
      picture.figure.after(this.panel);
      this.panel.replaceChildren(el("h4", { textContent: title }), ...parts, this.now, el("h5", { textContent: "What it fires for on this background" }), this.fires);
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
      const colours = this.colours[this.chosen.network.origin] || this.colours.imported;
      this.fires.replaceChildren(
        el("p", { textContent: `Fires for ${many(fired)} of ${many(tries)} pairs of a tile and a place${step > 1 ? ` (every ${step} pixels)` : ""}, of ${active.length} of ${maps.length} tiles.${fired ? ` A map shows the places of a tile's corner; the darkest is ${number(most)}.` : ""}` }),
        el("div", { className: "features" }, ...active.slice(0, MOST_MAPS).map((map) => {
          const canvas = el("canvas", { className: "places", role: "img", "aria-label": `Places at which tile ${map.tile.name} makes the neuron fire` });
          paint(canvas, map.rows, map.cols, (i) => colours[map.values[i] > 0 ? Math.round(76 + (179 * map.values[i]) / most) : 0]);
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
