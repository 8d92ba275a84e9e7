// The explorer: a scene whose tile is moved and morphed, and networks that answer at once.
// network.js computes, pictures.js draws, neuron.js explains the chosen neuron; this file has the controls and the state.
"use strict";

const tmiExplorer = (() => {
  const N = tmiNetwork, P = tmiPictures;
  const { el, text, say, option, select, clamp, many, number } = P;
  const MOST_CLASSES = 20, SLOW = 8;  // milliseconds from which on gradients wait until the reader pauses

  const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const HELP = "Click a neuron in the picture of a layer to see what it stands for and what it fires for. " +
    "In attribution maps orange raises the logit and blue lowers it.";

  class Explorer {
    constructor(root, world, pick) {
      this.root = root;
      this.world = N.prepare(world);
      for (const network of world.networks) {
        network.layers.forEach(P.decodeLayer);
        network.colour = P.COLOURS[network.origin] ? network.origin : "imported";
      }
      this.pixels = world.shape[1] * world.shape[2];
      this.image = new Float32Array(world.shape[0] * this.pixels);
      this.state = {
        background: "0", seed: 1, tile: 0, row: 0, col: 0, morph: 0, target: "noise", method: "gradient", logit: "tile",
      };
      this.chosen = null;
      this.build(pick);
      this.readColours();
      this.setScene(0);
    }

    get tile() {
      return this.world.tiles[this.state.tile];
    }

    readColours() {
      const ground = P.colourOf(this.root, "--wash", "#f3f5f7");
      this.ground = P.packed(...ground);
      this.colours = Object.fromEntries(Object.entries(P.COLOURS).map(([origin, colour]) => [origin, P.palette(ground, colour)]));
    }

    /** Draw in the colours of the page as they are now. */
    recolour() {
      this.readColours();
      if (this.chosen) {
        this.chosen.restart();
        this.chosen.show(this.panel);
      }
      this.set({});
    }

    // --- Elements ---

    build(pick) {
      const { world } = this;
      this.canvas = el("canvas", {
        className: "scene", tabIndex: 0, role: "application",
        "aria-label": "Scene. Drag the tile, or move it with the arrow keys; with Shift by five pixels.",
      });
      this.overlay = el("canvas", { className: "overlay", "aria-hidden": "true" });
      this.caption = text("p", "", "caption");
      this.status = el("p", { className: "status", role: "status", "aria-live": "polite" });
      this.panel = el("section", { className: "neuron", "aria-label": "The chosen neuron" });
      this.cards = world.networks.map((network) => this.card(network));
      const choices = this.choices(), view = el("div", { className: "view" }, this.canvas, this.overlay);
      const left = el("div", { className: "left" }, view, this.caption, this.morphing());
      const cards = el("div", { className: "nets" }, ...this.cards.map((card) => card.box));
      this.root.replaceChildren(
        el("div", { className: "bar" }, ...(pick ? [pick.box] : []), ...choices),
        el("div", { className: "stage" }, left, el("div", {}, text("p", HELP, "note"), cards)),
        this.status,
        ...this.leftOut(),
      );
      this.drags();
    }

    /** The selects above the scene. */
    choices() {
      const { world } = this;
      const scenes = world.scenes.map((scene, i) => option(i, `${i + 1}: ${world.tiles[scene.tile].name}`));
      const ofClass = (c) => world.tiles.flatMap((tile, t) => (tile.class === c ? [option(t, tile.name)] : []));
      const backgrounds = [["black", "all 0"], ["grey", "all 0.5"], ["white", "all 1"], ["noise", "uniform noise"]];
      const ofScenes = world.scenes.map((_, i) => [i, `of scene ${i + 1}`]);
      const methods = Object.keys(N.ATTRIBUTIONS).map((name) => [name, name]);
      const ofClasses = world.classes.map((name, c) => [`class ${c}`, name]);
      const logits = [["tile", "class of the tile"], ["predicted", "predicted class"], ...ofClasses];
      const change = (name) => (value) => this.set({ [name]: value });
      const tiles = world.classes.map((label, c) => el("optgroup", { label }, ...ofClass(c)));
      const options = (pairs) => pairs.map(([value, words]) => option(value, words));
      const again = el("button", { type: "button", textContent: "New noise" });
      again.addEventListener("click", () => this.set({ background: "noise", seed: this.state.seed + 1 }));
      this.scene = select("Scene", scenes, (value) => this.setScene(+value));
      this.fields = {
        tile: select("Tile", tiles, (value) => this.set({ tile: +value })),
        background: select("Background", options([...ofScenes, ...backgrounds]), change("background")),
        method: select("Attribution", options([...methods, ["", "none"]]), change("method")),
        logit: select("of logit", options(logits), change("logit")),
        target: select("Morph towards", [], change("target")),
      };
      const { tile, background, method, logit } = this.fields;
      return [this.scene.box, tile.box, background.box, again, method.box, logit.box];
    }

    /** The slider under the scene. It is finer at its start, where the neurons of the constructions stop firing. */
    morphing() {
      const id = P.newId();
      this.slider = el("input", { id, type: "range", min: 0, max: 100, step: 0.5, value: 0 });
      this.slider.addEventListener("input", () => this.set({ morph: (this.slider.value / 100) ** 2 }));
      this.mark = text("span", "ε", "mark");
      this.morphText = text("p", "", "note");
      const label = el("label", { for: id, textContent: "Morph the tile" });
      const track = el("div", { className: "track" }, this.slider, this.mark);
      return el("div", { className: "morph" }, this.fields.target.box, label, track, this.morphText);
    }

    leftOut() {
      const lines = this.world.left_out.map(({ name, why }) => text("li", `${name}: ${why}`));
      const summary = text("summary", `Networks that are not shown (${lines.length})`);
      return lines.length ? [el("details", { className: "left-out" }, summary, el("ul", {}, ...lines))] : [];
    }

    /** The column of a network. */
    card(network) {
      const { classes } = this.world, colour = `rgb(${P.COLOURS[network.colour]})`;
      const verdict = text("p", "", "verdict"), time = text("p", "", "time");
      const rows = classes.slice(0, classes.length > MOST_CLASSES ? 12 : MOST_CLASSES).map(() => {
        const name = text("span", "", "name"), bar = el("span", { className: "fill" }), value = text("span", "", "value");
        bar.style.background = colour;
        return { name, bar, value, row: el("li", {}, name, el("span", { className: "zero" }, bar), value) };
      });
      const map = el("canvas", { className: "map", role: "img", "aria-label": `Attribution map of ${network.name}` });
      const attribution = el("figure", {}, el("figcaption"), map);
      const layers = network.layers.slice(0, -1).map((layer) => this.layerPicture(network, layer));
      const box = el(
        "article", { className: "net", "aria-label": network.name },
        el("h3", {}, text("span", network.name), text("span", network.origin, "origin")),
        verdict,
        text("p", "Logits", "note"),
        el("ul", { className: "logits" }, ...rows.map(({ row }) => row)),
        attribution,
        ...layers.map(({ figure }) => figure),
        ...(network.note ? [text("p", network.note, "note")] : []),
        time,
      );
      box.style.setProperty("--origin", colour);
      return { network, box, verdict, rows, attribution, map, layers, time };
    }

    layerPicture(network, layer) {
      const grid = P.montage(this.world, layer), ring = el("span", { className: "ring", hidden: true });
      const caption = el("figcaption");
      const canvas = el("canvas", {
        className: "layer", tabIndex: 0, role: "application",
        "aria-label": `Layer ${layer.name} of ${network.name}. Click a neuron, or choose one with the arrow keys.`,
      });
      const frame = el("div", { className: "picture" }, canvas, ring);
      frame.style.maxWidth = `${clamp(grid.cols * 28, 6, 560)}px`;
      const picture = { layer, grid, canvas, caption, ring, figure: el("figure", {}, caption, frame) };
      const under = (event) => {
        const [y, x] = this.pixelUnder(event, canvas, grid.rows, grid.cols).map(Math.floor);
        return P.neuronNear(grid, clamp(y, 0, grid.rows - 1) * grid.cols + clamp(x, 0, grid.cols - 1));
      };
      canvas.addEventListener("pointermove", (event) => {
        const neuron = under(event), place = neuron < 0 ? null : P.placeOf(layer, neuron);
        const stands = place ? `: ${this.world.tiles[place.tile].name} at row ${place.row}, column ${place.col}` : "";
        canvas.title = neuron < 0 ? "" : `neuron ${many(neuron)}${stands}`;
      });
      canvas.addEventListener("click", (event) => {
        if (under(event) >= 0) this.choose(network, picture, under(event));
      });
      canvas.addEventListener("keydown", (event) => {
        const arrow = ARROWS[event.key];
        if (!arrow) return;
        event.preventDefault();
        this.chooseByKey(network, picture, arrow[0] * grid.cols + arrow[1]);
      });
      return picture;
    }

    /** The row and column under a pointer, as fractions. */
    pixelUnder(event, canvas, rows, cols) {
      const box = canvas.getBoundingClientRect();
      return [((event.clientY - box.top) / box.height) * rows, ((event.clientX - box.left) / box.width) * cols];
    }

    // --- What the reader does ---

    /** Pointer and keys on the scene. */
    drags() {
      const { canvas, world } = this;
      let grabbed = null;
      canvas.addEventListener("pointerdown", (event) => {
        const [y, x] = this.pixelUnder(event, canvas, world.shape[1], world.shape[2]), { row, col } = this.state;
        const [, rows, cols] = this.tile.shape, inside = y >= row && y < row + rows && x >= col && x < col + cols;
        grabbed = inside ? [y - row, x - col] : [rows / 2, cols / 2];
        canvas.setPointerCapture(event.pointerId);
        if (!inside) this.moveTo(y - grabbed[0], x - grabbed[1]);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (!grabbed) return;
        const [y, x] = this.pixelUnder(event, canvas, world.shape[1], world.shape[2]);
        this.moveTo(y - grabbed[0], x - grabbed[1]);
      });
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { grabbed = null; });
      canvas.addEventListener("keydown", (event) => {
        const arrow = ARROWS[event.key], step = event.shiftKey ? 5 : 1;
        if (!arrow) return;
        event.preventDefault();
        this.moveTo(this.state.row + step * arrow[0], this.state.col + step * arrow[1]);
      });
    }

    moveTo(row, col) {
      this.set({ row: Math.round(row), col: Math.round(col) });
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
      if (!this.background || before.tile !== state.tile) this.setTargets();
      if (!this.background || before.background !== state.background || before.seed !== state.seed) {
        this.background = this.makeBackground();
        if (this.chosen) this.chosen.restart();
      }
      for (const [name, { control }] of Object.entries(this.fields)) {
        if (control.value !== String(state[name])) control.value = state[name];
      }
      this.slider.value = 100 * Math.sqrt(state.morph);
      if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
    }

    /** Offer as targets of the morph the tiles of the same size. */
    setTargets() {
      const others = [...this.world.tiles.entries()].filter(([, one]) => one !== this.tile);
      const same = others.filter(([, one]) => `${one.shape}` === `${this.tile.shape}`);
      const values = ["noise", "background", ...same.map(([t]) => `tile ${t}`)];
      const words = ["noise", "the background", ...same.map(([, one]) => one.name)];
      this.fields.target.control.replaceChildren(...values.map((value, i) => option(value, words[i])));
      if (!values.includes(this.state.target)) this.state.target = "noise";
    }

    makeBackground() {
      const { background, seed } = this.state, flat = { black: 0, grey: 0.5, white: 1 }[background];
      if (background === "noise") return P.noise(seed, this.image.length);
      return flat === undefined ? this.world.scenes[+background].background : new Float32Array(this.image.length).fill(flat);
    }

    /** The values towards which the tile is morphed. */
    targetValues() {
      const { tile, state, world } = this, [, rows, cols] = tile.shape;
      if (state.target === "noise") return P.noise(7, tile.values.length);
      if (state.target !== "background") return world.tiles[+state.target.slice(5)].values;
      return tile.values.map((_, i) => {
        const channel = Math.floor(i / (rows * cols)), row = Math.floor(i / cols) % rows, col = i % cols;
        return this.background[(channel * world.shape[1] + state.row + row) * world.shape[2] + state.col + col];
      });
    }

    /** The tile's values as they are pasted, and the distance at the far end of the morph. */
    morphed() {
      const { tile, state } = this, target = this.targetValues();
      let far = 0;
      for (let i = 0; i < target.length; i++) if (tile.support[i]) far += Math.abs(target[i] - tile.values[i]);
      const values = state.morph ? tile.values.map((value, i) => value + state.morph * (target[i] - value)) : tile.values;
      return { far, values };
    }

    // --- The chosen neuron ---

    choose(network, picture, neuron) {
      if (this.chosen) this.chosen.stop();
      const scene = () => ({ image: this.image, background: this.background, colours: this.colours, ground: this.ground });
      this.chosen = new tmiNeuron.Neuron(this.world, network, picture.layer, neuron, scene);
      picture.figure.after(this.panel);
      this.chosen.show(this.panel);
      this.set({});
    }

    /** Choose the next neuron in a direction; the first key in a layer chooses the one that fires most. */
    chooseByKey(network, picture, step) {
      const { grid, layer } = picture, mine = this.chosen && this.chosen.layer === layer;
      if (!mine) return this.choose(network, picture, this.strongest(network, layer));
      let pixel = grid.pixelOf[this.chosen.neuron];
      do pixel += step; while (grid.neuronAt[pixel] === -1);  // the gaps between maps
      if (grid.neuronAt[pixel] >= 0) this.choose(network, picture, grid.neuronAt[pixel]);
    }

    strongest(network, layer) {
      const values = N.forward(network, this.image, layer.operation);
      return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
    }

    // --- Drawing ---

    draw() {
      const start = performance.now(), { world, state, tile } = this, { values, far } = this.morphed();
      N.render(world, this.background, tile, values, state.row, state.col, this.image);
      const { phi } = N.truth(world, this.image);
      this.shown = [...phi.keys()].filter((c) => phi[c] > 0);
      this.drawScene(far);
      for (const card of this.cards) this.drawCard(card);
      if (this.chosen) this.chosen.update();
      this.frameTime = performance.now() - start;
      clearTimeout(this.later);
      this.later = setTimeout(() => this.pause(), 150);
    }

    /** What waits until the reader pauses: slow attributions, what a neuron fires for, and the announcement. */
    pause() {
      for (const card of this.cards) this.drawAttribution(card, true);
      const answers = this.cards.map((card) => `${card.network.name}: ${card.answer}`).join(", ");
      say(this.status, `Tile ${this.tile.name} at row ${this.state.row}, column ${this.state.col}. ${answers}.`);
      if (this.chosen) this.chosen.start();
    }

    drawScene(far) {
      const { world, state, tile } = this, [, rows, cols] = world.shape;
      P.paint(this.canvas, rows, cols, P.pixelColour(world, this.image, this.pixels));
      this.drawOutlines();
      const t = N.distance(tile, this.image, state.row * cols + state.col);
      const classes = this.shown.length ? this.shown.map((c) => world.classes[c]).join(", ") : "no class";
      say(this.caption, `Tile ${tile.name} at row ${state.row}, column ${state.col}. The image shows: ${classes}.`);
      const share = number(100 * state.morph), epsilon = number(tile.epsilon);
      const contained = `which the image contains while t < ε = ${epsilon}`;
      say(this.morphText, `Morphed by ${share} %: t = ${number(t)} from the tile, ${contained}.`);
      this.mark.hidden = world.paste === "blend" || !(far > tile.epsilon);
      this.mark.style.setProperty("--at", Math.sqrt(clamp(tile.epsilon / far, 0, 1)));  // as on the slider
    }

    /** The outlines of the tile, and of what the chosen neuron stands for. */
    drawOutlines() {
      const { world, state, overlay } = this, [, rows, cols] = world.shape, scale = Math.max(2, Math.ceil(480 / cols));
      if (overlay.width !== cols * scale) Object.assign(overlay, { width: cols * scale, height: rows * scale });
      const context = overlay.getContext("2d");
      context.clearRect(0, 0, overlay.width, overlay.height);
      const outline = (tile, row, col, colour, dash) => {
        for (const [strokeStyle, lineWidth] of [["rgba(255, 255, 255, .9)", 5], [colour, 2.5]]) {
          Object.assign(context, { strokeStyle, lineWidth });
          context.setLineDash(dash);
          context.strokeRect(col * scale, row * scale, tile.shape[2] * scale, tile.shape[1] * scale);
        }
      };
      outline(this.tile, state.row, state.col, "#0072B2", []);
      const meant = this.chosen && this.chosen.place;
      if (meant) outline(world.tiles[meant.tile], meant.row, meant.col, P.CHOSEN, [8, 6]);
    }

    drawCard(card) {
      const { network } = card, { world, shown } = this, start = performance.now();
      const logits = N.forward(network, this.image), spent = performance.now() - start;
      const best = logits.reduce((top, value, c) => (value > logits[top] ? c : top), 0);
      card.predicted = logits.some((value) => value !== 0) ? best : -1;
      card.answer = card.predicted < 0 ? "no class" : world.classes[best];
      const right = card.predicted < 0 ? !shown.length : shown.length === 1 && shown[0] === best;
      say(card.verdict, `${right ? "✓" : "✗"} predicts ${card.answer}`);
      card.verdict.classList.toggle("wrong", !right);
      this.drawLogits(card, logits);
      for (const picture of card.layers) this.drawLayer(network, picture);
      card.spent = card.spent === undefined ? Math.min(spent, SLOW / 2) : 0.8 * card.spent + 0.2 * spent;  // the first is slower
      say(card.time, `${card.spent < 1 ? "less than 1" : Math.round(card.spent)} ms an image`);
      this.drawAttribution(card, false);
    }

    /** Bars from 0; of many classes those with the greatest logits. */
    drawLogits({ rows }, logits) {
      const { world, shown } = this, low = Math.min(0, ...logits), span = Math.max(0, ...logits) - low || 1;
      const order = world.classes.map((_, c) => c);
      if (order.length > rows.length) order.sort((a, b) => logits[b] - logits[a]);
      rows.forEach(({ name, bar, value, row }, i) => {
        const c = order[i], left = (Math.min(logits[c], 0) - low) / span;
        say(name, world.classes[c]);
        say(value, number(logits[c]));
        row.classList.toggle("shown", shown.includes(c));
        Object.assign(bar.style, { left: `${100 * left}%`, width: `${(100 * Math.abs(logits[c])) / span}%` });
      });
    }

    drawLayer(network, { layer, grid, canvas, caption, ring }) {
      const values = network.operations[layer.operation].output, colours = this.colours[network.colour];
      let most = 0, firing = 0;
      for (const value of values) {
        if (value > 0) firing++;
        if (value > most) most = value;
      }
      const halo = P.halo(grid, values, firing);
      P.paint(canvas, grid.rows, grid.cols, (i) => {
        const neuron = grid.neuronAt[i];
        if (neuron < 0) return 0;
        return values[neuron] > 0 || !halo.has(i) ? P.shade(colours, values[neuron], most) : colours[100];
      });
      say(caption, `${layer.name}: ${many(firing)} of ${many(values.length)} fire${most ? `, up to ${number(most)}` : ""}`);
      ring.hidden = !this.chosen || this.chosen.layer !== layer;
      if (ring.hidden) return;
      const pixel = grid.pixelOf[this.chosen.neuron];
      ring.style.left = `${(100 * ((pixel % grid.cols) + 0.5)) / grid.cols}%`;
      ring.style.top = `${(100 * (Math.floor(pixel / grid.cols) + 0.5)) / grid.rows}%`;
    }

    /** Gradients are drawn with each frame; integrated gradients, and those of slow networks, when the reader pauses. */
    drawAttribution(card, paused) {
      const { state } = this, { network, map, attribution } = card;
      attribution.hidden = !state.method;
      if (!state.method) return;
      const slow = state.method === "integrated gradients" || card.spent > SLOW;
      if (slow && !paused) map.classList.add("old");
      if (slow !== paused) return;
      const logit = { tile: this.tile.class, predicted: Math.max(0, card.predicted) }[state.logit] ?? +state.logit.slice(6);
      if (state.method === "integrated gradients") return this.integrate(card, logit);
      if (paused) N.forward(network, this.image);
      this.showAttribution(card, logit, N.ATTRIBUTIONS[state.method](network, this.image, logit));
    }

    /** Integrated gradients, some steps at a time, until something changes. */
    async integrate(card, logit) {
      const image = this.image.slice(), total = new Float64Array(image.length), { later } = this;
      for (let step = 0; step < N.STEPS; ) {
        for (const until = performance.now() + 12; step < N.STEPS && performance.now() < until; step++) {
          N.integrate(card.network, image, logit, step, total);
        }
        await new Promise(requestAnimationFrame);
        if (this.later !== later) return;
      }
      this.showAttribution(card, logit, total);
    }

    showAttribution({ network, map, attribution }, logit, values) {
      const { state, world } = this, sums = new Float64Array(this.pixels);
      values.forEach((value, i) => { sums[i % this.pixels] += value; });
      map.classList.remove("old");
      const most = sums.reduce((top, value) => Math.max(top, Math.abs(value)), 0), scale = most ? 255 / most : 0;
      const { constructed: blue, trained: orange } = this.colours;
      P.paint(map, world.shape[1], world.shape[2], (i) => (sums[i] > 0 ? orange : blue)[Math.round(scale * Math.abs(sums[i]))]);
      const what = `${state.method} of logit ${world.classes[logit]}`;
      map.setAttribute("aria-label", `${what} for ${network.name}`);
      say(attribution.firstChild, most ? `${what}, up to ±${number(most)}` : `${what}: 0 everywhere`);
    }
  }

  /** Put an explorer into an element; of several data sets the reader chooses one. */
  function mount(root, worlds) {
    const show = (index) => {
      if (root.explorer && root.explorer.chosen) root.explorer.chosen.stop();
      root.explorer = new Explorer(root, structuredClone(worlds[index]), pick);
    };
    const names = worlds.map((world, i) => option(i, world.name));
    const pick = worlds.length > 1 ? select("Data set", names, (value) => show(+value)) : null;
    show(0);
    // Light and dark change with the system, or with an attribute that the page sets.
    const recolour = () => root.explorer.recolour();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    new MutationObserver(recolour).observe(document.documentElement, { attributes: true });
  }

  document.querySelectorAll(".tmi-explorer").forEach((root, i) => {
    mount(root, JSON.parse(document.querySelectorAll(".tmi-explorer-data")[i].textContent));
  });

  return { Explorer, mount };
})();
