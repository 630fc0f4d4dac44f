// The least contrast of any text with what is behind it.
() => {
  const light = (color) => {
    const [r, g, b] = color.match(/\d+/g).map(Number).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!color.startsWith("rgba(0, 0, 0, 0")) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = "p, a, h1, h2, h3, label, dt, dd, code, button:enabled, th, td, caption";
  return Math.min(...[...document.querySelectorAll(texts)]
    .filter((one) => one.offsetParent && one.textContent.trim())
    .map((one) => ratio(getComputedStyle(one).color, behind(one))));
}
