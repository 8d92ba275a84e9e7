// The chosen neuron: what it stands for, and what it fires for on the background of the scene.
"use strict";

const tmiNeuron = (() => {
  const N = tmiNetwork;
  const { el, text, say, many, number, paint, shade, thumbnail, placeOf, channelOf, carried } = tmiPictures;
  const MOST_MAPS = 24, MOST_TRIES = 4000;

  class Neuron {
    /** `scene()` gives the image, the background and the colours as they are now. */
    constructor(world, network, layer, neuron, scene) {
      Object.assign(this, { world, network, layer, neuron, scene });
      this.place = placeOf(layer, neuron);
      this.now = text("p", "");
      this.fires = el("div", { className: "fires" });
      this.restart();
    }

    /** Show all of it in a panel. */
    show(panel) {
      const where = channelOf(this.layer, this.neuron);
      const place = where ? ` (channel ${where[0]}, row ${where[1]}, column ${where[2]})` : "";
      panel.replaceChildren(
        text("h4", `Layer ${this.layer.name}, neuron ${many(this.neuron)}${place}`),
        ...this.meaning(where),
        this.now,
        text("h5", "What it fires for on this background"),
        this.fires,
      );
    }

    picture(tile) {
      return thumbnail(this.world, tile, this.scene().ground, { role: "img", "aria-label": `Tile ${tile.name}` });
    }

    /** What it stands for, as elements. */
    meaning(where) {
      const { world, layer, neuron, place } = this;
      if (place) {
        const tile = world.tiles[place.tile];
        const words = `Stands for tile ${tile.name} (class ${world.classes[tile.class]}) with its corner at row ${place.row}, ` +
          `column ${place.col}: the dashed outline in the scene.`;
        return [el("div", { className: "meaning" }, this.picture(tile), text("p", words))];
      }
      if (layer.directions) return this.features(where);
      if (layer.meaning) {
        const values = Object.keys(layer.neurons).map((name) => [name, layer.meaning(name, neuron)]);
        const words = values.map(([name, value]) => `${name} ${typeof value === "number" ? number(value) : value}`);
        return [text("p", `Computes: ${words.join(", ")}.`)];
      }
      return [text("p", `What it stands for is not known: the network is ${this.network.origin}.`)];
    }

    /** The features that share it. */
    features(where) {
      const { directions } = this.layer, shared = carried(this.layer, this.neuron);
      const at = directions.by_place ? ` at row ${where[1]}, column ${where[2]}` : "";
      const figures = shared.slice(0, MOST_MAPS).map(({ feature, weight }) => {
        const [tile, row, col] = ["tile", "row", "col"].map((name) => directions.feature(name, feature));
        const place = row === undefined ? "" : ` at ${row}, ${col}`;
        const one = this.world.tiles[tile];
        return el("figure", {}, this.picture(one), text("figcaption", `${one.name}${place}: ${number(weight)}`));
      });
      const share = `${shared.length} of ${directions.starts.length - 1} features${at}`;
      const words = `Stands for no single feature: it is shared by ${share}. Each adds its activation times a weight:`;
      return [text("p", words), el("div", { className: "features" }, ...figures)];
    }

    /** Say what it does on the image of the scene, after the network was computed. */
    update() {
      const value = this.network.operations[this.layer.operation].output[this.neuron], { world, place } = this;
      let near = "";
      if (place) {
        const t = N.distance(world.tiles[place.tile], this.scene().image, place.row * world.shape[2] + place.col);
        near = ` The window there is t = ${number(t)} from the tile.`;
      }
      say(this.now, `${value > 0 ? "Fires" : "Does not fire"} now: activation ${number(value)}.${near}`);
    }

    // --- What it fires for ---

    /** Forget what it fires for: the background has changed. */
    restart() {
      this.run = null;
      this.fires.replaceChildren(text("p", "is computed when you pause …", "note"));
    }

    /** Paste every tile at every place of the background, some at a time, and note where the neuron fires. */
    start() {
      if (this.run) return;
      const { world } = this, { background } = this.scene(), run = (this.run = {});
      const image = new Float32Array(background.length);
      const step = Math.ceil(Math.sqrt(N.windowsOf(world.tiles) / MOST_TRIES));
      const maps = world.tiles.map((tile) => {
        const [rows, cols] = tile.windows.map((count) => Math.ceil(count / step));
        return { tile, rows, cols, values: new Float32Array(rows * cols), count: 0, most: 0 };
      });
      let m = 0, place = 0;
      const work = () => {
        if (this.run !== run) return;
        for (const until = performance.now() + 12; m < maps.length && performance.now() < until; ) {
          const map = maps[m];
          const row = Math.floor(place / map.cols) * step, col = (place % map.cols) * step;
          N.render(world, background, map.tile, map.tile.values, row, col, image);
          const value = N.forward(this.network, image, this.layer.operation)[this.neuron];
          if (value > 0) {
            map.values[place] = value;
            map.count++;
            map.most = Math.max(map.most, value);
          }
          if (++place === map.values.length) [m, place] = [m + 1, 0];
        }
        if (m < maps.length) requestAnimationFrame(work);
        else this.showMaps(maps, step);
      };
      work();
    }

    /** Stop: another neuron is chosen. */
    stop() {
      this.run = {};
    }

    showMaps(maps, step) {
      const total = (values) => values.reduce((sum, value) => sum + value, 0);
      const active = maps.filter((map) => map.count).sort((a, b) => b.count - a.count);
      const most = Math.max(0, ...active.map((map) => map.most)), every = step > 1 ? ` (every ${step} pixels)` : "";
      const pairs = `${many(total(maps.map((map) => map.count)))} of ${many(total(maps.map((map) => map.values.length)))} pairs`;
      let words = `Fires for ${pairs} of a tile and a place${every}, of ${active.length} of ${maps.length} tiles.`;
      if (active.length) words += ` A map shows the places of a tile's corner; the darkest is ${number(most)}.`;
      const figures = active.slice(0, MOST_MAPS).map((map) => this.mapFigure(map, most));
      const more = active.length > MOST_MAPS ? [text("p", `and ${active.length - MOST_MAPS} more tiles`, "note")] : [];
      this.fires.replaceChildren(text("p", words), el("div", { className: "features" }, ...figures), ...more);
    }

    mapFigure(map, most) {
      const label = `Places at which tile ${map.tile.name} makes the neuron fire`;
      const canvas = el("canvas", { className: "places", role: "img", "aria-label": label });
      const { colours, ground } = this.scene();
      paint(canvas, map.rows, map.cols, (i) => shade(colours[this.network.colour], map.values[i], most));
      const pair = el("div", { className: "pair" }, thumbnail(this.world, map.tile, ground, { "aria-hidden": "true" }), canvas);
      return el("figure", {}, pair, text("figcaption", `${map.tile.name}: ${many(map.count)} of ${many(map.values.length)}`));
    }
  }

  return { Neuron };
})();
