"""Pictures of the playground for ``docs/playground``: ``python -m tests.browser.pictures [FOLDER]``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import sync_playwright

from tests.browser.beside import beside
from tests.browser.playground import comes_to, drawer, settled, visit
from tests.support import open_pair
from trio_gateway.mock import Options
from trio_gateway.mock.thoughts import RecordedTrace

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).parents[2] / "docs" / "playground"
SIZES = ((1280, 860), (390, 844))
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

ROOT = RecordedTrace(
    "The user wants Newton's method for square roots, with code. Starting from a guess x, each step takes the "
    "mean of x and a/x. The error shrinks quadratically, so about five steps reach double precision. I should "
    "derive the step from f(x) = x^2 - a first. Checking with a = 2: from 1 the steps give 1.5, then 1.4167, "
    "then 1.41422, which is right. A short table of these values will show the convergence. Negative input must "
    "be refused in the code, and zero needs care because of the division.",
    r'''Newton's method finds $\sqrt{a}$ as the root of $f(x) = x^2 - a$. Each step is

$$x_{n+1} = x_n - \frac{f(x_n)}{f'(x_n)} = \frac{1}{2}\left(x_n + \frac{a}{x_n}\right)$$

In Python:

```python
def square_root(a: float, steps: int = 6) -> float:
    """The root of *a*, by Newton's method."""
    if a < 0:
        raise ValueError("no real root")
    x = max(a, 1.0)
    for _ in range(steps):
        x = (x + a / x) / 2  # the mean of x and a/x
    return x
```

For $a = 2$ the error **shrinks quadratically**:

| step | value | error |
|-----:|:------|:------|
| 1 | 1.5 | 0.086 |
| 2 | 1.41667 | 0.0025 |
| 3 | 1.4142157 | 0.0000021 |

So a handful of steps is enough.
''',
    "How do I compute a square root?",
)
SHORTER = RecordedTrace(
    "The user wants the same thing shorter. A power of one half is the plain way in Python.",
    "Use a power: `a ** 0.5`, or `math.sqrt(a)` where the last digit matters.",
    "And in one line?",
)
LIMITS = RecordedTrace(
    "The user asks about negative numbers. The module cmath has a root for these, which is complex.",
    "Then `math.sqrt` raises a `ValueError`. For a complex root:\n\n"
    "```python\nimport cmath\n\ncmath.sqrt(-4)  # 2j\n```\n",
    "What about negative numbers?",
)
OPTIONS = Options(port=0, tokens_per_second=60, traces=(ROOT, SHORTER, LIMITS))


def ask(page: Page, prompt: str) -> None:
    page.fill("#prompt", prompt)
    page.keyboard.press("Enter")


def take(page: Page, folder: Path, name: str) -> None:
    page.mouse.move(0, 0)
    page.screenshot(path=folder / f"{name}.png")


def tour(page: Page, folder: Path, suffix: str) -> None:
    """All pictures of one size and theme; the page is open, and empty."""
    take(page, folder, f"empty-{suffix}")
    ask(page, ROOT.prompt)
    comes_to(page, "thinking")
    page.wait_for_timeout(900)  # of 1.6 s: lines of the summary are there, and the answer is not
    take(page, folder, f"thinking-{suffix}")
    comes_to(page, "answering")
    page.wait_for_timeout(1800)
    take(page, folder, f"answering-{suffix}")
    settled(page)
    take(page, folder, f"done-{suffix}")
    for trace in (SHORTER, LIMITS):
        ask(page, trace.prompt)
        comes_to(page, "thinking")
        settled(page)
    page.evaluate("scrollBy(0, -430)")
    take(page, folder, f"turns-{suffix}")
    page.click("#new")
    page.select_option("#model", "fault-cut-40")
    ask(page, ROOT.prompt)
    comes_to(page, "error")
    take(page, folder, f"error-{suffix}")
    page.click("#new")
    page.select_option("#model", "mock-think")
    with drawer(page):
        page.select_option("#second", "mock-plain")
        take(page, folder, f"settings-{suffix}")
    ask(page, LIMITS.prompt)
    comes_to(page, "answering")
    settled(page)
    take(page, folder, f"two-{suffix}")


def main(folder: Path) -> None:
    """Take them all, into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with (
        sync_playwright() as driver,
        beside(open_pair("[summary]\ninterval = 0.5\n", options=OPTIONS)) as client,
    ):
        browser = driver.chromium.launch(executable_path=path, chromium_sandbox=False)
        for theme in THEMES:
            for width, height in SIZES:
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
                page = context.new_page()
                visit(page, client)
                page.wait_for_selector('#health[data-tone="good"]')
                tour(page, folder, f"{width}-{theme}")
                context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
