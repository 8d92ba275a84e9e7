"""``tmi explore``: a page of a suite or of named networks; nothing is written when something is wrong."""

from __future__ import annotations

import pytest

from tests.tmi.cli.calls import call


@pytest.mark.usefixtures("folder")
def test_networks_on_a_data_set(tmp_path):
    done = call("explore", "theorem1", "printed-squares", "vit", "--data", "squares(samples=5, test_samples=5)")
    assert done.stdout == "explorer.html\n"
    assert "warning: vit is not in the page: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "explorer.html").read_text(encoding="utf-8").count('"origin":"constructed"') == 1


@pytest.mark.usefixtures("folder")
def test_a_suite_in_a_folder(tmp_path):
    (tmp_path / "pages").mkdir()
    assert call("explore", "suite.toml", "--out", "pages").stdout == "pages/explorer.html\n"
    assert '"origin":"trained"' in (tmp_path / "pages" / "explorer.html").read_text(encoding="utf-8")
    assert not (tmp_path / "tmi-store").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("theorm1",), "network 'theorm1' is unknown; did you mean \"theorem1\"?"),
        (("theorem1", "--data", "fashon"), "dataset 'fashon' is unknown; did you mean \"fashion\"?"),
        (("theorem1", "--network", "cnn"), "--network chooses networks of SUITE"),
        (("suite.toml", "--dataset", "x"), "data set 'x': suite"),
        (("theorem1", "--out", "no/such/page.html"), "there is no such folder"),
        (("vit(epochs=0)", "--data", "squares(samples=5, test_samples=5)"), "no network can be shown (vit(epochs=0): "),
        (("nosuch.toml",), "nosuch.toml"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_file(tmp_path, arguments, said):
    before = {file.name for file in tmp_path.iterdir()}
    assert said in call("explore", *arguments, code=2).stderr
    assert {file.name for file in tmp_path.iterdir()} == before
