"""Checks for authors of plug-ins, for their own tests and for ``tmi check``; `tmi.testing.pytest_plugin` runs each as a test."""

from .applicable import Outcome as Outcome
from .applicable import applicable as applicable
from .checks import CHECKS as CHECKS
from .plugins import PluginCheck as PluginCheck
from .plugins import check_plugin as check_plugin
from .toys import few as few
from .toys import tiny_data as tiny_data
from .toys import tiny_network as tiny_network
