#!/usr/bin/env python3
"""Runs the steps of config/service/Dockerfile in clean root file systems, and a federation in them.

For machines without a container engine, and for changes of the recipe: each stage begins with the
base system that debootstrap makes, each RUN is a command in that root with mounts of its own, and
nothing of this machine is in it but the way to the package registries (resolver, certificates,
proxies). At the end the parties of compose.yaml ask two queries of each other there.

Needs root, debootstrap, unshare, about 8 GB below --folder, and some ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SERVICE = ROOT / "config" / "service"
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"  # what debian:12-slim is made of
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
OWN_CERTIFICATES = "/etc/this-machines-certificates.crt"  # no package of the root writes there
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Stage:
    """One FROM of the recipe, as far as it has come."""

    root: Path
    folder: str = "/"
    user: str = "root"
    words: dict[str, list[str]] = field(default_factory=dict)

    def run(self, command: str) -> None:
        """A shell command in the root; its output is this program's."""
        say(f"{self.root.name}: {command}")
        inside = f"cd {shlex.quote(self.folder)} && {command}"
        environment = {"PATH": PATH, "HOME": "/root" if self.user == "root" else self.folder}
        environment |= {name: value for name, value in os.environ.items() if passed_on(name)}
        environment["PIP_CERT"] = OWN_CERTIFICATES
        settings = [f"{name}={value}" for name, value in environment.items()]
        chroot = ["chroot", f"--userspec={self.user}:{self.user}", str(self.root)]
        mounts = "".join(
            f"mount {kind} {self.root}/{at} && "
            for kind, at in (("-t proc proc", "proc"), ("--rbind /dev", "dev"))
        )
        outside = (
            f"{mounts} exec {shlex.join([*chroot, 'env', '-i', *settings, 'sh', '-ec', inside])}"
        )
        subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", outside],
            check=True,
        )

    def place(self, path: str) -> Path:
        """A path of the root, as this machine sees it."""
        inside = path if path.startswith("/") else f"{self.folder}/{path}"
        return self.root / inside.lstrip("/")


def passed_on(name: str) -> bool:
    """Whether the way to the registries depends on a variable."""
    return name.lower().endswith("_proxy") or name == "PIP_INDEX_URL"


def say(text: str) -> None:
    """A line on the screen, before the commands that it is about."""
    sys.stdout.write(f"container check: {text}\n")
    sys.stdout.flush()


def instructions(recipe: Path) -> list[tuple[str, str]]:
    """Name and rest of each instruction."""
    lines = [line for line in recipe.read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line]


def base_system(folder: Path) -> Path:
    """The root that debootstrap makes, kept for the next time."""
    base = folder / "base"
    if not (base / "etc" / "debian_version").exists():
        say("debootstrap")
        shutil.rmtree(base, ignore_errors=True)
        made = ["debootstrap", "--variant=minbase", SUITE, str(base), MIRROR]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    return base


def begin(folder: Path, name: str) -> Stage:
    """A stage with a fresh base system, from which the registries can be reached."""
    root = folder / name
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", base_system(folder), root], check=True)
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    shutil.copy(CERTIFICATES, root / OWN_CERTIFICATES.lstrip("/"))
    return Stage(root)


def copy(stage: Stage, words: list[str], stages: dict[str, Stage]) -> None:
    """COPY: from another stage, or what git knows of the repository."""
    if words[0].startswith("--from="):
        source = stages[words[0].removeprefix("--from=")].place(words[1])
        stage.place(words[2]).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", source, stage.place(words[2])], check=True)
        return
    if words != [".", "."]:
        raise SystemExit(f"COPY {shlex.join(words)} is not understood")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    for name in listed.stdout.decode().split("\0")[:-1]:
        target = stage.place(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)


def build(folder: Path) -> Stage:
    """Every step of the recipe; its last stage."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for name, rest in instructions(SERVICE / "Dockerfile"):
        words = shlex.split(rest)
        if name == "FROM":
            called = words[2] if len(words) == 3 else "final"
            stage = stages[called] = begin(folder, called)
        elif stage is None:
            raise SystemExit(f"{name} stands before FROM")
        elif name == "RUN":
            stage.run(rest)
        elif name == "COPY":
            copy(stage, words, stages)
        elif name == "WORKDIR":
            stage.folder = rest
            stage.place(rest).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            stage.user = rest
        elif name in ("ENTRYPOINT", "CMD"):
            stage.words[name] = json.loads(rest)
        elif name not in ("EXPOSE", "STOPSIGNAL"):
            raise SystemExit(f"{name} is not understood")
    if stage is None:
        raise SystemExit("the recipe has no FROM")
    return stage


def rehearse(image: Stage) -> None:
    """The parties of compose.yaml in the image, by their commands, on loopback."""
    capc = shlex.join(image.words["ENTRYPOINT"])
    services = yaml.safe_load((SERVICE / "compose.yaml").read_text())["services"]
    with (image.root / "etc" / "hosts").open("a") as hosts:
        hosts.write(f"127.0.0.1 localhost {' '.join(services)}\n")
    lines = [f"{capc} graph prepare --cache_dir prepared /opt/capc/models/cryptonets-relu.pb"]
    for place, name in enumerate(services):
        port = f"--port {7000 + 10 * place}"
        lines.append(f"{capc} party init {name} --host {name} {port} --folder parties/{name}")
        if name.startswith("answering"):
            lines.append(f"cp prepared/*.npz parties/{name}/model.npz")
    lines.append("cat /opt/capc/config/federation.toml parties/*/member.toml > federation.toml")
    for place, (name, service) in enumerate(services.items()):
        lines.append(f"cp federation.toml parties/{name}/")
        # One machine here has the ports of all: the figures of each need one of their own.
        command = [*service["command"][:-1], str(9100 + place)]
        lines.append(f"(cd parties/{name} && exec {capc} {shlex.join(command)}) & p{place}=$!")
    lines += [f"wait $p{place}" for place in range(len(services))]
    lines.append(
        "cat parties/querying/labels.csv && test $(wc -l < parties/querying/labels.csv) = 3"
    )
    image.run("\n".join(lines))


def main() -> int:
    """Build, then rehearse; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "container")
    folder: Path = parser.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    image = build(folder)
    rehearse(image)
    say("the recipe builds, and its parties answer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
