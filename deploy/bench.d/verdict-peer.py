"""The peer of the benchmark `verdict`: the bare tools that build a disk image and boot it, timed one by one.

    verdict-peer.py GIVEN FOLDER

GIVEN holds what muster told its tools in a round of its own: dnf's configuration (`dnf.conf`, `.rpmmacros`), QEMU's
command line (`qemu`, as /proc has it), and the smoketest's request with the list of packages. FOLDER is emptied, worked
in and removed. What is between the tools is done here too, but its time is not counted.
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import time
import uuid

GIVEN, FOLDER = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
ROOT = FOLDER / "root"
MIB = 1 << 20
# The same places and sizes as the kickstart gives the partitions.
BIOS_AT, ESP_AT, ROOT_AT = 1, 2, 50
ESP_MIB, ROOT_MIB, DISK_MIB = 48, 320, 371
IDENTITY = str(uuid.uuid4())
SPECS = ["@core", "@cloud-server", "@container-management", "murmur-release-cloud", "kernel", "hello"]
MODULES = (
    "part_gpt part_msdos fat ext2 normal linux search search_fs_uuid search_label configfile serial terminal echo test "
    "sleep ls cat"
).split()
# Scripts of packages expect /proc and /dev.
MOUNT = 'mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; shift; exec "$@"'
spent = {}


@contextlib.contextmanager
def counted(name):
    begun = time.monotonic()
    yield
    spent[name] = spent.get(name, 0) + time.monotonic() - begun


def run(*command, **options):
    environment = dict(os.environ, HOME=str(FOLDER), LC_ALL="C.UTF-8", PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def install():
    for name in ("proc", "sys", "dev"):
        (ROOT / name).mkdir(parents=True)
    shutil.copy(GIVEN / ".rpmmacros", FOLDER)
    config = re.sub(r"(?m)^cachedir=.*$", "cachedir=/var/cache/dnf", (GIVEN / "dnf.conf").read_text())
    (FOLDER / "dnf.conf").write_text(config)
    unshare = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", MOUNT, "sh", str(ROOT)]
    dnf = ["dnf", "--assumeyes", "--config", str(FOLDER / "dnf.conf"), f"--installroot={ROOT}", "--releasever=43"]
    with counted("packages"):
        run(*unshare, *dnf, "--forcearch=x86_64", "--setopt=group_package_types=mandatory,default", "install", *SPECS)
    wanted = json.loads((GIVEN / "request.json").read_text())["packages"]
    form = "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\n"
    installed = set(run("rpm", "--root", str(ROOT), "-qa", "--qf", form).split())
    others = {package for package in installed ^ set(wanted) if not package.startswith("gpg-pubkey-")}
    if others:
        sys.exit(f"other packages than muster's: {sorted(others)}")


def make_loader(disk):
    """A disk that starts GRUB by both firmwares."""
    search = f"search --no-floppy --fs-uuid --set=root {IDENTITY}\nconfigfile ($root)/boot/grub2/grub.cfg\n"
    (FOLDER / "grub.cfg").write_text(search)
    table = f"""label: gpt
{BIOS_AT * 2048},2048,21686148-6449-6E6F-744E-656564454649
{ESP_AT * 2048},{ESP_MIB * 2048},U
{ROOT_AT * 2048},{ROOT_MIB * 2048},L
"""
    with disk.open("wb") as file:
        file.truncate(DISK_MIB * MIB)
    run("sfdisk", "--quiet", str(disk), input=table)
    esp = f"{disk}@@{ESP_AT * MIB}"
    grub = ["grub-mkimage", "-p", "/boot/grub2", "-c", "grub.cfg"]
    with counted("loader"):
        run(*grub, "-O", "i386-pc", "-o", "core.img", *MODULES, "biosdisk")
        run(*grub, "-O", "x86_64-efi", "-o", "core.efi", *MODULES, "efi_gop", "all_video")
        run("mkfs.vfat", "-F", "32", "-s", "1", f"--offset={ESP_AT * 2048}", str(disk), str(ESP_MIB * 1024))
        run("mmd", "-i", esp, "::EFI", "::EFI/BOOT")
        run("mcopy", "-i", esp, "core.efi", "::EFI/BOOT/BOOTX64.EFI")
    embed(disk)


def embed(disk):
    """What grub-bios-setup does, which wants a device instead of a file."""
    boot = bytearray(pathlib.Path("/usr/lib/grub/i386-pc/boot.img").read_bytes())
    core = bytearray((FOLDER / "core.img").read_bytes())
    core += bytes(-len(core) % 512)
    sector = BIOS_AT * 2048
    boot[0x5C:0x64], boot[0x66:0x68] = struct.pack("<Q", sector), b"\x90\x90"
    core[0x1F4:0x200] = struct.pack("<QHH", sector + 1, len(core) // 512 - 1, 0x820)
    with disk.open("r+b") as file:
        file.write(boot[:0x1B8])
        file.seek(sector * 512)
        file.write(core)


def configure():
    """The least that lets the system start and a key in."""
    (kernel,) = (path.name for path in (ROOT / "usr/lib/modules").iterdir())
    options = f"root=UUID={IDENTITY} ro console=tty0 console=ttyS0,115200n8 no_timer_check net.ifnames=0"
    grub = f"""serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
menuentry Murmur {{
 linux /boot/vmlinuz-{kernel} {options}
 initrd /boot/initramfs-{kernel}.img
}}
"""
    (ROOT / "boot/grub2").mkdir(exist_ok=True)
    (ROOT / "boot/grub2/grub.cfg").write_text(grub)
    (ROOT / "etc/fstab").write_text(f"UUID={IDENTITY} / ext4 defaults 1 1\n")
    wants = ROOT / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for unit in ("sshd.service", "cloud-init.service"):
        with contextlib.suppress(FileExistsError):
            (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    for left in ["var/cache/dnf", "var/lib/dnf"]:
        shutil.rmtree(ROOT / left, ignore_errors=True)
    # Each machine makes its own, as with muster's image.
    for key in (ROOT / "etc/dropbear").glob("dropbear_*_host_key"):
        key.unlink()


def make_files(disk):
    extended = f"offset={ROOT_AT * MIB},lazy_itable_init=1,nodiscard,root_owner=0:0"
    features = ["-m", "1", "-O", "^metadata_csum_seed,^orphan_file", "-b", "4096"]
    ext4 = ["mkfs.ext4", "-q", "-F", *features, "-L", "root", "-U", IDENTITY]
    with counted("files"):
        run(*ext4, "-E", extended, "-d", str(ROOT), str(disk), f"{ROOT_MIB * 1024}k")


def convert(disk, image):
    compressed = ["-m", "8", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd"]
    with counted("convert"):
        run("qemu-img", "convert", *compressed, str(disk), str(image))
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), "disk.qcow2")


def make_seed():
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
    key = (FOLDER / "key.pub").read_text().strip()
    (FOLDER / "meta-data").write_text(f"instance-id: i-{IDENTITY}\nlocal-hostname: bare\npublic-keys:\n  - {key}\n")
    (FOLDER / "user-data").write_text(f"#cloud-config\ndisable_root: false\nssh_authorized_keys:\n  - {key}\n")
    run("mkfs.vfat", "-n", "CIDATA", "-C", "seed.img", "1440")
    run("mcopy", "-i", "seed.img", "meta-data", "user-data", "::")


def command_line():
    """QEMU as muster started it, but in this folder and with a port that we choose."""
    words = (GIVEN / "qemu").read_bytes().decode().split("\0")[:-1]
    job = re.search(r"path=(/.*)/console\.log", "\0".join(words)).group(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.replace(job, str(FOLDER)).replace("127.0.0.1:0-:22", f"127.0.0.1:{port}-:22") for word in words]
    return [re.sub("^guest=.*", "guest=bare", word) for word in words], port


def boot():
    command, port = command_line()
    ssh = ["ssh", "-F", "none", "-i", "key", "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"]
    ssh += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "root@127.0.0.1", "true"]
    logged_in = False
    with counted("boot"):
        qemu = subprocess.Popen(command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while not logged_in and qemu.poll() is None:
            await_greeting(port, qemu)
            logged_in = subprocess.run(ssh, cwd=FOLDER, capture_output=True).returncode == 0
    qemu.kill()
    qemu.wait()
    if not logged_in:
        sys.exit(f"QEMU ended with {qemu.returncode}")


def await_greeting(port, qemu):
    """Returns once an SSH server speaks. Each quarter of a second it is asked once more, and four questions are open at
    the most: more would keep the guest busy."""
    waiting = selectors.DefaultSelector()
    asked = collections.deque()

    def give_up(connection):
        asked.remove(connection)
        waiting.unregister(connection)
        connection.close()

    try:
        while qemu.poll() is None:
            with contextlib.suppress(OSError):
                asked.append(socket.create_connection(("127.0.0.1", port)))
                waiting.register(asked[-1], selectors.EVENT_READ)
            due = time.monotonic() + 0.25
            while (rest := due - time.monotonic()) > 0:
                for key, _ in waiting.select(rest):
                    with contextlib.suppress(OSError):
                        if key.fileobj.recv(4):
                            return
                    give_up(key.fileobj)
                if not asked:
                    # Refused: the network is there, and the server comes soon.
                    due = min(due, time.monotonic() + 0.1)
            if len(asked) == 4:
                give_up(asked[0])
    finally:
        for connection in list(asked):
            give_up(connection)


shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
try:
    install()
    make_loader(FOLDER / "disk.raw")
    configure()
    make_files(FOLDER / "disk.raw")
    convert(FOLDER / "disk.raw", FOLDER / "image.qcow2")
    make_seed()
    boot()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
print(f"sum={sum(spent.values()):.3f}", *(f"{name}={seconds:.3f}" for name, seconds in spent.items()))
