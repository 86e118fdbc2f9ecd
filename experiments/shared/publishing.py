"""How an experiment makes its page, and makes it known to the report."""

from alexnet.report.publishing import FOLDER, publish

__all__ = ["FOLDER", "publish"]
