"""Built-in networks: constructed from the theorems, trained, and with printed weights."""

import tmi


@tmi.hookimpl
def tmi_network_builders():  # type: ignore[no-untyped-def]
    """Name the builders; each is in the module or package of its name, those of other architectures in `architectures`."""
    return {
        "theorem1": "tmi_networks.theorem1:theorem1",
        "theorem2": "tmi_networks.theorem2:theorem2",
        "superposed": "tmi_networks.superposed:superposed",
        "cnn": "tmi_networks.cnn:cnn",
        "mlp": "tmi_networks.architectures:mlp",
        "vgg": "tmi_networks.architectures:vgg",
        "resnet": "tmi_networks.architectures:resnet",
        "vit": "tmi_networks.architectures:vit",
        "warm-start": "tmi_networks.warm_start:warm_start",
        "lottery-ticket": "tmi_networks.lottery_ticket:lottery_ticket",
        "disguised": "tmi_networks.disguised:disguised",
        "imported": "tmi_networks.imported:imported",
        "printed-squares": "tmi_networks.printed_squares:printed_squares",
    }
