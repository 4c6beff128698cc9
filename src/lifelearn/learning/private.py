"""What lies on the disk is its owner's alone, and only what nobody else can have written is believed.

Every process of ours begins with `umask`, so that whatever it makes is private, by whichever library; `tighten` is for
what was made before, and `why_not_ours` for what would be run. Knows no settings, and not what the files hold.
"""

from __future__ import annotations

import os
import stat
from logging import getLogger
from pathlib import Path

OTHERS = 0o077  # what a group and everybody may do
OTHERS_WRITE = 0o022

log = getLogger(__name__)


def umask() -> None:
    """From now on this process, and what it starts, makes files of mode 0600 and folders of mode 0700."""
    os.umask(OTHERS)


def why_not_ours(found: os.stat_result, user: int | None = None) -> str:
    """Why somebody but `user` can have written a file or folder; "" where nobody can. user: None is this process's.

    found: of the thing itself, by lstat or by an open file. Root, who can write everything, is trusted in any case.
    """
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        return "it is neither a file nor a folder"
    if found.st_uid != (os.geteuid() if user is None else user):
        return f"it belongs to another user (number {found.st_uid})"
    if found.st_mode & OTHERS_WRITE:
        return f"others can write it (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


def tighten(*places: Path) -> None:
    """Takes files, and folders with all that is in them, from everybody but their owner. Those that are missing are
    left out, and links in a folder are not followed.

    A folder that is its owner's alone already is not looked into: nobody else gets to what is in it. The log says what
    was open, and what stays so: it is another user's, or its file system has no such rights.
    """
    for place in places:
        there = place.resolve()  # the place itself may be a link, which who set it up has made
        try:
            changed, left = _tightened(there)
        except FileNotFoundError:
            continue
        if changed:
            log.warning(
                "%s was open to other users of this machine. It is its owner's alone now, changed in %d places.",
                there,
                changed,
            )
        if left:
            log.warning(
                "Other users of this machine may read %s. Take it from them by chmod, or have it in a folder that "
                "belongs to the user who runs this.",
                left,
            )


def _tightened(place: Path) -> tuple[int, str]:
    """How much was changed, and what could not be: the first of it, and why."""
    changed, left = 0, ""

    def take(name: str | Path, shown: str, within: int | None = None) -> bool:
        nonlocal changed, left
        try:
            done = _taken(name, within)
        except FileNotFoundError:
            if within is None:
                raise
            return False  # gone meanwhile
        except OSError as error:
            left = left or f"{shown} ({error.strerror})"
            return True
        changed += done
        return done

    # From the top down: in a folder that nobody else can write any more, nothing is exchanged under our hands.
    # Nothing is opened: a process that closes a file of SQLite's loses its locks on it.
    if take(place, str(place)) and place.is_dir():
        for folder, folders, files, handle in os.fwalk(place):
            for name in (*folders, *files):
                take(name, f"{folder}/{name}", handle)
    return changed, left


def _taken(name: str | Path, within: int | None) -> bool:
    """Whether it was open. Raises OSError where it stays so."""
    found = os.stat(name, dir_fd=within, follow_symlinks=False)
    plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    if not plain or not found.st_mode & OTHERS:
        return False
    if found.st_uid != os.geteuid():
        raise PermissionError(0, f"it belongs to another user, number {found.st_uid}")
    os.chmod(name, stat.S_IMODE(found.st_mode) & ~OTHERS, dir_fd=within)
    if os.stat(name, dir_fd=within, follow_symlinks=False).st_mode & OTHERS:
        raise PermissionError(0, "its file system has no such rights")
    return True
