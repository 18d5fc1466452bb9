"use strict";
// What a figure's data say in words and numbers: as tables, as CSV, and under the pointer.
(() => {
  const { powerLabel, plain } = ratecheck;
  const AXES = ["x", "y"];
  const FORMAL = ["size", "text", "yOffset"]; // channels that say nothing of their own

  const titleOf = (channel) => channel.title ?? channel.axis?.title ?? channel.legend?.title ?? null;
  const namesOf = (lines) => [...new Set(lines.map((row) => row.series))];
  const closest = (rows, x) => rows.reduce((best, row) => (Math.abs(row.x - x) < Math.abs(best.x - x) ? row : best));

  // Columns hold their values, or runs of equal values with their lengths.
  function rowsOf(columns) {
    const full = Object.entries(columns).map(([name, column]) => [
      name, Array.isArray(column) ? column : column.runs.flatMap(([value, times]) => Array(times).fill(value)),
    ]);
    const length = full.length ? full[0][1].length : 0;
    return Array.from({ length }, (_, k) => Object.fromEntries(full.map(([name, column]) => [name, column[k]])));
  }

  class FigureData {
    constructor({ spec, data }) {
      this.encodings = (spec.layer ?? [spec]).map((layer) => layer.encoding ?? {});
      this.sets = Object.fromEntries(Object.entries(data).map(([name, columns]) => [name, rowsOf(columns)]));
    }

    channels(name) { return this.encodings.map((encoding) => encoding[name]).filter(Boolean); }

    axis(name) { return this.channels(name).map((channel) => channel.axis).find((axis) => axis) ?? {}; }

    isPower(name) { return this.axis(name).labelExpr === "power"; }

    // A value as the axis of this name would have it.
    written(name, value) { return this.isPower(name) && typeof value === "number" ? powerLabel(value) : plain(value); }

    // The range of an axis that may be zoomed: one of numbers, with labels that follow.
    range(name) {
      const channel = this.channels(name).find((one) => one.type === "quantitative" && one.scale?.domain);
      const labels = this.axis(name).labelExpr;
      return channel && channel.axis !== null && (labels === undefined || labels === "power") ? channel.scale.domain : null;
    }

    // ------------------------------------------------------------------------------------------- columns
    // Those of a row that are not there for the drawing only: not the far ends of cells, nor what Vega adds.
    fieldsOf(row) {
      const formal = new Set(FORMAL.flatMap((name) => this.channels(name)).map((channel) => channel.field));
      return Object.keys(row).filter((field) => !formal.has(field) && !/2$|_sort_index$/.test(field));
    }

    label(field) {
      // An axis whose labels are looked up shows something else than the numbers.
      const speaks = (channel) => !/^[[(]/.test(channel.axis?.labelExpr ?? "");
      const uses = this.encodings.flatMap((encoding) => Object.values(encoding))
        .filter((channel) => channel?.field === field && speaks(channel));
      const coloured = this.channels("color").some((channel) => channel.field === field);
      return uses.map(titleOf).find((title) => title) ?? (coloured && field.length < 3 ? "value" : field);
    }

    valueOf(field, value) {
      const on = (axis) => [...this.channels(axis), ...this.channels(`${axis}2`)].some((channel) => channel.field === field);
      return this.written(AXES.find(on), value);
    }

    // One table a data set; lines stand side by side over their common steps.
    tables() {
      return Object.entries(this.sets).filter(([, rows]) => rows.length).map(([name, rows]) => {
        if (name === "lines") return this.besideEachOther(rows);
        const fields = this.fieldsOf(rows[0]);
        return {
          heads: fields.map((field) => this.label(field)),
          rows: rows.map((row) => fields.map((field) => this.valueOf(field, row[field]))),
        };
      });
    }

    besideEachOther(lines) {
      const series = namesOf(lines);
      const at = new Map();
      for (const row of lines) at.set(row.x, { ...at.get(row.x), [row.series]: row.y });
      const steps = [...at.keys()].sort((a, b) => a - b);
      return {
        heads: [this.label("x"), ...series],
        rows: steps.map((x) => [this.written("x", x), ...series.map((name) => this.written("y", at.get(x)[name]))]),
      };
    }

    csv() {
      // A text that begins like a formula would be run by a spreadsheet.
      const quoted = (text) => `"${text.replace(/^[-=+@\t\r]/, "'$&").replaceAll('"', '""')}"`;
      const field = (value) => (typeof value === "number" ? String(value) : quoted(String(value ?? "")));
      const tables = Object.entries(this.sets).filter(([, rows]) => rows.length).map(([name, rows]) => {
        const heads = Object.keys(rows[0]);
        const lines = [["dataset", ...heads], ...rows.map((row) => [name, ...heads.map((head) => row[head])])];
        return lines.map((cells) => `${cells.map(field).join(",")}\r\n`).join("");
      });
      return tables.join("\r\n");
    }

    // ------------------------------------------------------------------------------------------- pointer
    // The step with a value of some line that is nearest to x.
    nearest(x) { return closest(this.sets.lines, x).x; }

    // What every line says at a step, or at most so far from it.
    along(step, reach) {
      const { lines } = this.sets;
      const found = namesOf(lines).map((name) => closest(lines.filter((row) => row.series === name), step));
      const pairs = found.filter((row) => Math.abs(row.x - step) <= reach).map((row) => [row.series, this.written("y", row.y)]);
      for (const row of this.sets.band?.length ? [closest(this.sets.band, step)] : []) {
        pairs.push([row.series, `${this.written("y", row.low)} – ${this.written("y", row.high)}`]);
      }
      return [[this.label("x"), this.written("x", step)], ...pairs];
    }

    // What one mark stands for: its columns with a title or with a name that says something.
    describe(datum) {
      const named = this.fieldsOf(datum).map((field) => [this.label(field), field]).filter(([label]) => label.length > 2);
      return named.map(([label, field]) => [label, this.valueOf(field, datum[field])]);
    }
  }

  ratecheck.FigureData = FigureData;
})();
