"""Case files: one HTML file about an account or a cluster that says what was seen, how sure that is, and how to check it.

A case file is a function of the snapshot it was read from, its subject and the version of the code. Everything in it is
drawn from one JSON document that it carries, so that whoever gets it can check the document's digest, draw the page
again (`check`), and derive the alert again from the lake.
"""

from pipeline.casefile.checking import Checked, check
from pipeline.casefile.document import case_document
from pipeline.casefile.page import render

__all__ = ["Checked", "case_document", "check", "render"]
