"use strict";
{
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const made = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const root = document.documentElement;

  // Colours: as the system has them, until the reader chooses; the choice is kept where the browser allows it.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = (value) => {
    try {
      return value ? localStorage.setItem("tmi-colours", value) : localStorage.getItem("tmi-colours");
    } catch {
      return null;
    }
  };
  const switcher = made("button", { type: "button" });
  const colour = (chosen) => {
    if (chosen) root.dataset.colours = chosen;
    const dark = (root.dataset.colours ?? (system.matches ? "dark" : "light")) === "dark";
    root.toggleAttribute("data-dark", dark);
    switcher.textContent = dark ? "Light colours" : "Dark colours";
  };
  switcher.onclick = () => {
    const chosen = root.hasAttribute("data-dark") ? "light" : "dark";
    kept(chosen);
    colour(chosen);
  };
  system.addEventListener("change", () => colour());
  colour(["light", "dark"].find((known) => known === kept()));

  // Folded parts: all at once; what a link points to; and everything on paper.
  const fold = made("button", { type: "button", textContent: "Unfold everything" });
  fold.onclick = () => {
    const open = all("main details").some((part) => !part.open);
    all("main details").forEach((part) => (part.open = open || part.classList.contains("part")));
  };
  const label = () => (fold.textContent = all("main details").some((part) => !part.open) ? "Unfold everything" : "Fold the details");
  all("main details").forEach((part) => part.addEventListener("toggle", label));
  label();
  document.querySelector("main header").append(made("div", { className: "tools" }, switcher, fold));
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    for (let part = target && (target.querySelector(".part") ?? target); part; part = part.parentElement?.closest("details")) {
      if (part.tagName === "DETAILS") part.open = true;
    }
  };
  addEventListener("hashchange", reveal);
  reveal();
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("main details:not([open])");
    folded.forEach((part) => (part.open = true));
  });
  addEventListener("afterprint", () => folded.forEach((part) => (part.open = false)));

  // Contents: close after a choice on a small screen, and mark the section that is read.
  const above = document.querySelector("nav.above details");
  all("nav.above a").forEach((link) => link.addEventListener("click", () => (above.open = false)));
  above.addEventListener("keydown", (event) => event.key === "Escape" && (above.open = false));
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    entries.forEach((entry) => seen[entry.isIntersecting ? "add" : "delete"](entry.target.id));
    const first = all("main section[id]").find((section) => seen.has(section.id));
    for (const link of all("nav a")) {
      if (first && link.hash === `#${first.id}`) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-20% 0px -75%" });
  all("main section[id]").forEach((section) => observer.observe(section));

  // Tables: sorted by a column at a click on its head: upwards, downwards, as before. Text after numbers, dashes last.
  const dash = "–";
  const value = (cell) => {
    const text = cell.textContent.trim();
    const number = /^[<>≤≥]?\s*([-−+]?[\d,]*\.?\d+(?:e[-+]?\d+)?)/i.exec(text);
    return number ? Number(number[1].replaceAll(",", "").replace("−", "-")) : text;
  };
  const compare = (a, b) => {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  };
  for (const table of all("main .wide table")) {
    const body = table.tBodies[0];
    const before = body ? [...body.rows] : [];
    if (before.length < 2) continue;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent) return;
      const button = made("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.onclick = () => {
        const order = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")] ?? "ascending";
        const back = head.getAttribute("aria-sort") === "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (back) return body.append(...before);
        head.setAttribute("aria-sort", order);
        const keyed = before.map((row) => [value(row.cells[column]), row]);
        const known = keyed.filter(([key]) => key !== dash && key !== "");
        known.sort(([a], [b]) => (order === "ascending" ? compare(a, b) : compare(b, a)));
        body.append(...known.map(([, row]) => row), ...keyed.filter(([key]) => key === dash || key === "").map(([, row]) => row));
      };
    });
  }

  // A field in each section with many rows: rows that have all words stay, and folded tables that have such rows are open.
  for (const section of all("main section")) {
    const tables = all(".wide table", section).filter((table) => table.tBodies[0]);
    const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
    if (rows.length < 8) continue;
    const field = made("input", { type: "search", placeholder: "words of a row" });
    const count = made("output");
    const box = made("div", { className: "filter" }, made("label", {}, "Search the tables ", field), count);
    const body = section.querySelector(".part") ?? section;
    [...body.children].find((child) => child.contains(tables[0])).before(box);
    const parts = all("details:not(.part)", section).filter((part) => part.querySelector(".wide table"));
    let text;
    field.oninput = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      text ??= new Map(
        rows.map((row) => {
          const title = row.closest("details:not(.part)")?.querySelector("summary").textContent ?? "";
          return [row, `${title} ${row.textContent} ${[...row.cells].map((cell) => cell.textContent).join(" ")}`.toLowerCase()];
        }),
      );
      rows.forEach((row) => (row.hidden = !words.every((word) => text.get(row).includes(word))));
      const shown = rows.filter((row) => !row.hidden).length;
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
      for (const part of parts) {
        part.dataset.before ??= part.open;
        const any = all("tbody tr", part).some((row) => !row.hidden);
        part.hidden = words.length > 0 && !any;
        part.open = words.length ? any : part.dataset.before === "true";
        if (!words.length) delete part.dataset.before;
      }
    };
  }

  // Figures: an SVG is downloaded from the page itself.
  for (const image of all("figure .drawing img")) {
    const place = image.closest("figure").querySelector(".downloads");
    if (!image.src.startsWith("data:image/svg")) continue;
    const button = made("button", { type: "button", textContent: "Download SVG" });
    button.setAttribute("aria-label", `Download as SVG: ${image.alt}`);
    button.onclick = () => made("a", { href: image.src, download: `${image.dataset.name}.svg` }).click();
    place?.append(button);
  }

  // What can be moved sideways can have the focus, so that the arrow keys move it.
  const sideways = () => all(".wide, .drawing").forEach((box) => {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
  addEventListener("resize", sideways);
  addEventListener("load", sideways);
  document.addEventListener("toggle", sideways, true);
}
