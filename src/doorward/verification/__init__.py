"""Links and codes that come back: one page and one API for what every flow sends."""

from doorward.verification.model import Flow, Visitor
from doorward.verification.routes import VerificationRoutes
from doorward.verification.service import Verification

__all__ = ["Flow", "Verification", "VerificationRoutes", "Visitor"]
