"""The unmodified OpenTofu and its OpenStack provider: built once from their Go modules, then driven in folders of their own.

OpenTofu: https://opentofu.org/docs/cli/
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".cache" / "tofu"
GO = ROOT / ".venv-go" / "bin" / "go"  # go.lock
SECONDS = 600


@dataclass(frozen=True, slots=True)
class Module:
    """A program as a Go module; ``sum`` is the hash of its source, as ``go mod download`` tells it."""

    path: str
    version: str
    sum: str
    package: str  # within the module
    program: str  # file that is made

    @property
    def made(self) -> Path:
        return BIN / f"{self.program}-{self.version}" / self.program


TOFU = Module(
    "github.com/opentofu/opentofu", "v1.10.10", "h1:ELFHOkY0x/bHvkgBP4KK3i7Y19CSFuHOyeZOLc0cqWY=", "./cmd/tofu", "tofu"
)  # fmt: skip
PROVIDER = Module(
    "github.com/terraform-provider-openstack/terraform-provider-openstack/v3", "v3.4.0",
    "h1:Ap8gvameIY5ZM7CMh7fngP/VoIyeupzKX3izoyfp9yg=", ".", "terraform-provider-openstack",
)  # fmt: skip


def build() -> None:
    """Make both programs unless they are there."""
    for module in (TOFU, PROVIDER):
        if not module.made.exists():
            print(
                f"building {module.program} {module.version} from its Go module (some minutes, once)", file=sys.stderr
            )
            compiled(module)
    shutil.rmtree(BIN / "work", ignore_errors=True)


def compiled(module: Module) -> None:
    work = BIN / "work"
    settings = {
        "GOMODCACHE": str(work / "modules"), "GOCACHE": str(work / "build"), "GOPATH": str(work), "GOTOOLCHAIN": "local",
        "GOFLAGS": "-modcacherw", "CGO_ENABLED": "0", "GOENV": "off", "GONOSUMDB": module.path,  # its sum stands above
    }  # fmt: skip
    environment = {**os.environ, **settings}
    work.mkdir(parents=True, exist_ok=True)
    words = [str(GO), "mod", "download", "-json", f"{module.path}@{module.version}"]
    told = json.loads(subprocess.run(words, cwd=work, env=environment, check=True, stdout=subprocess.PIPE).stdout)
    if told["Sum"] != module.sum:
        raise SystemExit(f"{module.path} {module.version} is not the source that was reviewed: {told['Sum']}")
    new = module.made.with_name("new")
    new.parent.mkdir(parents=True, exist_ok=True)
    words = [str(GO), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(new), module.package]
    counted(words, told["Dir"], environment)
    new.replace(module.made)


def counted(words: list[str], place: str, environment: Mapping[str, str]) -> None:
    """Run it with a line now and then; all that it said when it fails."""
    said: list[str] = []
    with subprocess.Popen(words, cwd=place, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            said.append(line)
            if len(said) % 100 == 0:
                print(f"  {len(said)} modules fetched", file=sys.stderr)
    if process.returncode:
        raise SystemExit(f"this failed: {' '.join(words)}\n{''.join(said)}")


class Folder:
    """One configuration with its state: ``tofu`` run in a folder of its own as one user."""

    def __init__(self, place: Path, environment: Mapping[str, str]) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        settings = place / "tofu.rc"
        overrides = f'"terraform-provider-openstack/openstack" = "{PROVIDER.made.parent}"'
        settings.write_text(f"provider_installation {{\n  dev_overrides {{\n    {overrides}\n  }}\n}}\n")
        self.environment = {
            **environment, "TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1",
        }  # fmt: skip

    def write(self, text: str, name: str = "main.tf") -> None:
        (self.place / name).write_text(text)

    def run(self, *words: str, fails: bool = False) -> str:
        """What the command printed. Raises AssertionError with it when it ended otherwise than expected."""
        done = subprocess.run(
            [str(TOFU.made), *words], cwd=self.place, env=self.environment, text=True, capture_output=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"tofu {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if fails else "")

    def apply(self, **variables: str) -> None:
        self.run("apply", "-auto-approve", "-no-color", *_given(variables))

    def destroy(self, **variables: str) -> None:
        self.run("destroy", "-auto-approve", "-no-color", *_given(variables))

    def changes(self, **variables: str) -> dict[str, Any]:
        """Address -> change of every resource of a plan, as ``tofu show -json`` tells it; also those without any."""
        self.run("plan", "-no-color", "-out=plan", *_given(variables))
        plan = json.loads(self.run("show", "-json", "plan"))
        return {one["address"]: one["change"] for one in plan.get("resource_changes", ()) if one["mode"] == "managed"}

    def state(self) -> dict[str, dict[str, Any]]:
        """Address -> attributes of every resource that is there."""
        root = json.loads(self.run("show", "-json")).get("values", {}).get("root_module", {})
        return {one["address"]: one["values"] for one in root.get("resources", ()) if one["mode"] == "managed"}


def _given(variables: Mapping[str, str]) -> list[str]:
    return [f"-var={name}={value}" for name, value in variables.items()]


if __name__ == "__main__":
    build()
