"""The widget: the editor's page as one ES module and its styles, which ship with the package: nothing is fetched.

The page is told the full state when it opens, and afterwards only what changes, one message an edit.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from personalab.editor.session import Session

PARTS = (
    *("dom", "store", "gestures", "weights", "numbers", "conditionals", "field"),
    *("rules", "fidelity", "people", "keys", "head", "notices", "places", "shell"),
)
SHEETS = ("editor", "shell", "field", "view")


def module() -> str:
    """The front end as one ES module: its parts, in the order in which they build on each other."""
    return "\n".join(_static(f"{part}.js") for part in PARTS)


def css() -> str:
    """The front end's styles."""
    return "\n".join(_static(f"{sheet}.css") for sheet in SHEETS)


@lru_cache(maxsize=1)
def panel() -> type[Any]:
    """The widget's class, made when it is first needed."""
    import anywidget
    import traitlets

    def current(_value: Any, widget: Any) -> dict[str, Any]:
        """The state as it is now, whatever was sent last."""
        state: dict[str, Any] = widget.session.state()
        return state

    class Panel(anywidget.AnyWidget):
        """The whole editor as one widget, which answers each message of its page by one."""

        _esm = module()
        _css = css()
        # Its value stays as it is, so that it is sent only when a page opens, and is then what holds at that time.
        state = traitlets.Dict().tag(sync=True, to_json=current)

        def __init__(self, session: Session) -> None:
            self.session = session
            super().__init__()
            self.on_msg(lambda _widget, command, _buffers: self.send(session.handle(command)))

        def __repr__(self) -> str:
            return f"Panel({self.session.blueprint!r})"

    return Panel


def _static(name: str) -> str:
    return files("personalab.editor").joinpath("static", name).read_text(encoding="utf-8")
