"""What the tests of the command line share: a cache a file, and a way to run a command."""

import pytest

from conjure_kernel import cli


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Commands run at few steps, for speed; that users are warned of it is tested elsewhere."""
    monkeypatch.setattr("conjure_kernel.engine.steps.LARGE", 10.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache that the tests of a file share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def call(capsys):
    """Run a command; return (exit code, stdout, stderr)."""

    def run(*args):
        code = cli.main([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def conjure(request, call, cache):
    """Run a command with the file's small settings and its cache."""
    return lambda *args: call(*args, *request.module.SMALL, "--cache", cache)


@pytest.fixture
def prompts(request, tmp_path):
    """A text file of the file's prompts."""
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(request.module.PROMPTS), encoding="utf-8")
    return path
