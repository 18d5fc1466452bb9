"use strict";
// How numbers are written, on axes whose values are log10 of what is shown and elsewhere.
(() => {
  const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  const raised = (whole) => [...String(whole)].map((sign) => SUPERSCRIPTS[sign]).join("");
  const significant = (value, digits) => String(Number(value.toPrecision(digits)));

  // A power of ten as a reader writes it: 0.25, 10⁻⁸⁰⁰, 3.2·10⁻⁹.  The same as `power_label` in wording.py.
  function powerLabel(exponent) {
    if (!Number.isFinite(exponent)) return exponent < 0 ? "0" : "∞";
    if (exponent >= -3 && exponent < 5) {
      return exponent < 3 ? significant(10 ** exponent, 3) : String(Math.round(10 ** exponent));
    }
    const whole = Math.floor(exponent + 1e-9);
    const mantissa = significant(10 ** (exponent - whole), 2);
    if (mantissa === "10") return `10${raised(whole + 1)}`;
    return mantissa === "1" ? `10${raised(whole)}` : `${mantissa}·10${raised(whole)}`;
  }

  const between = (first, last) => Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => first + k);

  // Exponents to label: whole ones, or 1-2-5 steps within few decades.  The same as `ticks` in drawing.py.
  function logTicks([low, high]) {
    if (high - low >= 2) {
      let step = 1; // 1, 2, 5, 10, 20, 50, …
      for (let k = 0; (high - low) / step > 7; k += 1) step *= k % 3 === 1 ? 2.5 : 2;
      return between(Math.ceil(low / step), Math.floor(high / step)).map((k) => k * step);
    }
    const decades = between(Math.floor(low), Math.ceil(high));
    const marks = decades.flatMap((k) => [1, 2, 5].map((m) => k + Math.log10(m))).filter((x) => x >= low && x <= high);
    if (marks.length >= 3) return marks;
    const scale = Math.floor(low);
    const [a, b] = [10 ** (low - scale), 10 ** (high - scale)];
    const size = 10 ** Math.floor(Math.log10(b - a));
    const readable = low >= -3 && high < 5 ? 0 : 0.1; // labels have two digits elsewhere
    const gap = Math.max(readable, [0.2, 0.5, 1, 2].map((s) => s * size).find((s) => (b - a) / s <= 6));
    return between(Math.ceil(a / gap), Math.floor(b / gap)).map((k) => scale + Math.log10(k * gap));
  }

  function plain(value) {
    if (typeof value !== "number") return value === null || value === undefined ? "–" : String(value);
    return (Number.isInteger(value) ? value.toLocaleString("en") : significant(value, 4)).replace("-", "−");
  }

  globalThis.ratecheck = { ...globalThis.ratecheck, powerLabel, logTicks, plain };
})();
