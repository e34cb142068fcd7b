"""Every page in a real browser: light and dark, wide and narrow, on paper and by keyboard."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Opened, keep
from tests.browser.samples import SAMPLES

NARROW, WIDE = 420, 1280

SIDEWAYS = """() => [document.documentElement.scrollWidth - innerWidth,
    [...document.querySelectorAll('body *')].filter(each => {
        const box = each.getBoundingClientRect();
        if (box.right <= innerWidth + 1 || !box.width) return false;
        for (let above = each; above; above = above.parentElement)
            if (getComputedStyle(above).overflowX !== 'visible') return false;
        return true;
    }).slice(0, 3).map(each => each.outerHTML.slice(0, 200))]"""

LABELS = """() => {
    const wrong = [];
    for (const axis of document.querySelectorAll('.axis')) {
        const boxes = [...axis.children].filter(each => each.checkVisibility({visibilityProperty: true}))
            .map(each => [each.textContent, each.getBoundingClientRect()]);
        boxes.sort((a, b) => a[1].left - b[1].left);
        for (let at = 1; at < boxes.length; at++)
            if (boxes[at - 1][1].right > boxes[at][1].left) wrong.push(`${boxes[at - 1][0]} | ${boxes[at][0]}`);
    }
    for (const each of document.querySelectorAll('.phase span, .who'))
        if (each.checkVisibility({visibilityProperty: true}) && each.scrollWidth > each.clientWidth + 1
            && getComputedStyle(each).display !== 'inline') wrong.push(`cut: ${each.textContent}`);
    return wrong;
}"""

FAINT = """() => {
    const numbers = text => {
        const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
        pen.fillStyle = text; pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
    const behind = each => {
        for (; each; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if (numbers(colour)[3] === 255) return colour;
        }
        return getComputedStyle(document.documentElement).colorScheme.includes('dark')
            && matchMedia('(prefers-color-scheme: dark)').matches ? '#121212' : '#ffffff';
    };
    const seen = new Set(), wrong = [];
    const words = 'h1, h2, h3, p, li b, li span, td, th, summary, pre, code, small, .who, .axis span';
    for (const each of document.querySelectorAll(words)) {
        if (!each.checkVisibility() || !each.textContent.trim()) continue;
        const fore = getComputedStyle(each).color, back = behind(each);
        if (seen.has(fore + back)) continue;
        seen.add(fore + back);
        const [one, other] = [light(numbers(fore)), light(numbers(back))].sort((a, b) => b - a);
        const ratio = (one + .05) / (other + .05);
        if (ratio < 4.5) wrong.push(`${ratio.toFixed(2)}: ${fore} on ${back}: ${each.outerHTML.slice(0, 80)}`);
    }
    return wrong;
}"""


@pytest.mark.parametrize("name", SAMPLES)
def test_a_page_is_whole_in_each_light_at_each_width_and_on_paper(opened: Opened, name: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(SAMPLES[name](tmp_path / "sample"), encoding="utf-8")
    page = opened()
    page.goto(file.as_uri())
    grounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": 1800})
            _is_whole(page, f"{name} {scheme} {width}")
            keep(page, f"{name}-{scheme}-{width}")
        grounds.add(
            page.evaluate("getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color")
        )
    assert len(grounds) == 2, "light and dark are two"
    page.emulate_media(media="print", color_scheme="light")
    page.set_viewport_size({"width": 700, "height": 1800})
    assert page.evaluate("[...document.querySelectorAll('pre')].every(each => each.scrollWidth <= each.clientWidth)")
    _is_whole(page, f"{name} on paper")
    assert len(page.pdf(format="A4")) > 10_000


def _is_whole(page: Any, where: str) -> None:
    over, who = page.evaluate(SIDEWAYS)
    assert over <= 0, f"{where} scrolls sideways: {who}"
    assert page.evaluate(LABELS) == [], where
    assert page.evaluate(FAINT) == [], where


@pytest.mark.parametrize("name", SAMPLES)
def test_the_keyboard_reaches_and_opens_all_that_is_folded(opened: Opened, name: str, tmp_path: Path) -> None:
    page = opened(NARROW)
    page.set_content(SAMPLES[name](tmp_path / "sample"))
    folded = page.locator("summary").count()
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = false)")
    for _ in range(min(folded, 5)):
        page.keyboard.press("Tab")
        while page.evaluate("document.activeElement.tagName") not in ("SUMMARY", "BODY"):
            page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", "where one is can be seen"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.parentElement.open")
    assert page.title() and page.locator("html").get_attribute("lang") == "en" and page.locator("h1").count() == 1
