"use strict";
// The drawing libraries and the figures' data: most of the page if they were not packed, and unpacked only once there
// is something to draw.
window.ratecheck ??= {};
(() => {
  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  const once = (make) => {
    let made;
    return () => (made ??= make());
  };

  ratecheck.vega = once(async () => {
    const script = document.createElement("script");
    script.textContent = await unpacked("vega");
    document.head.append(script);
    return window.vegaEmbed;
  });
  ratecheck.figures = once(async () => JSON.parse(await unpacked("figures")));
})();
