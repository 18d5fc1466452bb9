"use strict";
// Figures: drawn when they come near the window, in the page's colours, with values on hover, zoom, tables and downloads.
(() => {
  const CONFIG = FIGURE_CONFIG;
  const AXES = ["x", "y"];
  const NARROW = 420; // pixels of drawing below which legends stand in one column
  const NEAREST = 0.4; // decades below which labels of two digits would repeat
  const { FigureData, powerLabel, logTicks } = ratecheck;
  const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const visible = (box) => box.offsetParent !== null;

  // ----------------------------------------------------------------------------------------------- colours
  // Marks take the page's colours, so that a change of theme and the printer need no new drawing.  Where colours are
  // mixed, as in heat maps, they stay what they are.
  const COLOURS = new Map(Object.entries({
    "#222222": "ink", "#0072b2": "blue", "#d55e00": "vermillion", "#009e73": "green", "#cc79a7": "purple",
    "#e69f00": "orange", "#56b4e9": "sky", "#8a8f98": "grey",
  }));

  function recoloured(part) {
    if (typeof part === "string") return COLOURS.has(part.toLowerCase()) ? `var(--${COLOURS.get(part.toLowerCase())})` : part;
    if (Array.isArray(part)) return part.map(recoloured);
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, recoloured(value)]));
  }

  function configuration(onPaper, own, columns) {
    const [ink, line] = onPaper ? ["#222222", "#c9cdd4"] : ["var(--ink)", "var(--line)"];
    return {
      ...CONFIG,
      background: onPaper ? "white" : "transparent",
      axis: { ...CONFIG.axis, labelColor: ink, titleColor: ink, gridColor: line, tickColor: line, domainColor: line },
      legend: { ...CONFIG.legend, labelColor: ink, titleColor: ink, ...own?.legend, ...columns },
      view: { stroke: line },
    };
  }

  // ----------------------------------------------------------------------------------------------- figures
  class Figure {
    constructor(box, stored) {
      this.box = box;
      this.outer = box.closest("figure");
      this.spec = stored.spec;
      this.data = new FigureData(stored);
      this.home = Object.fromEntries(AXES.map((name) => [name, this.data.range(name)]));
      this.shown = { ...this.home };
      this.rule = Object.assign(document.createElement("div"), { className: "figure-rule", hidden: true });
      box.addEventListener("mouseleave", () => this.unpoint());
    }

    get zoomed() { return AXES.some((name) => this.shown[name] !== this.home[name]); }

    prepared(onPaper, width) {
      const spec = structuredClone(this.spec);
      for (const layer of spec.layer ?? [spec]) {
        if (this.zoomed) layer.mark = { ...(layer.mark.type ? layer.mark : { type: layer.mark }), clip: true };
        for (const name of AXES) {
          const channel = layer.encoding?.[name];
          if (!channel) continue;
          if (channel.axis?.labelExpr === "power") {
            channel.axis.labelExpr = "powerLabel(datum.value)";
            if (this.shown[name]) channel.axis.values = logTicks(this.shown[name]);
          }
          if (channel.scale?.domain && this.shown[name]) channel.scale.domain = this.shown[name];
        }
      }
      if (width) {
        spec.width = width;
        spec.autosize = { type: "fit-x", contains: "padding" };
      }
      spec.datasets = this.data.sets;
      spec.config = configuration(onPaper, spec.config, width && width < NARROW ? { columns: 1, labelLimit: width - 60 } : {});
      return onPaper ? spec : { ...recoloured({ ...spec, datasets: null }), datasets: this.data.sets };
    }

    async embedded(place, onPaper, width) {
      const vegaEmbed = await ratecheck.vega();
      const options = { renderer: "svg", actions: false, defaultStyle: false, tooltip: false, logLevel: 1, expressionFunctions: { powerLabel } };
      return vegaEmbed(place, this.prepared(onPaper, width), options);
    }

    // While one drawing is made, only the last wish counts.
    draw() {
      this.unpoint();
      this.again = true;
      this.drawing ??= (async () => {
        while (this.again) {
          this.again = false;
          await this.drawOnce();
        }
        this.drawing = null;
      })();
      return this.drawing;
    }

    async drawOnce() {
      try {
        const width = this.room();
        const place = document.createElement("div");
        const { view, finalize } = await this.embedded(place, false, width);
        this.finalize?.();
        Object.assign(this, { view, finalize, width });
        this.box.replaceChildren(place, this.rule);
        this.box.querySelector("svg").setAttribute("aria-hidden", "true"); // the caption and the table say it
        view.addEventListener("mousemove", (event, item) => this.point(event, item));
        if (!this.tools) this.addTools();
        this.box.dataset.drawn = "yes";
        this.box.toggleAttribute("data-zoomed", this.zoomed);
      } catch (error) {
        this.box.dataset.drawn = "failed";
        this.box.textContent = `This figure could not be drawn (${error.message}); its description is below.`;
      }
    }

    room() { return Math.min(this.spec.width + 90, Math.max(this.outer.clientWidth - 2, 260)); }

    // -------------------------------------------------------------------------------------- tools
    addTools() {
      this.tools = document.createElement("div");
      this.tools.className = "figure-tools";
      const add = (text, label, act) => {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: text, title: label });
        button.setAttribute("aria-label", label);
        button.addEventListener("click", act);
        this.tools.append(button);
        return button;
      };
      if (this.home.x || this.home.y) {
        add("+", "Zoom in", () => this.zoom(0.7));
        add("−", "Zoom out", () => this.zoom(1 / 0.7));
        add("Reset", "Reset the zoom", () => this.reset());
        this.box.classList.add("zoomable");
        this.listen();
      }
      const section = this.box.closest("section[id]");
      const place = section ? [...section.querySelectorAll("[data-figure]")].indexOf(this.box) + 1 : 1;
      const name = `${section?.id ?? "figure"}-${place}`;
      add("SVG", "Save as SVG", async () => {
        const { view, finalize } = await this.embedded(document.createElement("div"), true, null);
        save(`${name}.svg`, "image/svg+xml", await view.toSVG());
        finalize();
      });
      add("CSV", "Save the data as CSV", () => save(`${name}.csv`, "text/csv", this.data.csv()));
      add("JSON", "Save the data as JSON", () => save(`${name}.json`, "application/json", JSON.stringify(this.data.sets)));
      const table = add("Table", "Show the data as a table", () => this.toggleTable(table));
      table.setAttribute("aria-expanded", "false");
      this.box.after(this.tools);
    }

    zoom(factor, at = {}) {
      for (const name of AXES.filter((axis) => this.home[axis])) {
        const [low, high] = this.shown[name];
        const [first, last] = this.home[name];
        const whole = Math.abs(last - first);
        const least = this.data.isPower(name) ? Math.min(NEAREST, whole) : whole / 1000;
        const by = Math.max(factor, Math.min(1, least / Math.abs(high - low)));
        const fixed = at[name] ?? (low + high) / 2;
        this.shown[name] = [fixed + (low - fixed) * by, fixed + (high - fixed) * by];
      }
      this.draw();
    }

    pan(pixels) {
      const size = { x: -this.view.signal("width"), y: this.view.signal("height") };
      for (const name of AXES.filter((axis) => this.home[axis])) {
        const [low, high] = this.shown[name];
        const by = (pixels[name] * (high - low)) / size[name];
        this.shown[name] = [low + by, high + by];
      }
      this.draw();
    }

    reset() {
      this.shown = { ...this.home };
      this.draw();
    }

    // The upper left corner of the plot in its drawing, in pixels.
    corner() {
      const [left, top] = this.view.origin();
      return [left + this.view.padding().left, top + this.view.padding().top];
    }

    // Values under the pointer, for the axes that have a range.
    under(event) {
      const [left, top] = this.corner();
      const box = this.box.querySelector("svg").getBoundingClientRect();
      const place = { x: event.clientX - box.left - left, y: event.clientY - box.top - top };
      return Object.fromEntries(AXES.filter((name) => this.home[name]).map((name) => [name, this.view.scale(name).invert(place[name])]));
    }

    listen() {
      this.box.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // the page must still scroll
        event.preventDefault();
        this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.under(event));
      }, { passive: false });
      this.box.addEventListener("dblclick", () => this.reset());
      this.box.addEventListener("pointerdown", (event) => {
        if (event.pointerType !== "mouse" || event.button !== 0) return; // fingers scroll the page
        const move = (next) => this.pan({ x: next.movementX, y: next.movementY });
        addEventListener("pointermove", move);
        addEventListener("pointerup", () => removeEventListener("pointermove", move), { once: true });
      });
    }

    // -------------------------------------------------------------------------------------- tables
    toggleTable(button) {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) { this.table.remove(); return; }
      this.table = document.createElement("div");
      this.table.className = "figure-table";
      this.table.tabIndex = 0; // it scrolls, so the keyboard must reach it
      this.table.setAttribute("role", "region");
      this.table.setAttribute("aria-label", "Data of the figure");
      for (const { heads, rows } of this.data.tables()) {
        const table = document.createElement("table");
        const head = table.createTHead().insertRow();
        for (const text of heads) head.append(Object.assign(element("th", text), { scope: "col" }));
        const body = table.createTBody();
        for (const cells of rows.slice(0, 200)) {
          const row = body.insertRow();
          for (const text of cells) row.insertCell().textContent = text;
        }
        this.table.append(table);
      }
      this.tools.after(this.table);
    }

    // --------------------------------------------------------------------------------------- hover
    point(event, item) {
      const step = this.stepUnder(event);
      if (step === null) {
        this.unpoint();
        if (item?.mark?.role === "mark") showTip(this.data.describe(item.datum), event);
        return;
      }
      const [left, top] = this.corner();
      this.rule.hidden = false;
      this.rule.style.left = `${left + this.view.scale("x")(step)}px`;
      this.rule.style.top = `${top}px`;
      this.rule.style.height = `${this.view.signal("height")}px`;
      showTip(this.data.along(step, (this.shown.x[1] - this.shown.x[0]) / 15), event);
    }

    unpoint() {
      this.rule.hidden = true;
      tip.hidden = true;
    }

    // In figures with lines, the step with a value that is nearest to the pointer; null outside the axes.
    stepUnder(event) {
      const { x } = this.under(event);
      if (!this.data.sets.lines?.length || x === undefined || x < this.shown.x[0] || x > this.shown.x[1]) return null;
      return this.data.nearest(x);
    }
  }

  const tip = document.body.appendChild(Object.assign(document.createElement("div"), { className: "figure-tooltip", hidden: true }));

  function showTip(pairs, event) {
    if (!pairs.length) return;
    const list = document.createElement("dl");
    for (const [name, value] of pairs) {
      list.append(element("dt", name), element("dd", value));
    }
    tip.replaceChildren(list);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 4))}px`;
    tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
  }

  function save(name, type, text) {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // -------------------------------------------------------------------------------------------- when to draw
  const figures = new Map(); // made only when needed: reading the data of all would keep the front page waiting
  const boxes = [...document.querySelectorAll("[data-figure]")];

  async function figureOf(box) {
    const stored = (await ratecheck.figures())[Number(box.dataset.figure)];
    if (!figures.has(box)) figures.set(box, new Figure(box, stored));
    return figures.get(box);
  }

  async function drawIfNew(box) {
    if (box.dataset.drawn) return;
    const figure = await figureOf(box);
    await (figure.drawing ?? figure.draw());
  }

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) drawIfNew(target);
  }, { rootMargin: "400px" });
  // A figure may be printed without having been near: what it needs is there as soon as its view is shown.
  const there = new IntersectionObserver((entries) => {
    if (entries.some(({ isIntersecting }) => isIntersecting)) Promise.all([ratecheck.vega(), ratecheck.figures()]);
  }, { rootMargin: "1000000px" });
  for (const box of boxes) for (const observer of [near, there]) observer.observe(box);

  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const [box, figure] of figures) if (box.dataset.drawn === "yes" && visible(box) && figure.room() !== figure.width) figure.draw();
    }, 150);
  });

  // Draw all that can be seen, one after the other.
  async function drawAll() {
    for (const box of boxes) if (visible(box)) await drawIfNew(box);
  }
  // Drawing waits for nothing but promises that are kept at once, so that it is done before the printer starts.
  addEventListener("beforeprint", drawAll);
  Object.assign(ratecheck, { drawAll });
})();
