"""Built-in data sets: the two of the paper's section 6, that of its Figure 1, the spectra of its section 7, and your own."""

import tmi


@tmi.hookimpl
def tmi_dataset_generators():  # type: ignore[no-untyped-def]
    """Name the generators; each lives in the module of its name."""
    return {
        "spectrum": "tmi_datasets.spectrum:spectrum",
        "squares": "tmi_datasets.squares:squares",
        "fashion": "tmi_datasets.fashion:fashion",
        "cutouts": "tmi_datasets.cutouts:cutouts",
        "digits": "tmi_datasets.digits:digits",
        "folder": "tmi_datasets.folder:folder",
        "tetrominoes": "tmi_datasets.tetrominoes:tetrominoes",
        "hierarchy": "tmi_datasets.hierarchy:hierarchy",
    }


@tmi.hookimpl
def tmi_backgrounds():  # type: ignore[no-untyped-def]
    """Name the laws of backgrounds."""
    names = ("gaussian", "constant", "binary", "correlated", "pink", "natural", "distractors")
    return {"uniform": "tmi.tasks.backgrounds:uniform", **{name: f"tmi_datasets.backgrounds:{name}" for name in names}}
