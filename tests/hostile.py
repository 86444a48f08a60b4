"""Names that try to be more than names: to a parser of expressions, of paths or of markup, or to JavaScript's objects.

Each that computes something computes `SENTINEL` or sets ``window.pwned``, so that a test can tell.
"""

from __future__ import annotations

SENTINEL = "1234567"
_ENDS = (
    '"+@+"', "'+@+'", '\\"+@+\\"', "\\'+@+\\'", '\\\\"+@+"', "`+@+`", "${@}", "{{@}}", "{%print@%}", '"]+@+["',
    '"}+@+{"', '")+@+("', '";@;"', "];@//", '"+toString@+"', 'x" + @ + "', '": @, "', '", "x": @, "y": "',
    "datum['x']+@",
)  # fmt: skip
_SCRIPTS = (
    "</script><script>window.pwned=1</script>", '<img src=x onerror="window.pwned=1">',
    "javascript:window.pwned=1", '" onmouseover="window.pwned=1', "--></style>", "<!--", "<b>bold</b>",
    "&lt;b&gt;", "]]>", '"]+alert(1)+["', "\"+event.view.eval('window.pwned=1')+\"", "event.view.pwned=1",
    "item.mark.source.scenegraph.root", 'datum["by"]', "datum.value", "parent.x", "width", "signal",
    '{"signal": "width"}', '{"expr": "width"}',
)  # fmt: skip
_WORDS = (
    "__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "prototype", "a.b", "a[0]", "a\\.b",
    "\\", "'", '"', "''", "0", "1e5", "null", "undefined", "NaN", "true", "2020-01-01", "#fff", "url(#x)",
    "زيت", "שלום (1)", "½ ≤ ü", "💥", "C:\\new\\table", "a/b", "../../etc", "%s %d %(x)s", "{0} {x}", "= 1 + 1",
    "row", "by", "where", "told", "image",
)  # fmt: skip

HOSTILE = (*(each.replace("@", "(1234000+567)") for each in _ENDS), *_SCRIPTS, *_WORDS)
