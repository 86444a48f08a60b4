"""What can be read in a page: the contrast of its texts, and axe-core's opinion."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator

ENOUGH = 4.5  # WCAG 2.2, 1.4.3: contrast of text and what is behind it

# Of every text in view: its colour against the backgrounds behind it, laid over each other from the page's up.
# Texts of controls that can do nothing just now are exempt, as they are in WCAG.
FAINT = """(root, enough) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const drawing = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    drawing.clearRect(0, 0, 1, 1);
    drawing.fillStyle = "#000";
    drawing.fillStyle = color;
    drawing.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = drawing.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((each, at) => a * each + (1 - a) * below[at]);
  const linear = (each) => (each <= 0.04045 * 255 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, part, at) => sum + part * linear(rgb[at]), 0);
  const isIdle = "[disabled], [aria-disabled='true'], style, option";
  const isSeen = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(isIdle)
    && element.getBoundingClientRect().width > 1;
  const contrast = (element) => {
    const behind = [];
    for (let place = element; place; place = place.parentElement) behind.unshift(getComputedStyle(place));
    const ground = behind.reduce((below, { backgroundColor }) => over(rgba(backgroundColor), below), [255, 255, 255]);
    const { fill, color } = behind.at(-1);
    const [r, g, b, a] = rgba(element.namespaceURI.endsWith("svg") ? fill : color);
    const opacity = behind.reduce((product, style) => product * Number(style.opacity), a);
    const both = [luminance(over([r, g, b, opacity], ground)), luminance(ground)];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  };
  const found = new Set();
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || !isSeen(element)) continue;
    const reached = contrast(element);
    if (reached < enough) found.add(`${text.slice(0, 40)}: ${reached.toFixed(2)}`);
  }
  return [...found];
}"""


def faint(part: Locator) -> list[str]:
    """The visible texts whose contrast is too low, each with its contrast."""
    found: list[str] = part.evaluate(FAINT, ENOUGH)
    return found


def violations(part: Locator, selector: str) -> list[str]:
    """What axe-core finds wrong inside of `selector`, on the page that `part` is on."""
    found = Axe().run(part.page, context={"include": [[selector]]}).response["violations"]
    return [f"{each['id']}: {node['html'][:120]}" for each in found for node in each["nodes"]]
