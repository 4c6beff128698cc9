"""Errors as people read them: one clear sentence, or none where the error is a bug and must show itself.

The project's own errors (SettingsError, ChatModelError, VersionError, …) carry such a sentence already;
they are recognised by where they are defined, so that nothing has to be imported to tell them apart.
"""

from __future__ import annotations

import errno

_ADVICE = {
    errno.ENOSPC: "There is no space left on the disk{where}. Free some and try again; nothing that was kept is lost.",
    errno.EDQUOT: "The disk quota is used up{where}. Free some space and try again; nothing that was kept is lost.",
    errno.EACCES: "Permission denied{where}. Choose another folder with --data or LL_MODEL_STORAGE_DIR.",
    errno.EPERM: "Permission denied{where}. Choose another folder with --data or LL_MODEL_STORAGE_DIR.",
    errno.EROFS: "The file system is read-only{where}. Choose another folder with --data or LL_MODEL_STORAGE_DIR.",
    errno.ENOENT: "There is no such file or folder{where}.",
    errno.EISDIR: "This is a folder, not a file{where}.",
    errno.ENOTDIR: "This is a file, not a folder{where}.",
    errno.EEXIST: "There is already something with this name{where}.",
}


def sentence(error: BaseException) -> str | None:
    """What to tell the user about `error`; None for a bug, which should show its trace."""
    if type(error).__module__.startswith("lifelearn."):
        return str(error).strip() or type(error).__name__
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        advice = _ADVICE.get(error.errno or 0)
        return advice.format(where=where) if advice else f"{error.strerror or error}{where}."
    if isinstance(error, MemoryError):
        return "There is not enough memory. Close other programs or configure a smaller model with LL_BASE_MODEL_NAME."
    return None
