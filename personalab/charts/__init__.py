"""Charts: a blueprint, a population and a report as pictures, and a population as one page that needs no network.

Every chart is an ordinary Altair chart: layer it, size it with ``.properties(width=…)``, save it. Only `diff`, and
`numerics` of all fields, are several panels below each other, each with an axis of its own: they are given their
``width``. Each has a title, a caption that says in numbers what to see, a tooltip on every mark and a ``description``
that stands in for the picture. Rows are aggregated before they are drawn, so that a million people make no larger a
chart than a hundred.

| question | chart |
|---|---|
| are the shares as requested? | `marginals(report)` |
| are the means and spreads? | `numerics(report)` |
| is a child's share, given its parents? | `conditionals(frame, bp, field)` |
| how do two fields go together? | `crossed(frame, bp, field, by)` |
| what depends on what? | `dependencies(bp)` |
| how much do people sound alike? | `diversity(frame, bp)` |
| what did an edit change? | `diff(before, after)` |

Nothing is said by colour alone: what is marked has another shape or an outline too. Text takes the ink of the page
around it, and marks are mid-tones, so that one chart reads in light and dark.
"""

from personalab.charts.conditionals import conditionals
from personalab.charts.crossed import crossed
from personalab.charts.dependencies import dependencies
from personalab.charts.diff import diff
from personalab.charts.diversity import diversity
from personalab.charts.html import cards, in_words, page
from personalab.charts.marginals import marginals
from personalab.charts.numerics import numerics
from personalab.charts.style import offline

__all__ = [
    "cards",
    "conditionals",
    "crossed",
    "dependencies",
    "diff",
    "diversity",
    "in_words",
    "marginals",
    "numerics",
    "offline",
    "page",
]
