"""Checks for authors of plug-ins, also as ``tmi check`` and in pytest."""

from .applicable import Outcome as Outcome
from .applicable import applicable as applicable
from .checks import CHECKS as CHECKS
from .plugins import PluginCheck as PluginCheck
from .plugins import check_plugin as check_plugin
from .toys import few as few
from .toys import tiny_data as tiny_data
from .toys import tiny_network as tiny_network
