"""Zero: the feature is off.  Rows in which none of a set's features fires are not run."""

from pm_audit.interventions.replacements.replacement import Replacement

ZERO = Replacement("zero", lambda _experiment, _reference: None)
