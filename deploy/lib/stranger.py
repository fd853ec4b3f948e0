#!/usr/bin/env python3
"""Looks at what was announced as somebody who knows nothing but the announcements.

stranger.py FILE FOLDER BUILD   FILE is what `bus.py listen` wrote, FOLDER is emptied and worked in, BUILD is the
                                package build that every image made from a tagged change has to carry

It downloads, checks signatures and checksums, and prints the commands with which a person does the same.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import urllib.request


def run(*command: str, cwd: pathlib.Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout + done.stderr


def fetch(url: str, to: pathlib.Path) -> pathlib.Path:
    with urllib.request.urlopen(url, timeout=60) as answer, open(to, "wb") as file:
        shutil.copyfileobj(answer, file)
    return to


class Stranger:
    def __init__(self, folder: pathlib.Path, build: str):
        self.folder, self.build, self.say = folder, build, []
        self.home = folder / "gnupg"
        self.home.mkdir(mode=0o700)

    def gpg(self, *arguments: str) -> str:
        return run("gpg", "--batch", "--homedir", str(self.home), *arguments, cwd=self.folder)

    def mirror(self, image: dict, root: str) -> None:
        """The key, the clear-signed checksum, the image."""
        key = fetch(f"{root}/SIGNING-KEY.asc", self.folder / "SIGNING-KEY.asc")
        self.gpg("--import", str(key))
        name, address = image["name"], image["location"]
        checksum = fetch(f"{address}-CHECKSUM", self.folder / f"{name}-CHECKSUM")
        if "Good signature" not in self.gpg("--verify", str(checksum)):
            sys.exit(f"{checksum}: the signature is not good")
        fetch(address, self.folder / name)
        run("sha256sum", "--ignore-missing", "-c", checksum.name, cwd=self.folder)
        self.say.append(f"cd {self.folder} && gpg --homedir gnupg --verify {name}-CHECKSUM && sha256sum -c {name}-CHECKSUM")

    def registry(self, image: dict) -> None:
        """The image as skopeo sees it, and the package's file in its layers."""
        address = "docker://" + image["location"].removeprefix("docker://")
        run("skopeo", "inspect", "--tls-verify=false", address, cwd=self.folder)
        layout = self.folder / "oci"
        run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", address, f"dir:{layout}", cwd=self.folder)
        if self.build.split("-", 1)[1] not in self.file_in(layout, "usr/lib/hello/build"):
            sys.exit(f"{address} does not carry {self.build}")
        self.say.append(f"skopeo inspect --tls-verify=false {address}")

    @staticmethod
    def file_in(layout: pathlib.Path, path: str) -> str:
        manifest = json.loads((layout / "manifest.json").read_text())
        for layer in manifest["layers"]:
            with tarfile.open(layout / layer["digest"].removeprefix("sha256:")) as archive:
                for member in archive:
                    if member.name.removeprefix("./") == path:
                        return archive.extractfile(member).read().decode()
        return ""

    def ostree(self, image: dict) -> None:
        """The commit, pulled into a repository that has nothing yet."""
        repository = self.folder / "ostree"
        run("ostree", f"--repo={repository}", "init", "--mode=bare-user", cwd=self.folder)
        address, reference = image["location"].split()
        run("ostree", f"--repo={repository}", "remote", "add", "muster", address, "--set=gpg-verify=true",
            f"--gpg-import={self.folder / 'SIGNING-KEY.asc'}", cwd=self.folder)
        run("ostree", f"--repo={repository}", "pull", "muster", reference, cwd=self.folder)
        commit = run("ostree", f"--repo={repository}", "rev-parse", f"muster:{reference}", cwd=self.folder).strip()
        if commit != image["digest"]:
            sys.exit(f"{reference} is {commit}, and {image['digest']} was announced")
        self.say.append(f"ostree --repo={repository} pull muster {reference}")
        seen = f"ostree --repo={repository} rev-parse muster:{reference}"
        self.say.append(f'test "$({seen})" = {commit} && echo it is as announced')

    def look(self, body: dict) -> None:
        destination = body["destination"]
        for image in body["images"]:
            if destination["kind"] == "mirror":
                self.mirror(image, image["location"].split("/linux/")[0])
            elif destination["kind"] == "registry":
                self.registry(image)
            else:
                self.ostree(image)


def main() -> None:
    file, folder, build = sys.argv[1:]
    place = pathlib.Path(folder)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    messages = [json.loads(line) for line in open(file)]
    published = [message["body"] for message in messages if message["topic"] == "muster.image.published"]
    kinds = {body["destination"]["kind"] for body in published}
    if kinds != {"mirror", "registry", "ostree_repository"}:
        sys.exit(f"images were announced only for: {', '.join(sorted(kinds)) or 'nothing'}")
    stranger = Stranger(place, build)
    # The mirror first: it offers the key that the others are checked with.
    for body in sorted(published, key=lambda body: body["destination"]["kind"]):
        stranger.look(body)
    print("\n".join(stranger.say))


if __name__ == "__main__":
    main()
