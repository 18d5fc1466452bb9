"use strict";
// The drawing libraries: a third of the page if they were not packed, and unpacked only once there is something to draw.
window.ratecheck ??= {};
ratecheck.vega = (() => {
  let loading;
  async function load() {
    const packed = Uint8Array.from(atob(document.getElementById("vega").textContent.trim()), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.vegaEmbed;
  }
  return () => (loading ??= load());
})();
