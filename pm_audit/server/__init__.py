"""The page of `pm-audit explain --serve`: two completions are typed, and their difference shown.

    request -> admission      who is answered: the browser of this machine that has the address
            -> form           the three texts
            -> text_box       one edit at a time, a few may wait
            -> page           the explanation as HTML

``service`` is the HTTP around it.
"""

from pm_audit.server.explainer import Explainer
from pm_audit.server.page import Facts
from pm_audit.server.service import serve
from pm_audit.server.text_box import TextBox

__all__ = ["Explainer", "Facts", "TextBox", "serve"]
