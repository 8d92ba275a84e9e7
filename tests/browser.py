"""A headless Chromium for tests that look at pages: driven by its DevTools protocol over two pipes, without a package."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import select
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Event = Callable[[dict[str, Any]], None]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(not (CHROMIUM and shutil.which("bash")), reason="no Chromium here")
"""Marks a test that is skipped where there is no browser."""

_FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio", "--disable-dev-shm-usage"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--remote-debugging-pipe"),
]

_AXE = "4.14.1"
_AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
_CACHE = Path(__file__).parents[1] / ".pytest_cache" / "axe-core"

KEYS = {
    "Backspace": 8,
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    " ": 32,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}
"""Virtual key codes of the keys that `Page.key` presses."""


class Page:
    """A tab of the browser.

    Attributes
    ----------
    problems : list of str
        Errors of scripts and of the console since `open`.
    requests : list of str
        Addresses that were asked for since `open`, without the page's own, data: and blob: ones.
    """

    def __init__(self, browser: _Pipe, session: str) -> None:
        self._browser, self._session = browser, session
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._loaded, self._size = False, (1400, 900)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol, and return its result."""
        return self._browser.send(method, params, self._session, self._event)

    def _event(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message["method"]:
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.problems.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.problems.append(" ".join(str(part.get("value", part.get("description"))) for part in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}".strip())
            case "Network.requestWillBeSent" if params.get("type") != "Document":
                if not params["request"]["url"].startswith(("data:", "blob:")):
                    self.requests.append(params["request"]["url"])
            case "Page.loadEventFired":
                self._loaded = True

    def open(self, path: str | Path, *, width: int = 1400, height: int = 900, dark: bool = False, scripts: bool = True) -> Page:
        """Load a file and wait until it is loaded.

        Parameters
        ----------
        path : str or Path
            An address, or the path of a file.
        width, height : int
            Of the window in CSS pixels; narrower than 500 it is a phone's.
        dark : bool
            Whether the reader prefers dark colours.
        scripts : bool
            Whether the page's own scripts run; `evaluate` works either way.
        """
        self.size(width, height)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.media(dark=dark)
        self.problems.clear()
        self.requests.clear()
        self._loaded = False
        self.send("Page.navigate", url=path if isinstance(path, str) and "://" in path else Path(path).resolve().as_uri())
        self._browser.wait(lambda: self._loaded, self._event, "the page does not load")
        return self

    def size(self, width: int, height: int = 900) -> None:
        """Set the size of the window, in CSS pixels."""
        self._size = width, height
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)

    def media(self, *, dark: bool = False, printed: bool = False) -> None:
        """Say which colours the reader prefers, and whether the page is shown as it is printed."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", media="print" if printed else "", features=features)

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression of JavaScript, awaited if it is a promise.

        Raises
        ------
        RuntimeError
            With the message of the script, if it throws.
        """
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def key(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key: one of `KEYS`, or a character."""
        params: dict[str, Any] = {"key": key, "modifiers": 8 if shift else 0, "windowsVirtualKeyCode": KEYS.get(key, 0)}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        self.send("Input.dispatchKeyEvent", type="keyDown", **params, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **params)

    def type(self, text: str) -> None:
        """Type into the focused field."""
        for character in text:
            self.key(character)

    def drag(self, start: tuple[float, float], *way: tuple[float, float]) -> None:
        """Press the mouse at a place of the window, move it along a way, and release it; without a way it is a click."""
        x, y = start
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.send("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)
        for x, y in way:
            self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def click(self, selector: str) -> None:
        """Scroll to the first element of a CSS selector, and click its middle."""
        place = self.evaluate(
            f"(e => {{e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();"
            f"return [r.x + r.width / 2, r.y + r.height / 2]}})(document.querySelector({json.dumps(selector)}))"
        )
        self.drag((place[0], place[1]))

    def screenshot(self, path: str | Path, *, whole: bool = False, selector: str = "") -> Path:
        """Write a PNG of the window, of the whole page, or of the first element of a CSS selector."""
        clip: dict[str, Any] = {}
        if selector or whole:
            width, height = self._size
            self.size(width, max(height, self.evaluate("document.documentElement.scrollHeight")))  # so that all is in the window
            box = self.evaluate(
                f"(e => {{scrollTo(0, 0); const r = e.getBoundingClientRect(); return {{x: r.x, y: r.y, width: r.width, "
                f"height: r.height, scale: 1}}}})(document.querySelector({json.dumps(selector or 'html')}))"
            )
            clip = {"clip": box}
        data = self.send("Page.captureScreenshot", format="png", **clip)["data"]
        if clip:
            self.size(width, height)
        Path(path).write_bytes(base64.b64decode(data))
        return Path(path)

    def pdf(self, path: str | Path, **options: Any) -> Path:
        """Print to a PDF, A4 by default, with backgrounds; options are those of ``Page.printToPDF``."""
        options = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True} | options
        Path(path).write_bytes(base64.b64decode(self.send("Page.printToPDF", **options)["data"]))
        return Path(path)

    def overflow(self) -> list[str]:
        """Return the elements that make the page wider than the window; empty if it does not scroll sideways."""
        found: list[str] = self.evaluate(
            """(() => {
                const root = document.documentElement, wide = root.clientWidth;
                if (root.scrollWidth <= wide) return [];
                const over = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > wide + 1);
                return ['' + root.scrollWidth, ...over.slice(0, 9).map(e => e.outerHTML.slice(0, 120))];
            })()"""
        )
        return found

    def tab_order(self, most: int = 500) -> list[str]:
        """Press Tab until the focus is back at the page's start, and return what was reached: ``tag#id.class text``.

        An element that has the focus and cannot be seen, or shows no outline, is marked with ``HIDDEN`` or ``NO OUTLINE``.
        """
        self.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
        reached: list[str] = []
        seen: set[int] = set()
        self.evaluate("window.__reached = []")
        while len(reached) < most:
            self.key("Tab")
            place, text = self.evaluate(_FOCUSED)
            if place < 0 or place in seen:
                break
            seen.add(place)
            reached.append(text)
        return reached

    def axe(self, selector: str = "html", *, rules: tuple[str, ...] = ("wcag2a", "wcag2aa", "wcag21aa", "wcag22aa")) -> list[str]:
        """Check a part of the page with axe-core, and return its violations, an element a line; empty if all is well.

        The test is skipped where axe-core can neither be found in the cache nor be fetched by npm.
        """
        if not self.evaluate("typeof axe === 'object'"):
            self.evaluate(axe_core() + "; true")
        options = json.dumps({"runOnly": list(rules), "resultTypes": ["violations"]})
        found = self.evaluate(f"axe.run({json.dumps(selector)}, {options}).then(r => r.violations)")
        return [
            f"{rule['id']}: {node['html'][:150]} ({' '.join(c['message'] for c in node['any'] + node['all'] + node['none'])})"
            for rule in found
            for node in rule["nodes"]
        ]


class _Pipe:
    """The process, and the two pipes on which it takes and gives messages, each ended by a NUL."""

    def __init__(self, profile: str) -> None:
        (to_read, write), (self._read, to_write) = os.pipe(), os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        command = [
            "bash",
            "-c",
            f'exec "$@" 3<&{to_read} 4>&{to_write}',
            "-",
            str(CHROMIUM),
            *_FLAGS,
            f"--user-data-dir={profile}",
        ]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, pass_fds=(to_read, to_write), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        os.close(to_read)
        os.close(to_write)
        self._write = os.fdopen(write, "wb")
        self._rest, self._last = b"", 0

    def send(self, method: str, params: dict[str, Any], session: str = "", event: Event | None = None) -> dict[str, Any]:
        """Call a method, hand events to ``event`` until its answer is there, and return the result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        answers: list[dict[str, Any]] = []

        def take(message: dict[str, Any]) -> None:
            if message.get("id") == self._last:
                answers.append(message)
            elif "method" in message and event:
                event(message)

        self.wait(lambda: bool(answers), take, f"{method} is not answered")
        if "error" in answers[0]:
            raise RuntimeError(f"{method}: {answers[0]['error']['message']}")
        result: dict[str, Any] = answers[0]["result"]
        return result

    def wait(self, done: Callable[[], bool], take: Event, why: str, seconds: float = 120) -> None:
        """Hand messages to ``take`` until ``done()``."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(why)
            if select.select([self._read], [], [], 1)[0]:
                read = os.read(self._read, 1 << 20)
                if not read:
                    raise RuntimeError(f"{why}: the browser has ended")
                *whole, self._rest = (self._rest + read).split(b"\0")
                for message in whole:
                    take(json.loads(message))

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.send("Browser.close", {})
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            self._write.close()
        os.close(self._read)


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """Start a browser with a fresh profile, and end it at the end of the ``with`` block: about a second.

    Yields
    ------
    Page
        Its only tab; `Page.open` loads another page in it.
    """
    with tempfile.TemporaryDirectory(prefix="tmi-browser-", ignore_cleanup_errors=True) as profile:
        pipe = _Pipe(profile)
        try:
            target = pipe.send("Target.createTarget", {"url": "about:blank"})["targetId"]
            session = pipe.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
            yield Page(pipe, session)
        finally:
            pipe.close()


def axe_core() -> str:
    """Return the code of axe-core, which checks pages for what keeps readers out; the test is skipped where there is none.

    npm fetches the package once into the cache of pytest. It is not in the repository: 650 kB under another licence (MPL-2.0).
    """
    file = _CACHE / f"axe-{_AXE}.min.js"
    if not file.is_file():
        npm = shutil.which("npm")
        if not npm:
            pytest.skip("axe-core is not in the cache, and there is no npm to fetch it")
        with tempfile.TemporaryDirectory() as folder:
            command = [npm, "pack", "--silent", f"axe-core@{_AXE}"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode:
                pytest.skip(f"axe-core is not in the cache, and npm cannot fetch it: {done.stderr.strip()[:200]}")
            with tarfile.open(Path(folder) / f"axe-core-{_AXE}.tgz") as packed:
                code = packed.extractfile("package/axe.min.js").read()  # type: ignore[union-attr]
        _CACHE.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(code)
        temporary.replace(file)
    code = file.read_bytes()
    assert hashlib.sha256(code).hexdigest() == _AXE_SHA256, f"{file} is not axe-core {_AXE}"
    return code.decode()


_FOCUSED = """(() => {
    const e = document.activeElement;
    if (!e || e === document.body) return [-1, ''];
    let place = window.__reached.indexOf(e);
    if (place < 0) place = window.__reached.push(e) - 1;
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    const hidden = !box.width || !box.height || style.visibility === 'hidden';
    const outlined = style.outlineStyle !== 'none' || style.boxShadow !== 'none';
    const name = e.tagName.toLowerCase() + (e.id && '#' + e.id) + [...e.classList].map(c => '.' + c).join('');
    const said = (e.getAttribute('aria-label') || e.innerText || e.placeholder || '').trim().slice(0, 60);
    return [place, `${hidden ? 'HIDDEN ' : ''}${outlined ? '' : 'NO OUTLINE '}${name} ${said}`];
})()"""
