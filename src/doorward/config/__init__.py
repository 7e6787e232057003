"""One frozen tree of settings, read once at start; every mistake is reported together, with its place."""

from doorward.config.checks import BUILT_IN_ROLES
from doorward.config.loading import Loaded, choose_file, load
from doorward.config.reference import configuration_page
from doorward.config.settings import Settings
from doorward.config.show import Shown, shown
from doorward.config.wrongs import WrongSettings

__all__ = [
    "BUILT_IN_ROLES",
    "Loaded",
    "Settings",
    "Shown",
    "WrongSettings",
    "choose_file",
    "configuration_page",
    "load",
    "shown",
]
